"""A SQLite file of ours: made privately, recognised, and its errors told in words.

Owns: how such a file is created and opened, whose it is, and what a failure of SQLite means to the user.
May import nothing of emasync. Knows neither tables nor threads: every function blocks, and is called on one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Whose file it is: SQLite's application id, our schema version, and whether it holds nothing yet."""

    application_id: int
    version: int
    empty: bool


def connect(path: Path, *, wait_s: float) -> sqlite3.Connection:
    """A connection in autocommit mode; a new file is 0600, its parent folders are made. The caller closes it.

    `wait_s`: how long a statement waits for another process's lock. Raises OSError or sqlite3.Error.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # SQLite would create it with the umask's mode; the files it puts beside it (-wal) take over the mode of this one.
    # An existing file is never opened here: closing it would drop the POSIX locks of this process's own connection.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(path, timeout=wait_s, isolation_level=None)


def read_stamp(connection: sqlite3.Connection) -> Stamp:
    """Reads the header, changes nothing. Raises sqlite3.DatabaseError if this is no database."""
    return Stamp(
        application_id=_number(connection, "PRAGMA application_id"),
        version=_number(connection, "PRAGMA user_version"),
        empty=_number(connection, "SELECT count(*) FROM sqlite_master") == 0,
    )


def create_schema(connection: sqlite3.Connection, *, schema: str, application_id: int, version: int) -> None:
    """Tables and stamp in one transaction: killed half-way, the file is still an empty one."""
    connection.executescript(
        f"BEGIN IMMEDIATE; {schema}"
        f"PRAGMA application_id = {application_id:d}; PRAGMA user_version = {version:d}; COMMIT;"
    )


def remove(path: Path) -> None:
    """The file and what SQLite keeps beside it, whatever of them is there."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether `error` says that the file's content, and not its surroundings, is at fault."""
    return _code(error) in _DAMAGED


def explained(error: sqlite3.Error, path: Path) -> OSError | ValueError:
    """`error` as the user should see it: BlockingIOError for a file in use, ValueError for one that is not (or no
    longer) a database of ours, else OSError with the nearest errno."""
    code = _code(error)
    if code in _BUSY:
        return BlockingIOError(
            errno.EWOULDBLOCK, "in use by another emasync run; let it end, or choose another file", str(path)
        )
    if code in _DAMAGED:
        return damaged(path, str(error))
    return OSError(_ERRNO.get(code, errno.EIO), f"SQLite: {error}", str(path))


def damaged(path: Path, finding: str) -> ValueError:
    """The error for a file whose content cannot be trusted, with the way out."""
    return ValueError(
        f"{path} is damaged or no database ({finding}): move it away and run the same command again; "
        "what has arrived already is then found by comparison"
    )


def _code(error: sqlite3.Error) -> int:
    # The extended code's low byte is the primary one; errors of the Python module itself have none.
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _number(connection: sqlite3.Connection, query: str) -> int:
    value = connection.execute(query).fetchone()[0]
    assert isinstance(value, int)
    return value
