"""SQLite files of emasync: created privately, recognised, served by one thread each, with group commit.

Knows no tables. The thread's queue holds at most one job per waiting caller, so callers bound it. Functions outside
`Database` block, and are called on its thread. Must not import anything of emasync.
"""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio

T = TypeVar("T")

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
    """Which program made the file: SQLite's application id, our schema version, and whether it is empty."""

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
    with suppress(FileExistsError):
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
    """`error` as a user should see it: BlockingIOError for a file in use, ValueError for one that is not (or no
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


_CLOSE_S = 5.0  # a disk that hangs must not hang the end of the program; the thread is a daemon


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Writes that come within `window_s` of the first share its commit; `rows` rows are enough not to wait longer."""

    rows: int = 50
    window_s: float = 0.005


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Read:
    run: Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Write:
    work: Callable[[sqlite3.Connection], None]
    rows: int
    answer: Future[None]


class Database:
    """Runs jobs on the connection's thread, in the order in which they were queued.

    Cancelling a waiter stops the waiting, not the job: a queued job is still done before the database closes.
    An sqlite3.Error reaches the waiter as OSError or ValueError that names the file.
    """

    def __init__(self, path: Path, *, grouping: Grouping, clock: Callable[[], float]) -> None:
        self.commits: int = 0
        """Transactions committed so far: what this file has cost in disk flushes."""
        self._path = path
        self._grouping = grouping
        self._clock = clock
        self._jobs: queue.SimpleQueue[_Read | _Write] = queue.SimpleQueue()
        self._closed = False  # asked to stop; the event loop's side
        self._serving = True  # the thread's side
        self._opened = _promise()
        self._ended = _promise()

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns. It sees every write that was queued before."""
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()

        def run(connection: sqlite3.Connection) -> None:
            try:
                result = work(connection)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the waiter gets it
                answer.set_exception(self._explained(error))
            else:
                answer.set_result(result)

        self._put(_Read(run=run))
        return await asyncio.wrap_future(answer)

    async def write(self, work: Callable[[sqlite3.Connection], None], *, rows: int) -> None:
        """Do `work` in a transaction, perhaps with others' work; when this returns, it is committed.

        `work` may run a second time, after a roll-back: when another's work in the same transaction failed.
        """
        answer = _promise()
        self._put(_Write(work=work, rows=rows, answer=answer))
        await asyncio.wrap_future(answer)

    def _put(self, job: _Read | _Write) -> None:
        if self._closed:
            raise RuntimeError(f"{self._path} is closed")
        self._jobs.put(job)

    def _stop(self) -> None:
        def run(_: sqlite3.Connection) -> None:
            self._serving = False

        self._jobs.put(_Read(run=run))
        self._closed = True

    def _main(self, connect: Callable[[], sqlite3.Connection]) -> None:
        try:
            try:
                connection = connect()
            except Exception as error:  # noqa: BLE001 -- whoever opens gets it
                self._opened.set_exception(self._explained(error))
                return
            self._opened.set_result(None)
            try:
                self._serve(connection)
            finally:
                connection.close()
        finally:
            self._ended.set_result(None)

    def _serve(self, connection: sqlite3.Connection) -> None:
        next_job: _Read | _Write | None = None
        while self._serving:
            job = next_job or self._jobs.get()
            next_job = None
            if isinstance(job, _Read):
                job.run(connection)
            else:
                group, next_job = self._gather(job)
                self._commit(connection, group)

    def _gather(self, first: _Write) -> tuple[list[_Write], _Read | None]:
        """The writes that go with `first`, and the read that ended the waiting, if one did."""
        group, rows, until = [first], first.rows, self._clock() + self._grouping.window_s
        while True:
            # What is queued already joins without waiting; enough rows only end the wait for more.
            wait = max(0.0, until - self._clock()) if rows < self._grouping.rows else 0.0
            try:
                job = self._jobs.get(timeout=wait)
            except queue.Empty:
                return group, None
            if isinstance(job, _Read):
                return group, job
            group.append(job)
            rows += job.rows

    def _commit(self, connection: sqlite3.Connection, group: list[_Write]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in group:
                job.work(connection)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 -- whatever it is, the waiter gets it
            with suppress(sqlite3.Error):  # SQLite has rolled back by itself after some errors
                connection.execute("ROLLBACK")
            if len(group) == 1:
                group[0].answer.set_exception(self._explained(error))
            else:  # one by one, so that only the one at fault fails
                for job in group:
                    self._commit(connection, [job])
        else:
            self.commits += 1
            for job in group:
                job.answer.set_result(None)

    def _explained(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        shown = explained(error, self._path)
        shown.__cause__ = error
        return shown


@asynccontextmanager
async def open_database(
    path: Path,
    connect: Callable[[], sqlite3.Connection],
    *,
    grouping: Grouping | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Database]:
    """Start a thread, call `connect` on it and serve jobs until the block ends; then finish what is queued and close.

    Cancellation, while it opens too, waits for the close: neither thread nor handle is left. Only a disk that has not
    answered for 5 s is left to the daemon thread. Raises what `connect` raises, explained as in `Database`.
    """
    database = Database(path, grouping=grouping or Grouping(), clock=clock)
    thread = threading.Thread(target=database._main, args=(connect,), name=f"emasync {path.name}", daemon=True)
    thread.start()
    try:
        await asyncio.wrap_future(database._opened)
        yield database
    finally:
        database._stop()
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await asyncio.wrap_future(database._ended)
            thread.join()  # has nothing left to do but return


def _promise() -> Future[None]:
    """A future that a cancelled waiter cannot cancel: the thread will answer it in any case."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future
