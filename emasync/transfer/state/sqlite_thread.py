"""One SQLite connection on one thread of its own, with group commit.

Owns: the thread, the queue to it, and which callers share a transaction. May import sqlite_file.
Knows no tables. The queue holds at most one job per waiting caller, so callers bound it.
"""

from __future__ import annotations

import asyncio
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

from emasync.transfer.state.sqlite import explained

T = TypeVar("T")

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
    """Runs jobs on the connection's thread, in the order in which they were handed in.

    Cancelling a waiter stops the waiting, not the job: what was handed in is still done before the database closes.
    An sqlite3.Error reaches the waiter as OSError or ValueError that names the file.
    """

    def __init__(self, path: Path, *, grouping: Grouping, clock: Callable[[], float]) -> None:
        self.commits = 0
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
        """What `work` returns. It sees every write handed in before."""
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()

        def run(connection: sqlite3.Connection) -> None:
            try:
                result = work(connection)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the waiter gets it
                answer.set_exception(self._told(error))
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
                self._opened.set_exception(self._told(error))
                return
            self._opened.set_result(None)
            try:
                self._serve(connection)
            finally:
                connection.close()
        finally:
            self._ended.set_result(None)

    def _serve(self, connection: sqlite3.Connection) -> None:
        left: _Read | _Write | None = None
        while self._serving:
            job = left or self._jobs.get()
            left = None
            if isinstance(job, _Read):
                job.run(connection)
            else:
                group, left = self._gather(job)
                self._commit(connection, group)

    def _gather(self, first: _Write) -> tuple[list[_Write], _Read | None]:
        """The writes that go with `first`, and the read that ended the waiting, if one did."""
        group, rows, until = [first], first.rows, self._clock() + self._grouping.window_s
        while True:
            # What is queued already comes along for nothing; enough rows only end the waiting for more.
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
                group[0].answer.set_exception(self._told(error))
            else:  # one by one, so that only the one at fault fails
                for job in group:
                    self._commit(connection, [job])
        else:
            self.commits += 1
            for job in group:
                job.answer.set_result(None)

    def _told(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        told = explained(error, self._path)
        told.__cause__ = error
        return told


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
    answered for 5 s is left to the daemon thread. Raises what `connect` raises, as `Database` tells it.
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
