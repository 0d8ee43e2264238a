from __future__ import annotations

import time

import anyio
import pytest

from emasync.simulator import RealClock, VirtualClock


async def test_a_virtual_clock_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock(start=100.0)
    assert clock.now() == 100.0
    await clock.advance(5.0)
    assert clock.now() == 105.0


async def test_each_sleeper_wakes_at_its_own_time() -> None:
    clock, woken = VirtualClock(start=0.0), list[tuple[str, float]]()

    async def sleeper(name: str, *delays: float) -> None:
        for delay in delays:
            await clock.sleep(delay)
            woken.append((name, clock.now()))

    async with anyio.create_task_group() as group:
        group.start_soon(sleeper, "a", 1.0, 1.0, 1.0)
        group.start_soon(sleeper, "b", 2.5)
        await clock.advance(10.0)
    # Sabotage: jump straight to the target in `advance`, and a's second sleep begins at 10.
    assert woken == [("a", 1.0), ("a", 2.0), ("b", 2.5), ("a", 3.0)]
    assert clock.now() == 10.0


async def test_advance_leaves_later_sleepers_asleep() -> None:
    clock = VirtualClock()
    async with anyio.create_task_group() as group:
        group.start_soon(clock.sleep, 10.0)
        await clock.advance(9.0)
        assert clock.sleeping == 1
        await clock.advance(1.0)
        assert clock.sleeping == 0


async def test_a_cancelled_sleeper_leaves_no_trace() -> None:
    clock = VirtualClock()
    async with anyio.create_task_group() as group:
        group.start_soon(clock.sleep, 10.0)
        await clock.advance(1.0)
        group.cancel_scope.cancel()
    assert clock.sleeping == 0


async def test_hours_pass_at_once_when_the_clock_moves_by_itself() -> None:
    clock, began = VirtualClock(start=0.0, auto=True), time.monotonic()
    ends = list[float]()

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        ends.append(clock.now())

    async with anyio.create_task_group() as group:
        for seconds in (7200.0, 3600.0, 60.0, 60.0):
            group.start_soon(sleeper, seconds)
    assert ends == [60.0, 60.0, 3600.0, 7200.0]
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("clock", [RealClock(), VirtualClock()])
async def test_no_time_at_all_is_no_sleep(clock: RealClock | VirtualClock) -> None:
    await clock.sleep(0.0)
    await clock.sleep(-1.0)


async def test_the_real_clock_tells_wall_time() -> None:
    clock = RealClock()
    assert abs(clock.now() - time.time()) < 1.0
    before = clock.now()
    await clock.sleep(0.001)
    assert clock.now() > before
