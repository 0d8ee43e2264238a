"""The lane: every call of a Client passes it, so that together they take the EM's lock as it lets itself be taken.

Owns: waiting for one's turn, and giving the turn back whatever happens. The decisions are lane_core's.
May import lane_core, gate and errors. Knows nothing of HTTP. It owns no task: of those who wait, the first keeps the
time, so there is nothing to start, to close or to leak.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from itertools import count

import anyio

from emasync.errors import BusyError
from emasync.http.limiter.aimd import LimiterConfig, LimiterState
from emasync.http.limiter.permit import Priority
from emasync.http.limiter.scheduler import Expired, Grant, LimiterEvent, LimiterScheduler, Ticket


class LimiterPermit:
    """A turn to make one call, given by `ConcurrencyLimiter.enter`; it fits `permit.Permit`. Say at most one thing,
    once."""

    __slots__ = ("_lane", "_ticket_id", "_waited_s")

    def __init__(self, lane: ConcurrencyLimiter, *, ticket_id: int, waited_s: float) -> None:
        self._lane = lane
        self._ticket_id = ticket_id
        self._waited_s = waited_s

    @property
    def waited_s(self) -> float:
        """Seconds this turn was waited for because the EM was busy with others, not for calls of this lane."""
        return self._waited_s

    def passed(self) -> None:
        """The EM took the call. It goes on (its body may take hours) until the context is left."""
        self._lane._core.passed(self._ticket_id, self._lane._clock())
        self._lane._dispatch()

    def refused(self, retry_after_s: float | None, *, overloaded: bool = False) -> None:
        """The EM answered 423, or 429 or 503 (`overloaded`). The turn is over: leave the context, then enter again.

        `retry_after_s` is the server's wish. It is always kept (up to 300 s), but for a 423 beside other calls of
        this lane: that lock is our own, and gone when they are.
        """
        self._lane._core.refused(
            self._ticket_id, self._lane._clock(), retry_after_s=retry_after_s, overloaded=overloaded
        )
        self._lane._dispatch()

    def _leave(self) -> None:
        self._lane._core.release(self._ticket_id, self._lane._clock())
        self._lane._dispatch()


class _Waiter:
    """One task in `enter`. `alarm` is the time it sleeps until, if it is the one that keeps the time."""

    __slots__ = ("alarm", "end", "nudge")

    def __init__(self) -> None:
        self.nudge = anyio.Event()
        self.alarm: float | None = None
        self.end: Grant | Expired | None = None


class ConcurrencyLimiter:
    """The gate of one EM, shared by all calls to it, from one event loop.

    `probe` makes one cheap call (pod status) past the lane and returns whether the EM took it: False for 423, 429 and
    503. It is made by the one who is next before a large body goes where calls were refused; what it raises, `enter`
    raises. Without it the real call is the probe. `clock`, `sleep` (both seconds) and `rand` are for tests.
    Memory: one small object per waiting task, no more; the pools bound those.
    """

    def __init__(
        self,
        *,
        policy: LimiterConfig | None = None,
        probe: Callable[[], Awaitable[bool]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy or LimiterConfig()
        self._probe = probe
        self._clock = clock
        self._sleep = sleep
        self._rand = rand
        self._core = LimiterScheduler(self._policy, now=clock(), rand=rand)
        self._waiters: dict[int, _Waiter] = {}
        self._wake_at: float | None = None
        self._ids = count()
        self._listeners: list[Callable[[LimiterEvent], None]] = []

    @property
    def width(self) -> int:
        """How many calls may run at once, as far as has been learned."""
        return self._core.width

    @property
    def in_flight(self) -> int:
        """How many calls run now."""
        return self._core.in_flight

    @property
    def waiting(self) -> int:
        """How many tasks wait in `enter`."""
        return self._core.waiting

    @property
    def busy_s(self) -> float:
        """Wall seconds so far in which calls waited and none could be made, because the EM was busy with others."""
        return self._core.busy_s(self._clock())

    @contextmanager
    def listen(self, on_event: Callable[[LimiterEvent], None]) -> Generator[None]:
        """Tell `on_event` of every `LimitChanged` and `LimiterWaiting` while the context is open.

        It is called in the middle of other calls' business: it must be quick and must not raise.
        """
        self._listeners.append(on_event)
        try:
            yield
        finally:
            self._listeners.remove(on_event)

    def recall(self, memory: LimiterState | None) -> None:
        """Start from what worked before. Only an unused lane has something to recall: else RuntimeError."""
        if self._core.in_flight or self._core.waiting:
            raise RuntimeError("recall() comes before the first call")
        self._core = LimiterScheduler(self._policy, now=self._clock(), rand=self._rand, memory=memory)

    def memory(self, *, learned_at: float) -> LimiterState:
        """What has been learned, to be kept; `learned_at` is the wall clock's time (unix seconds)."""
        return LimiterState(width=self._core.width, known_limit=self._core.known_limit, learned_at=learned_at)

    @asynccontextmanager
    async def enter(self, priority: Priority, *, busy_budget_s: float) -> AsyncGenerator[LimiterPermit]:
        """Wait for a turn to make one call, and hold it while the context is open.

        BusyError once the EM was busy with others for `busy_budget_s` of the waiting; time spent behind calls of this
        lane does not count. Cancellation while waiting leaves no trace: a turn already given goes to the next.
        """
        leave = await self._wait_for_turn(Ticket(id=next(self._ids), priority=priority, busy_budget_s=busy_budget_s))
        try:
            yield leave
        finally:
            leave._leave()

    async def _wait_for_turn(self, ticket: Ticket) -> LimiterPermit:
        waited_s = 0.0
        while True:
            end = await self._wait_for_end(ticket)
            waited_s += end.waited_s
            if isinstance(end, Expired):
                raise BusyError(f"the EM is busy: no turn within {waited_s:.1f} s of waiting", waited_s=waited_s)
            leave = LimiterPermit(self, ticket_id=ticket.id, waited_s=waited_s)
            if not end.probe_first or self._probe is None or await self._probed(leave):
                return leave
            left_s = ticket.busy_budget_s - end.waited_s
            ticket = Ticket(id=next(self._ids), priority=ticket.priority, busy_budget_s=left_s)

    async def _probed(self, leave: LimiterPermit) -> bool:
        """Whether the cheap call was taken; if not, the turn is over."""
        assert self._probe is not None
        try:
            taken = await self._probe()
        except BaseException:
            leave._leave()
            raise
        if taken:
            self._core.probed(leave._ticket_id, self._clock())
            self._dispatch()
        else:
            leave.refused(None)
        return taken

    async def _wait_for_end(self, ticket: Ticket) -> Grant | Expired:
        waiter = self._waiters[ticket.id] = _Waiter()
        self._core.request(ticket, self._clock())
        try:
            self._dispatch()
            while waiter.end is None:
                await self._wait(waiter)
                if waiter.end is None:
                    self._dispatch()
        except BaseException:  # cancelled, perhaps with the turn already given
            self._waiters.pop(ticket.id, None)
            self._core.withdraw(ticket.id, self._clock())
            self._dispatch()
            raise
        return waiter.end

    async def _wait(self, waiter: _Waiter) -> None:
        """Until something happens to this waiter or, for the first of all, until it is time to look again."""
        waiter.nudge = anyio.Event()
        waiter.alarm = self._wake_at if waiter is next(iter(self._waiters.values())) else None
        if waiter.alarm is None:
            await waiter.nudge.wait()
            return
        async with anyio.create_task_group() as naps:
            naps.start_soon(self._timer, waiter.nudge, waiter.alarm - self._clock())
            await waiter.nudge.wait()
            naps.cancel_scope.cancel()

    async def _timer(self, nudge: anyio.Event, delay_s: float) -> None:
        await self._sleep(max(0.0, delay_s))
        nudge.set()

    def _dispatch(self) -> None:
        """Carry out what the core decides now, and have somebody awake when it must be asked again."""
        turn = self._core.turn(self._clock())
        ends: tuple[Grant | Expired, ...] = (*turn.grants, *turn.expired)
        for end in ends:
            waiter = self._waiters.pop(end.id)
            waiter.end = end
            waiter.nudge.set()
        self._wake_at = turn.wake_at
        if turn.wake_at is not None:
            first = next(iter(self._waiters.values()))
            if first.alarm is None or turn.wake_at < first.alarm:
                first.nudge.set()
        for event in turn.events:
            for on_event in tuple(self._listeners):
                on_event(event)
