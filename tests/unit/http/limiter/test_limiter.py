"""The limiter among tasks: who is woken, and that a task that ends, however, leaves nothing behind. Virtual time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from emasync.errors import BusyError, UnreachableError
from emasync.http.limiter.aimd import LimitChanged, LimiterConfig, LimiterState
from emasync.http.limiter.limiter import ConcurrencyLimiter, Permit
from emasync.http.limiter.scheduler import LimiterEvent, LimiterWaiting, Priority


async def settle() -> None:
    """Let every task run until it waits. Nothing here does I/O, so a fixed number of rounds is enough."""
    for _ in range(30):
        await anyio.lowlevel.checkpoint()


class Time:
    """A clock that moves only when told to, and the sleepers on it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        wake_at = (self.now + seconds, anyio.Event())
        self._sleepers.append(wake_at)
        try:
            await wake_at[1].wait()
        finally:
            self._sleepers.remove(wake_at)

    @property
    def asleep(self) -> int:
        return len(self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move on, waking everybody at their own time, and let all run until they wait again."""
        end = self.now + seconds
        await settle()
        while due := [wake_at for wake_at in self._sleepers if wake_at[0] <= end]:
            first = min(due, key=lambda wake_at: wake_at[0])
            self.now = max(self.now, first[0])
            first[1].set()
            await settle()
        self.now = end


class Bench:
    """A limiter, its clock, and calls on it that go on until they are told to end."""

    def __init__(self, *, probe: Callable[[], Awaitable[bool]] | None = None, width: int = 1) -> None:
        self.time = Time()
        self.limiter = ConcurrencyLimiter(
            config=LimiterConfig(widest=width),
            probe=probe,
            clock=self.time.clock,
            sleep=self.time.sleep,
            rand=lambda: 1.0,
        )
        self.limiter.load(LimiterState(width=width, known_limit=None, learned_at=0.0))
        self.order: list[str] = []
        self.ends: dict[str, anyio.Event] = {}
        self.scopes: defaultdict[str, anyio.CancelScope] = defaultdict(anyio.CancelScope)
        self.permits: dict[str, Permit] = {}
        self.errors: dict[str, Exception] = {}

    async def call(self, name: str, *, priority: Priority = Priority.BULK, budget_s: float = 1e6) -> None:
        self.ends[name] = anyio.Event()
        with self.scopes[name]:
            try:
                async with self.limiter.acquire(priority, busy_budget_s=budget_s) as permit:
                    self.permits[name] = permit
                    self.order.append(name)
                    await self.ends[name].wait()
            except (BusyError, UnreachableError) as error:
                self.errors[name] = error

    async def start_backoff(self) -> None:
        """One call is refused with nothing else running: from now on all wait, the next probe is due in 0.2 s."""
        async with self.limiter.acquire(Priority.SMALL, busy_budget_s=0.0) as permit:
            permit.on_busy(None)

    async def end(self, name: str) -> None:
        self.permits[name].on_success()
        self.ends[name].set()
        await settle()

    def assert_nothing_left(self) -> None:
        assert (self.limiter._scheduler.in_flight, self.limiter._scheduler.waiting, self.time.asleep) == (0, 0, 0)
        assert self.limiter._waiters == {}


@pytest.fixture(name="bench")
async def a_bench() -> AsyncGenerator[Bench]:
    made = Bench()
    yield made
    made.assert_nothing_left()


async def test_a_permit_without_a_report_counts_neither_way_and_is_given_back(bench: Bench) -> None:
    async with bench.limiter.acquire(Priority.SMALL, busy_budget_s=1.0) as permit:
        assert bench.limiter._scheduler.in_flight == 1
        permit.on_ignore()
        assert (bench.limiter._scheduler.in_flight, bench.limiter._scheduler.width) == (0, 1)


async def test_a_call_that_ends_lets_the_next_one_go_small_ones_first(bench: Bench) -> None:
    async with anyio.create_task_group() as calls:
        for name in ("first", "second", "third"):
            calls.start_soon(bench.call, name)
        await settle()
        calls.start_soon(lambda: bench.call("status", priority=Priority.SMALL))
        await settle()
        for name in ("first", "status", "second", "third"):
            await bench.end(name)
    assert bench.order == ["first", "status", "second", "third"]


async def test_a_call_that_raises_gives_its_place_back(bench: Bench) -> None:
    # Sabotage: drop the `finally` in `acquire`.
    with pytest.raises(UnreachableError):
        async with bench.limiter.acquire(Priority.BULK, busy_budget_s=1.0):
            raise UnreachableError("no route")
    bench.assert_nothing_left()


async def test_after_a_refusal_all_wait_and_exactly_one_tries_again(bench: Bench) -> None:
    await bench.start_backoff()
    async with anyio.create_task_group() as calls:
        for name in "abc":
            calls.start_soon(bench.call, name)
        await bench.time.advance(0.19)
        assert bench.order == []
        assert bench.time.asleep == 1, "one keeps the time for all"
        await bench.time.advance(0.02)
        assert bench.order == ["a"]
        assert bench.permits["a"].waited_s == pytest.approx(0.2)
        for name in "abc":
            await bench.end(name)
    assert bench.order == ["a", "b", "c"]
    assert bench.limiter.busy_s == pytest.approx(0.21)


async def test_a_call_that_is_refused_may_acquire_again_and_again(bench: Bench) -> None:
    tries = 0

    async def stubborn() -> None:
        nonlocal tries
        while True:
            async with bench.limiter.acquire(Priority.BULK, busy_budget_s=100.0) as permit:
                tries += 1
                if tries == 4:
                    permit.on_success()
                    return
                permit.on_busy(None)

    async with anyio.create_task_group() as calls:
        calls.start_soon(stubborn)
        await bench.time.advance(0.2 + 0.4 + 0.8)
    assert tries == 4


async def test_the_budget_ends_the_waiting_with_the_time_that_was_waited(bench: Bench) -> None:
    # Sabotage: in `_dispatch`, deal with the grants only.
    async def refuse_for_ever() -> None:
        with pytest.raises(BusyError):
            while True:
                async with bench.limiter.acquire(Priority.SMALL, busy_budget_s=20.0) as permit:
                    permit.on_busy(None)

    await bench.start_backoff()
    async with anyio.create_task_group() as calls:
        calls.start_soon(refuse_for_ever)
        await bench.time.advance(0.0)
        calls.start_soon(lambda: bench.call("late", budget_s=3.0))
        await bench.time.advance(2.9)
        assert "late" not in bench.errors
        await bench.time.advance(0.2)
        error = bench.errors["late"]
        assert isinstance(error, BusyError)
        assert error.waited_s == pytest.approx(3.0)
        calls.cancel_scope.cancel()


async def test_the_one_who_keeps_the_time_may_be_cancelled(bench: Bench) -> None:
    # Sabotage: drop `_dispatch()` after `withdraw` (the next has no time to wake at: it sleeps for ever).
    await bench.start_backoff()
    async with anyio.create_task_group() as calls:
        for name in "ab":
            calls.start_soon(bench.call, name)
        await bench.time.advance(0.1)
        bench.scopes["a"].cancel()
        await bench.time.advance(0.2)
        assert bench.order == ["b"]
        await bench.end("b")


async def test_a_permit_granted_to_a_cancelled_waiter_goes_to_the_next(bench: Bench) -> None:
    # Sabotage: in `_wait_for_decision`, do not withdraw once `waiter.end` is set.
    # asyncio's own cancel: it hits a task whose event is set already, which an anyio scope spares until its next await.
    async with asyncio.TaskGroup() as calls:
        a, b, c = (calls.create_task(bench.call(name)) for name in "abc")
        await settle()
        bench.permits["a"].on_success()
        bench.ends["a"].set()
        while bench.limiter._scheduler.waiting == 2:
            await anyio.lowlevel.checkpoint()  # until "b" has its permit, but has not run yet
        b.cancel()
        await settle()
        assert b.cancelled()
        assert bench.order == ["a", "c"]
        await bench.end("c")
    assert a.done()
    assert c.done()


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("refused", [False, True])
async def test_cancelled_at_any_await_a_call_leaves_no_trace(steps: int, refused: bool) -> None:
    # Sabotage: `except Exception` for `except BaseException` in `_wait_for_decision` or `_send_probe`.
    async def probe() -> bool:
        await anyio.lowlevel.checkpoint()
        await bench.time.sleep(0.1)
        return True

    bench = Bench(probe=probe)
    async with anyio.create_task_group() as calls:
        if refused:
            await bench.start_backoff()
        else:
            calls.start_soon(lambda: bench.call("before"))
            await settle()
        calls.start_soon(lambda: bench.call("victim"))
        calls.start_soon(lambda: bench.call("after"))
        if steps > 5:
            await bench.time.advance(0.2 if steps < 9 else 0.3)  # before the probe, in the probe, in the call
            if not refused:
                bench.ends["before"].set()
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        bench.scopes["victim"].cancel()
        if not refused:
            bench.ends["before"].set()
        await bench.time.advance(30.0)
        assert "after" in bench.order, "the next one was not woken"
        for name in ("victim", "after"):
            if name in bench.ends:
                bench.ends[name].set()
    bench.assert_nothing_left()


async def test_a_large_body_goes_only_after_a_cheap_call_was_taken() -> None:
    # Sabotage: `or True` in the condition of `_wait_for_permit`.
    answers = [False, False, True]
    probes = []

    async def probe() -> bool:
        probes.append(bench.time.now)
        return answers.pop(0)

    bench = Bench(probe=probe)
    await bench.start_backoff()
    async with anyio.create_task_group() as calls:
        calls.start_soon(lambda: bench.call("body"))
        await bench.time.advance(0.2 + 0.4 + 0.7)
        assert bench.order == []
        await bench.time.advance(0.1)
        assert bench.order == ["body"]
        assert bench.permits["body"].waited_s == pytest.approx(1.4)
        await bench.end("body")
    assert probes == pytest.approx([0.2, 0.6, 1.4])
    bench.assert_nothing_left()


async def test_a_small_call_is_its_own_probe() -> None:
    async def probe() -> bool:
        raise AssertionError("no probe is needed")

    bench = Bench(probe=probe)
    await bench.start_backoff()
    async with anyio.create_task_group() as calls:
        calls.start_soon(lambda: bench.call("status", priority=Priority.SMALL))
        await bench.time.advance(0.2)
        await bench.end("status")
    bench.assert_nothing_left()


async def test_what_the_probe_raises_acquire_raises_and_the_next_one_probes() -> None:
    outcomes: list[Exception | None] = [UnreachableError("no route"), None]

    async def probe() -> bool:
        if error := outcomes.pop(0):
            raise error
        return True

    bench = Bench(probe=probe)
    await bench.start_backoff()
    async with anyio.create_task_group() as calls:
        for name in "ab":
            calls.start_soon(bench.call, name)
        await bench.time.advance(1.0)
        assert isinstance(bench.errors["a"], UnreachableError)
        assert bench.order == ["b"]
        await bench.end("b")
    bench.assert_nothing_left()


async def test_budget_spent_over_several_probes_is_counted_together() -> None:
    # Sabotage: pass the whole `busy_budget_s` on in `_wait_for_permit`.
    async def probe() -> bool:
        return False

    bench = Bench(probe=probe)
    await bench.start_backoff()
    async with anyio.create_task_group() as calls:
        calls.start_soon(lambda: bench.call("body", budget_s=10.0))
        await bench.time.advance(10.1)
    error = bench.errors["body"]
    assert isinstance(error, BusyError)
    assert error.waited_s == pytest.approx(10.0)
    bench.assert_nothing_left()


async def test_listeners_hear_of_changes_and_waits_while_they_listen(bench: Bench) -> None:
    heard: list[LimiterEvent] = []
    with bench.limiter.listen(heard.append):
        await bench.start_backoff()
    assert heard == [LimiterWaiting(since=0.0, next_probe_at=0.2)]
    async with anyio.create_task_group() as calls:
        calls.start_soon(lambda: bench.call("probe"))
        await bench.time.advance(0.2)
        bench.permits["probe"].on_busy(None)
        bench.ends["probe"].set()
    assert len(heard) == 1


async def test_a_narrowing_is_heard_and_remembered() -> None:
    bench = Bench(width=4)
    heard: list[LimiterEvent] = []
    with bench.limiter.listen(heard.append):
        async with anyio.create_task_group() as calls:
            for name in "abcd":
                calls.start_soon(bench.call, name)
            await settle()
            for name in "bcd":
                bench.permits[name].on_busy(None)
            for name in "abcd":
                bench.ends[name].set()
    assert [(e.width_before, e.width_after) for e in heard if isinstance(e, LimitChanged)] == [(4, 2), (2, 1)]
    assert bench.limiter.state(learned_at=7.0) == LimiterState(width=1, known_limit=2, learned_at=7.0)
    bench.assert_nothing_left()


async def test_a_limiter_in_use_loads_nothing(bench: Bench) -> None:
    async with bench.limiter.acquire(Priority.SMALL, busy_budget_s=1.0):
        with pytest.raises(RuntimeError, match="before the first request"):
            bench.limiter.load(None)


async def test_a_hundred_tasks_pass_a_limit_of_three_and_none_is_forgotten() -> None:
    # Sabotage: wake only the first waiter for several grants (`break` in `_dispatch`'s loop).
    bench = Bench(width=3)
    at_once = most = done = 0

    async def worker(number: int) -> None:
        nonlocal at_once, most, done
        priority = Priority.SMALL if number % 3 == 0 else Priority.BULK
        async with bench.limiter.acquire(priority, busy_budget_s=1.0) as permit:
            at_once += 1
            most = max(most, at_once)
            for _ in range(number % 4):
                await anyio.lowlevel.checkpoint()
            at_once -= 1
            if number % 5:
                permit.on_success()
        done += 1

    async with anyio.create_task_group() as workers:
        for number in range(100):
            workers.start_soon(worker, number)
    assert (most, done) == (3, 100)
    bench.assert_nothing_left()
