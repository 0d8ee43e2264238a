"""The journal: a transfer's memory on disk, right at every moment at which a process can be killed.

Records intent -> sent -> settled, durably. Decides nothing: what a row means for the next run is in
`emasync.transfer.resume`. Must not import http or disk.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from emasync.model import Direction
from emasync.transfer.state.schema import (
    COLUMNS,
    IS_KEY,
    SCHEMA,
    Intent,
    ItemState,
    JournalTotal,
    Key,
    Row,
    Settled,
    SqlValue,
    intent_values,
    key_values,
    row_of,
    settled_values,
)
from emasync.transfer.state.sqlite import (
    Database,
    Grouping,
    connect,
    create_schema,
    damaged,
    explained,
    open_database,
    read_stamp,
)

APPLICATION_ID = 0x454D4A4C  # "EMJL", in the file's header
VERSION = 1

_PLACES = ", ".join("?" * (COLUMNS.count(",") + 1))
_INTEND = f"INSERT OR REPLACE INTO item ({COLUMNS}) VALUES ({_PLACES})"  # noqa: S608 -- constants of this package
_SENT = f"UPDATE item SET state = ?, attempts = attempts + 1, call_id = ?, updated_at = ? WHERE {IS_KEY}"  # noqa: S608
_KEPT = ("size", "mtime_ns", "ctime_ns", "inode", "sha256", "tag", "listed_tag")
_SETTLE = (
    f"INSERT INTO item ({COLUMNS}) VALUES ({_PLACES}) "  # noqa: S608
    "ON CONFLICT (scope, direction, remote, local) DO UPDATE SET state = excluded.state, "
    "verified = excluded.verified, attempts = excluded.attempts, error = excluded.error, "
    "updated_at = excluded.updated_at, " + ", ".join(f"{name} = coalesce(excluded.{name}, {name})" for name in _KEPT)
)
_LOOKUP = f"SELECT {COLUMNS} FROM item WHERE {IS_KEY}"  # noqa: S608
_SUMMARY = (
    "SELECT scope, direction, state, count(*), coalesce(sum(size), 0), max(updated_at) FROM item "
    "GROUP BY scope, direction, state ORDER BY scope, direction, state"
)


class Journal:
    """Made by `open_journal`. Every `record_*` returns when its rows are on disk, flushed; callers at the same time
    share a flush. A cancelled `record_*` is still written, unless the process dies first.

    Raises OSError when the disk refuses (the rows are then not recorded) and ValueError when the file is damaged.
    """

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def record_intents(self, items: Iterable[Intent]) -> None:
        """Before anything is moved. What an earlier run knew of these items is forgotten: ask `lookup` first."""
        now = self._now()
        await self._write(_INTEND, [intent_values(item, now) for item in items])

    async def record_sent(self, keys: Iterable[Key], *, call_id: str | None = None) -> None:
        """Before the first byte of a call leaves; `call_id` is the same for all files of one uplink call.

        Counts one attempt each. LookupError, and nothing recorded, if one of them has no intent.
        """
        now = self._now()
        rows = [(ItemState.SENT.value, call_id, now, *key_values(key)) for key in keys]
        await self._write(_SENT, rows, must_exist=True)

    async def record_outcomes(self, items: Iterable[Settled]) -> None:
        """After the fact, never before: a downlink's `done` once its file is renamed and flushed."""
        now = self._now()
        await self._write(_SETTLE, [settled_values(item, now) for item in items])

    async def lookup(self, keys: Iterable[Key]) -> dict[Key, Row]:
        """The rows of those keys that have one."""
        wanted = [(key, key_values(key)) for key in keys]

        def work(connection: sqlite3.Connection) -> dict[Key, Row]:
            found = ((key, connection.execute(_LOOKUP, values).fetchone()) for key, values in wanted)
            return {key: row_of(values) for key, values in found if values is not None}

        return await self._database.read(work)

    async def summary(self) -> list[JournalTotal]:
        """The whole journal in numbers, by scope, direction and state."""

        def work(connection: sqlite3.Connection) -> list[JournalTotal]:
            return [
                JournalTotal(
                    scope=scope,
                    direction=Direction(direction),
                    state=ItemState(state),
                    files=files,
                    bytes=size,
                    updated_at=updated_at,
                )
                for scope, direction, state, files, size, updated_at in connection.execute(_SUMMARY)
            ]

        return await self._database.read(work)

    async def _write(self, statement: str, rows: Sequence[tuple[SqlValue, ...]], *, must_exist: bool = False) -> None:
        if not rows:
            return

        def work(connection: sqlite3.Connection) -> None:
            changed = connection.executemany(statement, rows).rowcount
            if must_exist and changed != len(rows):
                raise LookupError(f"{len(rows) - changed} of {len(rows)} items were sent without an intent")

        await self._database.write(work, rows=len(rows))


@asynccontextmanager
async def open_journal(
    path: Path,
    *,
    wait_s: float = 0.5,
    grouping: Grouping | None = None,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Journal]:
    """The journal at `path` (made if missing, 0600), held by this process alone until the block ends.

    `now` gives Unix time in seconds. Raises BlockingIOError when another run still holds it after `wait_s` (a killed
    one holds nothing), ValueError for a file that is no journal, a damaged one or one of a newer emasync, else OSError.
    Cancelled at any moment, even while it opens, it is closed before this returns: no thread, no handle stays behind.
    """
    async with open_database(path, lambda: _connect(path, wait_s=wait_s), grouping=grouping) as database:
        yield Journal(database, now=now)


def unfinished(path: Path) -> int:
    """How many files of the journal at `path` are not done or skipped: what a resume would go on with. 0 for no file.

    Blocks, for a moment. Raises what `open_journal` raises.
    """
    if not path.exists():
        return 0
    ended = (ItemState.DONE.value, ItemState.SKIPPED.value)
    try:
        with closing(_connect(path, wait_s=0.0)) as connection:
            count: int = connection.execute("SELECT count(*) FROM item WHERE state NOT IN (?, ?)", ended).fetchone()[0]
    except sqlite3.Error as error:
        raise explained(error, path) from error
    return count


def _connect(path: Path, *, wait_s: float) -> sqlite3.Connection:
    connection = connect(path, wait_s=wait_s)
    try:
        # Held from the first access until close, by a lock that ends with the process. Before journal_mode, so that
        # the WAL's index is in memory, and no -shm file (which network file systems cannot share) is needed.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        _recognise(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # NORMAL loses commits in a power cut
        if read_stamp(connection).empty:
            create_schema(connection, schema=SCHEMA, application_id=APPLICATION_ID, version=VERSION)
    except BaseException:
        connection.close()
        raise
    return connection


def _recognise(connection: sqlite3.Connection, path: Path) -> None:
    """ValueError unless this is an empty file or an unharmed journal of ours; changes nothing in either case."""
    stamp = read_stamp(connection)
    if stamp.empty and stamp.application_id in (0, APPLICATION_ID):
        return
    if stamp.application_id != APPLICATION_ID:
        raise ValueError(f"{path} is a database of another program, not an emasync journal: choose another file")
    if stamp.version > VERSION:
        raise ValueError(
            f"{path} was written by a newer emasync (journal version {stamp.version}, this one reads {VERSION}): "
            "use that version, or choose another file"
        )
    finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if finding != "ok":
        raise damaged(path, finding)
