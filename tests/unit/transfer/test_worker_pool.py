"""The pool: bounded, in order, and nothing runs when it has returned."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from emasync.transfer.worker_pool import WorkerPool


async def test_every_item_is_worked_on_once_and_never_more_than_workers_at_a_time() -> None:
    # Sabotage: give each worker its own iterator: every item is done by all.
    running, most, done = 0, 0, []

    async def work(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        done.append(item)

    await WorkerPool().run(range(100), work, workers=7)
    assert sorted(done) == list(range(100))
    assert most == 7


async def test_items_are_taken_in_order_and_only_when_a_worker_is_free() -> None:
    drain: list[int] = []
    gate = anyio.Event()

    def items() -> Iterator[int]:
        for item in range(10):
            drain.append(item)
            yield item

    async def work(item: int) -> None:
        await gate.wait()

    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await WorkerPool().run(items(), work, workers=3)

        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        assert drain == [0, 1, 2]
        gate.set()
    assert drain == list(range(10))


async def test_what_work_raises_ends_the_others_and_comes_out_as_itself() -> None:
    # Sabotage: drop `unwrap_single`: callers would have to catch an ExceptionGroup.
    ended: list[str] = []

    async def work(item: int) -> None:
        if item == 2:
            raise OSError("disk full")
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(f"item {item}")

    with pytest.raises(OSError, match="disk full"):
        await WorkerPool().run(range(5), work, workers=3)
    assert sorted(ended) == ["item 0", "item 1"]


async def test_several_errors_at_once_come_as_a_group() -> None:
    both = anyio.Event()

    async def work(item: int) -> None:
        try:
            if item == 1:
                both.set()
            await both.wait()
        finally:
            raise ValueError(str(item))

    with pytest.raises(ExceptionGroup) as caught:
        await WorkerPool().run(range(2), work, workers=2)
    assert sorted(str(error) for error in caught.value.exceptions) == ["0", "1"]


async def test_cancellation_ends_every_worker() -> None:
    ended: list[int] = []

    async def work(item: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(item)

    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await WorkerPool().run(range(9), work, workers=4)

        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert sorted(ended) == [0, 1, 2, 3]


async def test_no_items_are_no_work() -> None:
    async def work(item: int) -> None:
        raise AssertionError

    await WorkerPool().run([], work, workers=1)


async def test_one_that_sleeps_holds_up_no_other_in_a_bounded_pool() -> None:
    # Sabotage: `WorkerPool.sleep` only sleeps: the first items hold both workers until they wake.
    pool = WorkerPool()
    running, most, ended = 0, 0, list[int]()

    async def work(item: int) -> None:
        nonlocal running, most
        if item < 2:
            await pool.sleep(0.1)
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        ended.append(item)

    await pool.run(range(50), work, workers=2)
    assert sorted(ended) == list(range(50))
    assert set(ended[-2:]) == {0, 1}
    assert most <= 4


async def test_one_that_sleeps_with_a_lock_is_not_kept_from_waking_by_those_that_wait_for_it() -> None:
    # Sabotage: let `WorkerPool.sleep` wait for a free place before it returns.
    pool = WorkerPool()
    lock = anyio.Lock()

    async def work(item: int) -> None:
        async with lock:
            await pool.sleep(0.001)

    with anyio.fail_after(10):
        await pool.run(range(20), work, workers=2)


async def test_no_more_sleep_beside_the_pool_than_work_in_it() -> None:
    # Sabotage: leave out the bound in `WorkerPool.sleep`: all fifty are under way at once.
    pool = WorkerPool()
    begun = 0

    async def work(item: int) -> None:
        nonlocal begun
        begun += 1
        await pool.sleep(1e6)

    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await pool.run(range(50), work, workers=3)

        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        assert begun == 6
        tasks.cancel_scope.cancel()


async def test_a_task_that_a_worker_started_outlives_the_pool_and_just_sleeps() -> None:
    # Sabotage: leave `_tasks` out of `WorkerPool.sleep`: "This task group is not active".
    pool = WorkerPool()
    async with anyio.create_task_group() as outside:

        async def later() -> None:
            await over.wait()
            await pool.sleep(0.0)

        async def work(item: int) -> None:
            outside.start_soon(later)

        over = anyio.Event()
        await pool.run([1], work, workers=1)
        over.set()


async def test_whoever_is_in_no_pool_just_sleeps() -> None:
    pool = WorkerPool()
    with anyio.fail_after(5):
        await pool.sleep(0.0)
