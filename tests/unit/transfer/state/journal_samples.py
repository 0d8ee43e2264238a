"""Keys, facts and rows for the journal's tests, and a look at what a test must not leave behind."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from emasync.model import Direction, OutcomeState, RemotePath, Verified
from emasync.transfer.state.journal import Journal
from emasync.transfer.state.schema import COLUMNS, ItemState, Key, Row, Settled, journal_scope, row_of

SCOPE = journal_scope("http://em.test:8000/", username="client1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    size: int = 10
    mtime_ns: int = 1_000
    ctime_ns: int = 2_000
    inode: int = 7


def key_of(name: str, *, direction: Direction = Direction.UPLINK, scope: str = SCOPE) -> Key:
    return Key(scope=scope, direction=direction, remote=RemotePath(name), local=f"/data/{name}")


def done(key: Key, *, facts: Facts | None = None) -> Settled:
    return Settled(
        key=key,
        state=OutcomeState.DONE,
        facts=facts or Facts(),
        sha256="ab" * 32,
        tag=-5,
        listed_tag=-5,
        verified=Verified.TAG,
        attempts=1,
    )


async def rows_of(journal: Journal, scope: str, *, states: Collection[ItemState]) -> list[Row]:
    """All rows of `scope` in one of `states`, by direction and path."""

    def work(connection: sqlite3.Connection) -> list[Row]:
        rows = map(row_of, connection.execute(f"SELECT {COLUMNS} FROM item WHERE scope = ?", [scope]))
        return [row for row in rows if row.state in states]

    return await journal._database.read(work)


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Fails when the block leaves one of our threads or an open file."""
    before = set(Path("/proc/self/fd").iterdir())
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("emasync")]
    opened = [_target(handle) for handle in set(Path("/proc/self/fd").iterdir()) - before]
    assert not [target for target in opened if target.startswith("/") and not target.startswith("/proc/")]


def _target(handle: Path) -> str:
    try:
        return str(handle.readlink())
    except FileNotFoundError:
        return ""  # the one that listed the folder
