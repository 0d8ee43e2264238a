"""The pool: bounded, in order, and nothing runs when it has returned."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from emasync.transfer.pool import run_pool


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

    await run_pool(range(100), work, workers=7)
    assert sorted(done) == list(range(100))
    assert most == 7


async def test_items_are_taken_in_order_and_only_when_a_worker_is_free() -> None:
    taken: list[int] = []
    gate = anyio.Event()

    def items() -> Iterator[int]:
        for item in range(10):
            taken.append(item)
            yield item

    async def work(item: int) -> None:
        await gate.wait()

    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await run_pool(items(), work, workers=3)

        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        assert taken == [0, 1, 2]
        gate.set()
    assert taken == list(range(10))


async def test_what_work_raises_ends_the_others_and_comes_out_as_itself() -> None:
    # Sabotage: drop `_alone`: callers would have to catch an ExceptionGroup.
    ended: list[str] = []

    async def work(item: int) -> None:
        if item == 2:
            raise OSError("disk full")
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(f"item {item}")

    with pytest.raises(OSError, match="disk full"):
        await run_pool(range(5), work, workers=3)
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
        await run_pool(range(2), work, workers=2)
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
            await run_pool(range(9), work, workers=4)

        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert sorted(ended) == [0, 1, 2, 3]


async def test_no_items_are_no_work() -> None:
    async def work(item: int) -> None:
        raise AssertionError

    await run_pool([], work, workers=1)
