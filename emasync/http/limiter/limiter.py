"""The concurrency limiter of one EM: tasks wait here for a permit to send one request.

Tasks wait and are woken here; `scheduler` decides which may go. There is no background task to start or close: the task
that has waited longest also runs the timer. What was learned is kept in a small file for the next run. Must not import
modules of http outside `limiter`.
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
    """The permit to send one request. Report the EM's answer at most once: call `on_success` or `on_busy`.

    A request that ends without a report (see `on_ignore`) counts neither as accepted nor as refused by the EM.
    """

    __slots__ = ("_limiter", "_ticket_id", "waited_s")

    def __init__(self, limiter: ConcurrencyLimiter, *, ticket_id: int, waited_s: float) -> None:
        self._limiter = limiter
        self._ticket_id = ticket_id
        self.waited_s = waited_s
        """Seconds of the wait in which the EM was busy with other clients, not with requests of this limiter."""

    def on_success(self) -> None:
        """Report that the EM accepted the request. It is in flight (its body may take hours) until the block ends."""
        self._limiter._scheduler.on_success(self._ticket_id, self._limiter._clock())
        self._limiter._dispatch()

    def on_busy(self, retry_after_s: float | None, *, overloaded: bool = False) -> None:
        """Report that the EM refused the request with 423 or, if `overloaded`, with 429 or 503; then leave the block.

        `retry_after_s` is the wait that the server asks for. The limiter waits that long (at most 300 s), except after
        a 423 while other requests of this limiter run: they hold the EM's lock themselves, and it ends with them.
        """
        self._limiter._scheduler.on_busy(
            self._ticket_id, self._limiter._clock(), retry_after_s=retry_after_s, overloaded=overloaded
        )
        self._limiter._dispatch()

    def on_ignore(self) -> None:
        """End the request. If nothing was reported before, it failed for a reason other than the EM's lock or load."""
        self._limiter._scheduler.release(self._ticket_id, self._limiter._clock())
        self._limiter._dispatch()


class _Waiter:
    """One task that waits in `acquire`. `wake_at` is the time at which its timer ends; None if it runs no timer."""

    __slots__ = ("result", "wake", "wake_at")

    def __init__(self) -> None:
        self.wake = anyio.Event()
        self.wake_at: float | None = None
        self.result: Grant | Expired | None = None


class ConcurrencyLimiter:
    """Limits how many requests to one EM are in flight. Use it from one event loop only.

    `probe` sends one cheap request (pod status) without a permit and returns whether the EM accepted it: False for 423,
    429 and 503. After a refusal it is sent before the next large body; its exceptions come out of `acquire`. Without
    `probe` the next request itself is the trial. `clock`, `sleep` (both seconds) and `rand` are for tests.
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
        """Seconds so far in which requests waited and none was sent, because the EM was busy with other clients."""
        return self._scheduler.busy_s(self._clock())

    @property
    def backoff_s(self) -> float:
        """Seconds until the next request may be sent, while the EM is busy with other clients; else 0.0."""
        return self._scheduler.backoff_s(self._clock())

    def on_busy_without_permit(self, retry_after_s: float | None, *, overloaded: bool = False) -> None:
        """Report that the EM refused a request that needs no permit (a log-in), so that other requests wait as well."""
        self._scheduler.on_busy_without_permit(self._clock(), retry_after_s=retry_after_s, overloaded=overloaded)
        self._dispatch()

    @contextmanager
    def listen(self, on_event: Callable[[LimiterEvent], None]) -> Generator[None]:
        """Call `on_event` with every `LimitChanged` and `LimiterWaiting` while the block is open.

        `on_event` is called inside tasks that send requests: it must return at once and must not raise.
        """
        self._listeners.append(on_event)
        try:
            yield
        finally:
            self._listeners.remove(on_event)

    def load(self, state: LimiterState | None) -> None:
        """Start with the limit that an earlier limiter learned and saved. RuntimeError once requests run or wait."""
        if self._scheduler.in_flight or self._scheduler.waiting:
            raise RuntimeError("load() must be called before the first request")
        self._scheduler = LimiterScheduler(self._config, now=self._clock(), rand=self._rand, state=state)

    def state(self, *, learned_at: float) -> LimiterState:
        """What the limiter has learned, to be saved for `load`. `learned_at`: the wall clock's time (unix seconds)."""
        return LimiterState(width=self._scheduler.width, known_limit=self._scheduler.known_limit, learned_at=learned_at)

    @asynccontextmanager
    async def acquire(self, priority: Priority, *, busy_budget_s: float) -> AsyncGenerator[Permit]:
        """Wait for the permit to send one request, and hold it while the block is open.

        BusyError once the EM was busy with other clients for `busy_budget_s` seconds of the wait; waiting for requests
        of this limiter does not count. If the waiting task is cancelled, its permit, if any, goes to the next task.
        """
        permit = await self._wait_for_permit(Ticket(id=next(self._ids), priority=priority, busy_budget_s=busy_budget_s))
        try:
            yield permit
        finally:
            permit.on_ignore()

    async def _wait_for_permit(self, ticket: Ticket) -> Permit:
        waited_s = 0.0
        while True:
            result = await self._wait_for_decision(ticket)
            waited_s += result.waited_s
            if isinstance(result, Expired):
                raise BusyError(f"the EM is busy: the request was not sent in {waited_s:.1f} s", waited_s=waited_s)
            permit = Permit(self, ticket_id=ticket.id, waited_s=waited_s)
            if not result.probe_first or self._probe is None or await self._send_probe(permit):
                return permit
            left_s = ticket.busy_budget_s - result.waited_s
            ticket = Ticket(id=next(self._ids), priority=ticket.priority, busy_budget_s=left_s)

    async def _send_probe(self, permit: Permit) -> bool:
        """Send the cheap request. False if the EM refused it: `permit` is then used up."""
        assert self._probe is not None
        try:
            accepted = await self._probe()
        except BaseException:
            permit.on_ignore()
            raise
        if accepted:
            self._scheduler.on_probe_success(permit._ticket_id, self._clock())
            self._dispatch()
        else:
            permit.on_busy(None)
        return accepted

    async def _wait_for_decision(self, ticket: Ticket) -> Grant | Expired:
        waiter = self._waiters[ticket.id] = _Waiter()
        self._scheduler.request(ticket, self._clock())
        try:
            self._dispatch()
            while waiter.result is None:
                await self._wait(waiter)
                if waiter.result is None:
                    self._dispatch()
        except BaseException:  # cancelled, perhaps after the permit was granted: `withdraw` gives it back
            self._waiters.pop(ticket.id, None)
            self._scheduler.withdraw(ticket.id, self._clock())
            self._dispatch()
            raise
        return waiter.result

    async def _wait(self, waiter: _Waiter) -> None:
        """Wait until another task wakes this one. The task that has waited longest also wakes at `_wake_at`."""
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
        """Carry out what the scheduler decides now, and wake the first waiting task if it must set an earlier timer."""
        decision = self._scheduler.decide(self._clock())
        results: tuple[Grant | Expired, ...] = (*decision.grants, *decision.expired)
        for result in results:
            waiter = self._waiters.pop(result.id)
            waiter.result = result
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
