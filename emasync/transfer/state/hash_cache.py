"""The hash cache: SHA-256 and content tag of local files, so that unchanged ones need not be read again.

Decides when a stored hash is valid. It is a cache: damage or a lock costs time, never an error. Knows neither hashing
nor the EM: must not import disk or http.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio

from emasync.transfer.state.schema import FileFacts, signed64
from emasync.transfer.state.sqlite import Database, connect, create_schema, is_damage, open_database, read_stamp, remove

PathT = TypeVar("PathT", Path, str)

APPLICATION_ID = 0x454D4843  # "EMHC", in the file's header
VERSION = 1
MAX_FILES = 200_000  # about 40 MB on disk

# The coarsest time stamps in use (FAT) are 2 s apart: a file hashed sooner after its last change can change once more
# without its times showing it. git calls such an entry racily clean.
_TICK_NS = 2_000_000_000

# Replacing gives a new rowid, so rowids are in the order of storing.
_SCHEMA = """
CREATE TABLE file (
  id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, sha256 BLOB NOT NULL, tag INTEGER NOT NULL
);
"""
_GET = "SELECT path, size, mtime_ns, ctime_ns, inode, sha256, tag FROM file WHERE path IN"
_GET_AT_ONCE = 500  # a statement a file would cost more than the look-up; SQLite takes 999 values at least
_PUT = "INSERT OR REPLACE INTO file (path, size, mtime_ns, ctime_ns, inode, sha256, tag) VALUES (?, ?, ?, ?, ?, ?, ?)"
_PRUNE = "DELETE FROM file WHERE id <= (SELECT id FROM file ORDER BY id DESC LIMIT 1 OFFSET ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Of one file's content: SHA-256 as 64 hex digits, and the EM's content tag (signed 64 bit)."""

    sha256: str
    tag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """A file that was read. `facts` were the same before and after; `started_ns` (Unix time) is when reading began."""

    path: Path
    facts: FileFacts
    digests: Digests
    started_ns: int

    @property
    def safe_to_store(self) -> bool:
        """Whether its times were old enough that any later change must show in them."""
        return max(self.facts.mtime_ns, self.facts.ctime_ns) <= self.started_ns - _TICK_NS


class HashCache:
    """Made by `open_hash_cache`. Both methods take thousands of files at once and never raise for the file's sake."""

    def __init__(self, database: Database, *, max_files: int) -> None:
        self._database = database
        self._max_files = max_files
        self.damaged: bool = False

    async def get_many(self, files: Iterable[tuple[PathT, FileFacts]]) -> dict[PathT, Digests]:
        """The digests of those files that are as they were when they were hashed. Paths are absolute."""
        wanted = [(path, _values(path, facts)) for path, facts in files]

        def work(connection: sqlite3.Connection) -> dict[PathT, Digests]:
            found: dict[PathT, Digests] = {}
            for start in range(0, len(wanted), _GET_AT_ONCE):
                found |= _look_up(connection, wanted[start : start + _GET_AT_ONCE])
            return found

        try:
            return await self._database.read(work)
        except (OSError, ValueError) as error:
            self._check_damage(error)
            return {}

    async def put_many(self, files: Iterable[Hashed]) -> None:
        """Store them, except those that changed too shortly before they were read; the oldest ones above the limit are
        removed. Cancelled, they are still written."""
        rows = [
            (*_values(file.path, file.facts), bytes.fromhex(file.digests.sha256), file.digests.tag)
            for file in files
            if file.safe_to_store
        ]
        if not rows:
            return

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_PUT, rows)
            connection.execute(_PRUNE, (self._max_files,))

        try:
            await self._database.write(work, rows=len(rows))
        except (OSError, ValueError) as error:
            self._check_damage(error)

    def _check_damage(self, error: OSError | ValueError) -> None:
        """Have a damaged file removed at the end; one that is locked or full may be usable next time."""
        cause = error.__cause__
        self.damaged = self.damaged or (isinstance(cause, sqlite3.Error) and is_damage(cause))


@asynccontextmanager
async def open_hash_cache(path: Path, *, max_files: int = MAX_FILES) -> AsyncIterator[HashCache]:
    """The cache at `path` (made if missing, 0600); several processes may have it open.

    A damaged file, or one of another version, is thrown away and begun anew. ValueError for another program's database,
    OSError if it can be neither read nor made. Cancellation as in `emasync.transfer.state.sqlite.open_database`.
    """
    async with open_database(path, lambda: _connect(path)) as database:
        cache = HashCache(database, max_files=max_files)
        try:
            yield cache
        finally:
            if cache.damaged:
                with anyio.CancelScope(shield=True):  # the open connection does not mind; the next run begins anew
                    await database.read(lambda _: remove(path))


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return _open(path)
    except _OutdatedError:
        pass
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    remove(path)
    return _open(path)


class _OutdatedError(Exception):
    pass


def _open(path: Path) -> sqlite3.Connection:
    connection = connect(path, wait_s=0.5)
    try:
        stamp = read_stamp(connection)
        if stamp.application_id not in (0, APPLICATION_ID) or (not stamp.empty and stamp.application_id == 0):
            raise ValueError(f"{path} is a database of another program, not a hash cache of emasync")
        if not stamp.empty and stamp.version != VERSION:
            raise _OutdatedError
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost entries: they are hashed again
        if stamp.empty:
            create_schema(connection, schema=_SCHEMA, application_id=APPLICATION_ID, version=VERSION)
    except BaseException:
        connection.close()
        raise
    return connection


def _look_up(
    connection: sqlite3.Connection, wanted: Sequence[tuple[PathT, tuple[bytes, int, int, int, int]]]
) -> dict[PathT, Digests]:
    rows = connection.execute(f"{_GET} ({','.join('?' * len(wanted))})", [values[0] for _, values in wanted])
    known = {row[:5]: row for row in rows}
    found = ((path, known.get(values)) for path, values in wanted)
    return {path: Digests(sha256=row[5].hex(), tag=row[6]) for path, row in found if row is not None}


def _values(path: Path | str, facts: FileFacts) -> tuple[bytes, int, int, int, int]:
    times = (signed64(facts.mtime_ns), signed64(facts.ctime_ns))
    return (os.fsencode(path), facts.size, *times, signed64(facts.inode))
