"""`Transfer`: awaited or walked through, once, and nothing of it is left afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from emasync.errors import AuthError
from emasync.http.pipeline import RequestStats
from emasync.model import Direction, Outcome, OutcomeState, RemotePath
from emasync.transfer.state.transfer_journal import FileResult
from emasync.transfer.tracker import ResultTracker
from emasync.transfer.transfer import Transfer, Work


def outcome(number: int) -> Outcome:
    return Outcome(
        path=RemotePath(str(number)),
        place=str(number),
        direction=Direction.UPLINK,
        state=OutcomeState.DONE,
        bytes=1,
    )


def tracker() -> ResultTracker:
    return ResultTracker(direction=Direction.UPLINK)


async def record(tracker: ResultTracker, outcome: Outcome, *, moved: int = 0) -> None:
    tracker.add_moved(outcome.path, moved)
    await tracker.record([FileResult(outcome=outcome)])


def settling(count: int, *, fails: Exception | None = None) -> Work:
    async def work(tracker: ResultTracker, stats: RequestStats) -> None:
        for number in range(count):
            stats.add(requests=1)
            await record(tracker, outcome(number))
        if fails is not None:
            raise fails

    return work


def transfer(work: Work) -> Transfer:
    ticks = iter(range(100))
    return Transfer(work, tracker(), busy_clock=lambda: 0.0, clock=lambda: float(next(ticks)))


async def test_awaiting_gives_the_report_of_all() -> None:
    report = await transfer(settling(200))
    assert [str(done.path) for done in report.outcomes] == [str(number) for number in range(200)]
    assert (report.requests, report.bytes, report.seconds, report.ok) == (200, 200, 1.0, True)


async def test_walking_gives_each_outcome_as_it_settles() -> None:
    seen: list[str] = []
    async with transfer(settling(3)) as running:
        async for settled in running:
            seen.append(settled.path)
            assert settled in running.report.outcomes
    assert seen == ["0", "1", "2"]
    assert len(running.report.outcomes) == 3


async def test_busy_seconds_are_those_of_the_transfer_alone() -> None:
    busy = iter([10.0, 14.0])
    report = await Transfer(settling(1), tracker(), busy_clock=lambda: next(busy))
    assert report.busy_seconds == 4.0


@pytest.mark.parametrize("way", ["await", "walk"])
async def test_what_makes_the_whole_transfer_impossible_is_raised(way: str) -> None:
    # Sabotage: end the iteration without looking at `_failure`: half a transfer would look like a whole one.
    error = AuthError("wrong password")
    running = transfer(settling(2, fails=error))
    with pytest.raises(AuthError) as caught:
        if way == "await":
            await running
        else:
            async with running:
                async for _ in running:
                    pass
    assert caught.value is error
    assert len(running.report.done) == 2


async def test_a_slow_reader_does_not_hold_the_engine_up_and_misses_nothing() -> None:
    async with transfer(settling(1000)) as running:
        first = await anext(running)
        await anyio.wait_all_tasks_blocked()
        assert len(running.report.outcomes) == 1000
        assert [first, *[settled async for settled in running]] == list(running.report.outcomes)


async def test_two_readers_share_the_outcomes_and_neither_waits_for_ever() -> None:
    # Sabotage: make a new Event at every wait: the first reader sleeps on one that nobody sets.
    go = anyio.Event()

    async def work(tracker: ResultTracker, stats: RequestStats) -> None:
        await go.wait()
        for number in range(10):
            await record(tracker, outcome(number))
            await anyio.lowlevel.checkpoint()

    seen: list[Outcome] = []
    async with transfer(work) as running:

        async def read() -> None:
            async for settled in running:
                seen.append(settled)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            go.set()
    assert seen == list(running.report.outcomes)
    assert len(seen) == 10


# Sabotage: count `moved` of each state as resent in `ResultTracker._add`; or sum over all files instead of each.
async def test_bytes_of_files_that_are_done_and_of_others_are_counted_apart_file_by_file() -> None:
    async def work(tracker: ResultTracker, stats: RequestStats) -> None:
        await record(tracker, outcome(0), moved=10)  # of which 1 byte stays
        await record(tracker, outcome(1))  # was there already: nothing moved, and nothing to set off against others
        await record(tracker, replace(outcome(2), state=OutcomeState.FAILED, bytes=0), moved=5)
        await record(tracker, replace(outcome(3), state=OutcomeState.UNKNOWN, bytes=0), moved=7)

    report = await transfer(work)
    assert (report.resent_bytes, report.failed_bytes, report.wasted_bytes) == (9, 12, 21)


async def test_leaving_early_cancels_what_is_under_way_and_waits_for_its_cleanup() -> None:
    # Sabotage: drop the cancel in `_running`: leaving the block would wait for the whole transfer.
    cleaned = False

    async def work(tracker: ResultTracker, stats: RequestStats) -> None:
        nonlocal cleaned
        await record(tracker, outcome(0))
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.wait_all_tasks_blocked()
                cleaned = True

    before = asyncio.all_tasks()
    async with transfer(work) as running:
        async for _ in running:
            break
    assert cleaned
    assert asyncio.all_tasks() == before
    assert len(running.report.done) == 1


async def test_an_error_in_the_callers_block_comes_out_as_itself() -> None:
    # Sabotage: hand the error to the task group, which would wrap it.
    with pytest.raises(KeyError):
        async with transfer(settling(1000)):
            raise KeyError("the caller's own")


async def test_cancelling_whoever_awaits_leaves_no_task() -> None:
    async def work(tracker: ResultTracker, stats: RequestStats) -> None:
        await anyio.sleep_forever()

    before = asyncio.all_tasks()
    with anyio.move_on_after(0.01) as scope:
        await transfer(work)
    assert scope.cancelled_caught
    assert asyncio.all_tasks() == before


async def test_a_transfer_runs_once() -> None:
    running = transfer(settling(1))
    await running
    with pytest.raises(RuntimeError, match="runs once"):
        await running


async def test_iterating_outside_the_block_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="async with transfer"):
        await anext(transfer(settling(1)))


async def test_a_transfer_that_is_never_begun_costs_nothing() -> None:
    assert transfer(settling(1)).report.outcomes == ()


# sabotage: leave `_cancelled` out of `_more`: the report of what had settled passes for that of a transfer that ended.
async def test_a_transfer_that_is_cancelled_in_the_moment_in_which_a_file_settles_gives_no_report() -> None:
    started: list[ResultTracker] = []

    async def work(tracker: ResultTracker, stats: RequestStats) -> None:
        started.append(tracker)
        await anyio.sleep_forever()

    async def settle_and_cancel() -> None:
        while not started:
            await anyio.lowlevel.checkpoint()
        await record(started[0], outcome(0))
        scope.cancel()

    with anyio.CancelScope() as scope:
        canceller = asyncio.create_task(settle_and_cancel())
        await transfer(work)
    await canceller
    assert scope.cancelled_caught
