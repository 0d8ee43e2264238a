from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import anyio
import pytest

from emasync.transfer.state.sqlite import Database, Grouping, open_database
from tests.unit.transfer.state.journal_samples import nothing_left_behind

PATIENT = Grouping(rows=50, window_s=30.0)  # so that only the number of rows, or a read, ends the waiting


class Refusing(sqlite3.Connection):
    """A disk that is full at the moment of the commit."""

    def execute(self, sql: str, parameters: object = (), /) -> sqlite3.Cursor:
        if sql == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, parameters)  # type: ignore[arg-type]


def opened(path: Path, factory: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, factory=factory)
    connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER UNIQUE)")
    return connection


async def insert(database: Database, number: int) -> None:
    await database.write(lambda connection: void(connection.execute("INSERT INTO t VALUES (?)", (number,))), rows=1)


def void(_: object) -> None:
    return None


async def count(database: Database) -> int:
    number: int = await database.read(lambda connection: connection.execute("SELECT count(*) FROM t").fetchone()[0])
    return number


async def test_a_hundred_callers_share_two_commits(tmp_path: Path) -> None:
    # Sabotage: `return [first], None` at the top of _gather makes a hundred of them.
    path = tmp_path / "t.db"
    async with open_database(path, lambda: opened(path), grouping=PATIENT) as database:
        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(insert, database, number)
        assert database.commits <= 2
        assert await count(database) == 100


async def test_a_read_does_not_wait_for_the_window_and_sees_what_came_before_it(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with open_database(path, lambda: opened(path), grouping=PATIENT) as database:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(insert, database, 1)
                await asyncio.sleep(0)
                assert await count(database) == 1


async def test_one_callers_mistake_does_not_fail_the_others_in_its_group(tmp_path: Path) -> None:
    # Sabotage: hand the error to the whole group instead of committing one by one.
    path, failed = tmp_path / "t.db", dict[int, str]()

    async def try_insert(number: int) -> None:
        try:
            await insert(database, number)
        except OSError as error:
            failed[number] = str(error)

    async with open_database(path, lambda: opened(path), grouping=Grouping(rows=4, window_s=30.0)) as database:
        async with anyio.create_task_group() as group:
            for number in (1, 2, 2, 3):
                group.start_soon(try_insert, number)
        assert list(failed) == [2]
        assert "UNIQUE" in failed[2]
        assert await count(database) == 3


async def test_nobody_is_told_that_rows_are_safe_when_the_commit_failed(tmp_path: Path) -> None:
    # Sabotage: answer the waiters before COMMIT.
    path = tmp_path / "t.db"
    async with open_database(path, lambda: opened(path, Refusing), grouping=Grouping(window_s=0)) as database:
        with pytest.raises(OSError, match=r"disk is full.*t\.db"):
            await insert(database, 1)
        assert await count(database) == 0
        assert database.commits == 0


@pytest.mark.parametrize("native", [False, True])
async def test_cancelling_while_it_opens_leaves_no_thread_and_no_handle(tmp_path: Path, native: bool) -> None:
    # Sabotage: drop the shield of the close in open_database.
    path, may_open, opening = tmp_path / "t.db", threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly() -> sqlite3.Connection:
        loop.call_soon_threadsafe(opening.set)
        assert may_open.wait(10)
        return opened(path)

    async def use() -> None:
        async with open_database(path, slowly):
            await anyio.sleep_forever()

    with nothing_left_behind():
        async with anyio.create_task_group() as group:
            task = asyncio.ensure_future(use()) if native else None
            if task is None:
                group.start_soon(use)
            await opening.wait()
            if task is None:
                group.cancel_scope.cancel()
            else:
                task.cancel()
            loop.call_later(0.01, may_open.set)
            if task is not None:
                with pytest.raises(asyncio.CancelledError):
                    await task


async def test_a_cancelled_write_is_still_written(tmp_path: Path) -> None:
    # Sabotage: a promise that is not marked running is cancelled together with its waiter, and answering it fails.
    path, gate, blocked = tmp_path / "t.db", threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(blocked.set)
        assert gate.wait(10)

    with nothing_left_behind():
        async with open_database(path, lambda: opened(path), grouping=Grouping(window_s=0)) as database:
            async with anyio.create_task_group() as group:
                group.start_soon(database.read, hold)
                await blocked.wait()
                group.start_soon(insert, database, 1)
                await asyncio.sleep(0)
                group.cancel_scope.cancel()
            gate.set()
            assert await count(database) == 1
        async with open_database(path, lambda: opened(path)) as database:
            assert await count(database) == 1


async def test_what_was_handed_in_is_written_before_it_closes(tmp_path: Path) -> None:
    # Sabotage: `self._serving = False` in _stop, where the thread sees it before the queue is empty.
    path, gate, loop = tmp_path / "t.db", threading.Event(), asyncio.get_running_loop()
    with anyio.CancelScope() as scope:
        async with open_database(path, lambda: opened(path), grouping=PATIENT) as database:
            async with anyio.create_task_group() as group:
                group.start_soon(database.read, lambda _: gate.wait(10))
                for number in range(20):
                    group.start_soon(insert, database, number)
                await asyncio.sleep(0)
                loop.call_later(0.01, gate.set)  # by then it is closing
                scope.cancel()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (20,)
    connection.close()


async def test_after_the_end_it_says_that_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with nothing_left_behind():
        async with open_database(path, lambda: opened(path)) as database:
            pass
    with pytest.raises(RuntimeError, match="is closed"):
        await insert(database, 1)


async def test_an_error_of_the_body_and_a_job_that_raises_reach_the_caller_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "t.db"

    def broken(_: sqlite3.Connection) -> None:
        raise LookupError("mine")

    with nothing_left_behind(), pytest.raises(LookupError, match="mine"):
        async with open_database(path, lambda: opened(path)) as database:
            await database.read(broken)
