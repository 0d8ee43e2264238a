"""The concurrency limiter of one EM: tasks wait here for a permit to send one request.

Waiting and waking are here, and a small file in which the next run finds what was learned; the decisions are in
`scheduler`. May import scheduler, aimd and errors; knows nothing of HTTP. It owns no task: the first of the waiting
tasks keeps the time, so nothing is to be started, closed or leaked.
"""

from __future__ import annotations

import hashlib
import json
import random
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio

from emasync.errors import BusyError
from emasync.http.limiter.aimd import LimiterConfig, LimiterState
from emasync.http.limiter.scheduler import Expired, Grant, LimiterEvent, LimiterScheduler, Priority, Ticket

_KEPT_S = 86_400.0  # a day: by then somebody else may use the EM, or it may run other software
_LARGEST = 4096  # larger files and limits are not ours


class Permit:
    """The permit to send one request; report its outcome at most once, by `on_success` or `on_busy`.

    A block that is left without a report (`on_ignore`) counts neither for nor against the EM.
    """

    __slots__ = ("_limiter", "_ticket_id", "waited_s")

    def __init__(self, limiter: ConcurrencyLimiter, *, ticket_id: int, waited_s: float) -> None:
        self._limiter = limiter
        self._ticket_id = ticket_id
        self.waited_s = waited_s
        """Seconds that were waited because the EM was busy with others, not because our own limit was reached."""

    def on_success(self) -> None:
        """The EM took the request, which goes on (its body may take hours) until the block is left."""
        self._limiter._scheduler.on_success(self._ticket_id, self._limiter._clock())
        self._limiter._dispatch()

    def on_busy(self, retry_after_s: float | None, *, overloaded: bool = False) -> None:
        """The EM answered 423, or 429 or 503 (`overloaded`). The permit is used up: leave the block, acquire again.

        `retry_after_s` is what the server asks for. It is honoured (up to 300 s), but for a 423 while other requests of
        this limiter run: that lock is our own, and gone when they are.
        """
        self._limiter._scheduler.on_busy(
            self._ticket_id, self._limiter._clock(), retry_after_s=retry_after_s, overloaded=overloaded
        )
        self._limiter._dispatch()

    def on_ignore(self) -> None:
        """The request is over; without a report before, it failed for a reason that is not the EM's lock or load."""
        self._limiter._scheduler.release(self._ticket_id, self._limiter._clock())
        self._limiter._dispatch()


class _Waiter:
    """One task in `acquire`. `wake_at` is the time it sleeps until, if it is the one that keeps the time."""

    __slots__ = ("end", "wake", "wake_at")

    def __init__(self) -> None:
        self.wake = anyio.Event()
        self.wake_at: float | None = None
        self.end: Grant | Expired | None = None


class ConcurrencyLimiter:
    """Limits the requests to one EM that are in flight; one event loop uses it.

    `probe` sends one cheap request (pod status) without a permit and returns whether the EM took it: False for 423, 429
    and 503. It is sent before a large body where requests were refused; what it raises, `acquire` raises. Without
    `probe` the real request is the probe. `clock`, `sleep` (both seconds) and `rand` are for tests.
    Memory: one small object per waiting task; the worker pools bound their number.
    """

    def __init__(
        self,
        *,
        config: LimiterConfig | None = None,
        probe: Callable[[], Awaitable[bool]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._config = config or LimiterConfig()
        self._probe = probe
        self._clock = clock
        self._sleep = sleep
        self._rand = rand
        self._scheduler = LimiterScheduler(self._config, now=clock(), rand=rand)
        self._waiters: dict[int, _Waiter] = {}
        self._wake_at: float | None = None
        self._ids = count()
        self._listeners: list[Callable[[LimiterEvent], None]] = []

    @property
    def busy_s(self) -> float:
        """Seconds so far in which requests waited and none could go, because the EM was busy with others."""
        return self._scheduler.busy_s(self._clock())

    @property
    def backoff_s(self) -> float:
        """Seconds until the next request may go while the EM is busy with others; 0.0 while it is not."""
        return self._scheduler.backoff_s(self._clock())

    def on_busy_without_permit(self, retry_after_s: float | None, *, overloaded: bool = False) -> None:
        """The EM answered busy to a request that needs no permit (a log-in): hold back the others, too."""
        self._scheduler.on_busy_without_permit(self._clock(), retry_after_s=retry_after_s, overloaded=overloaded)
        self._dispatch()

    @contextmanager
    def listen(self, on_event: Callable[[LimiterEvent], None]) -> Generator[None]:
        """Call `on_event` with every `LimitChanged` and `LimiterWaiting` while the block is open.

        It is called in the middle of other tasks' requests: it must be quick and must not raise.
        """
        self._listeners.append(on_event)
        try:
            yield
        finally:
            self._listeners.remove(on_event)

    def load(self, state: LimiterState | None) -> None:
        """Start from what was learned earlier. RuntimeError once the limiter is in use."""
        if self._scheduler.in_flight or self._scheduler.waiting:
            raise RuntimeError("load() comes before the first request")
        self._scheduler = LimiterScheduler(self._config, now=self._clock(), rand=self._rand, state=state)

    def state(self, *, learned_at: float) -> LimiterState:
        """What has been learned, to be saved; `learned_at` is the wall clock's time (unix seconds)."""
        return LimiterState(width=self._scheduler.width, known_limit=self._scheduler.known_limit, learned_at=learned_at)

    @asynccontextmanager
    async def acquire(self, priority: Priority, *, busy_budget_s: float) -> AsyncGenerator[Permit]:
        """Wait for the permit to send one request, and hold it while the block is open.

        BusyError once the EM was busy with others for `busy_budget_s` of the waiting; time spent behind requests of
        this limiter does not count. Cancelled while waiting, a permit that was already granted goes to the next task.
        """
        permit = await self._wait_for_permit(Ticket(id=next(self._ids), priority=priority, busy_budget_s=busy_budget_s))
        try:
            yield permit
        finally:
            permit.on_ignore()

    async def _wait_for_permit(self, ticket: Ticket) -> Permit:
        waited_s = 0.0
        while True:
            end = await self._wait_for_decision(ticket)
            waited_s += end.waited_s
            if isinstance(end, Expired):
                raise BusyError(f"the EM is busy: no permit within {waited_s:.1f} s of waiting", waited_s=waited_s)
            permit = Permit(self, ticket_id=ticket.id, waited_s=waited_s)
            if not end.probe_first or self._probe is None or await self._probed(permit):
                return permit
            left_s = ticket.busy_budget_s - end.waited_s
            ticket = Ticket(id=next(self._ids), priority=ticket.priority, busy_budget_s=left_s)

    async def _probed(self, permit: Permit) -> bool:
        """Whether the EM took the cheap request; if not, the permit is used up."""
        assert self._probe is not None
        try:
            taken = await self._probe()
        except BaseException:
            permit.on_ignore()
            raise
        if taken:
            self._scheduler.on_probe_success(permit._ticket_id, self._clock())
            self._dispatch()
        else:
            permit.on_busy(None)
        return taken

    async def _wait_for_decision(self, ticket: Ticket) -> Grant | Expired:
        waiter = self._waiters[ticket.id] = _Waiter()
        self._scheduler.request(ticket, self._clock())
        try:
            self._dispatch()
            while waiter.end is None:
                await self._wait(waiter)
                if waiter.end is None:
                    self._dispatch()
        except BaseException:  # cancelled, perhaps with the permit already granted
            self._waiters.pop(ticket.id, None)
            self._scheduler.withdraw(ticket.id, self._clock())
            self._dispatch()
            raise
        return waiter.end

    async def _wait(self, waiter: _Waiter) -> None:
        """Wait until this waiter is woken or, if it is the first of all, until a decision is due."""
        waiter.wake = anyio.Event()
        waiter.wake_at = self._wake_at if waiter is next(iter(self._waiters.values())) else None
        if waiter.wake_at is None:
            await waiter.wake.wait()
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._timer, waiter.wake, waiter.wake_at - self._clock())
            await waiter.wake.wait()
            tasks.cancel_scope.cancel()

    async def _timer(self, wake: anyio.Event, delay_s: float) -> None:
        await self._sleep(max(0.0, delay_s))
        wake.set()

    def _dispatch(self) -> None:
        """Carry out what the scheduler decides now, and have a task awake when it must be asked again."""
        decision = self._scheduler.decide(self._clock())
        ends: tuple[Grant | Expired, ...] = (*decision.grants, *decision.expired)
        for end in ends:
            waiter = self._waiters.pop(end.id)
            waiter.end = end
            waiter.wake.set()
        self._wake_at = decision.wake_at
        if decision.wake_at is not None:
            first = next(iter(self._waiters.values()))
            if first.wake_at is None or decision.wake_at < first.wake_at:
                first.wake.set()
        for event in decision.events:
            for on_event in tuple(self._listeners):
                on_event(event)


def load_state(folder: Path, base_url: str, *, now: float) -> LimiterState | None:
    """What was saved for this EM less than a day before `now` (unix seconds), or None.

    A file that is missing, unreadable, broken or from the future counts as none.
    """
    try:
        with _file(folder, base_url).open("rb") as file:
            found: Any = json.loads(file.read(_LARGEST))
        state = LimiterState(
            width=_checked_width(found["width"]),
            known_limit=None if found["ceiling"] is None else _checked_width(found["ceiling"]),
            learned_at=float(found["learned_at"]),
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return state if 0.0 <= now - state.learned_at < _KEPT_S else None


def save_state(folder: Path, base_url: str, state: LimiterState) -> bool:
    """Write `state` whole or not at all, and return whether it was written: a run does not fail for this file."""
    target = _file(folder, base_url)
    temp = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
    values = {"width": state.width, "ceiling": state.known_limit, "learned_at": state.learned_at}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with temp.open("x", encoding="ascii") as file:
                json.dump(values, file)
            temp.replace(target)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
    except OSError:
        return False
    return True


def _file(folder: Path, base_url: str) -> Path:
    url = urlsplit(base_url)
    address = f"{url.scheme}://{url.netloc.rpartition('@')[2].lower()}{url.path.rstrip('/')}"
    return folder / f"lane-{hashlib.sha256(address.encode()).hexdigest()[:16]}.json"


def _checked_width(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST:
        raise ValueError(f"{value!r} is no concurrency limit")
    return value
