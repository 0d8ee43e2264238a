"""The limiter's decisions: which request goes next, when, and how long all wait while the EM is busy.

Pure: every method is told the time and returns at once. Holds the queue, the backoff after a refusal, one probe at a
time, and the busy budgets. Must not import anything of emasync but aimd.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from heapq import heappop, heappush
from typing import TypeAlias

from emasync.http.limiter.aimd import AdaptiveLimit, LimitChanged, LimiterConfig, LimiterState

# The waited time is a sum of differences: without some tolerance a rounding error could miss the end of a budget, and
# the limiter would be woken again and again for a wait of nothing.
_ROUNDING_S = 1e-6


class Priority(IntEnum):
    """SMALL requests (status, list, delete) go before BULK ones (uplink, downlink, build, load) as far as none starves,
    and may be the probe of an EM that was busy."""

    SMALL = 0
    BULK = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One request that waits for a permit. Lower ids came earlier and go first within their priority.

    A refused request comes back with a new ticket, behind those that wait: one that the EM never takes (a lock on its
    endpoint alone) cannot hold up all others.
    """

    id: int
    priority: Priority
    busy_budget_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """This ticket may go now. `probe_first`: its body should wait until the EM has taken a cheap request."""

    id: int
    probe_first: bool
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """This ticket has used up its budget of waiting for a busy EM, and has left the queue."""

    id: int
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterWaiting:
    """The EM is busy with others: all wait `since` then; one request probes at `next_probe_at` (limiter's clock)."""

    since: float
    next_probe_at: float


LimiterEvent: TypeAlias = LimitChanged | LimiterWaiting


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionDecision:
    """What to do now. `wake_at`: ask again at that time even if nothing happens before; None: no time matters."""

    grants: tuple[Grant, ...] = ()
    expired: tuple[Expired, ...] = ()
    wake_at: float | None = None
    events: tuple[LimiterEvent, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Backoff:
    """No request goes before `until`; then one goes as a probe."""

    since: float
    until: float


class LimiterScheduler:
    """Report what happened, then ask `decide`. A ticket ends by expiring, by `withdraw` or, once granted, by `on_busy`
    or `release`. Every id is used once; a report about an ended ticket is ignored. `rand` gives numbers in [0, 1)."""

    def __init__(
        self, config: LimiterConfig, *, now: float, rand: Callable[[], float], state: LimiterState | None = None
    ) -> None:
        self._config = config
        self._rand = rand
        self._limit = AdaptiveLimit(config, now=now, state=state)
        self._waiting: dict[int, tuple[Ticket, float]] = {}  # with the busy seconds at its arrival
        self._queues: dict[Priority, list[int]] = {priority: [] for priority in Priority}
        self._running: set[int] = set()
        self._backoff: _Backoff | None = None
        self._probe_id: int | None = None
        self._backoff_level = 0  # waits and probes since the EM last took a request
        self._small_run = 0
        self._full_since = now
        self._busy_s, self._busy_at = 0.0, now
        self._backoff_events: list[LimiterWaiting] = []

    @property
    def width(self) -> int:
        """How many requests may run at once."""
        return self._limit.width

    @property
    def known_limit(self) -> int | None:
        """See `AdaptiveLimit.known_limit`."""
        return self._limit.known_limit

    @property
    def in_flight(self) -> int:
        """How many requests run now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many tickets wait."""
        return len(self._waiting)

    def busy_s(self, now: float) -> float:
        """Seconds so far in which requests waited and none could go, because the EM was busy with others."""
        self._tick(now)
        return self._busy_s

    def backoff_s(self, now: float) -> float:
        """Seconds until a request may go again; 0.0 where there is no backoff."""
        return max(0.0, self._backoff.until - now) if self._backoff is not None else 0.0

    def request(self, ticket: Ticket, now: float) -> None:
        """Queue a ticket."""
        self._tick(now)
        self._waiting[ticket.id] = (ticket, self._busy_s)
        heappush(self._queues[ticket.priority], ticket.id)

    def withdraw(self, ticket_id: int, now: float) -> None:
        """Drop a ticket that waits, or was granted and has sent nothing."""
        self._tick(now)
        self._waiting.pop(ticket_id, None)
        self._running.discard(ticket_id)
        if self._probe_id == ticket_id:
            self._probe_id = None  # its backoff has run out already: the next decision picks another

    def on_probe_success(self, ticket_id: int, now: float) -> None:
        """The EM took a cheap request made for this ticket: the lock is gone, so all may go; the ticket still runs."""
        self._tick(now)
        if self._probe_id == ticket_id:
            self._end_backoff()
            # The level stays until the EM takes a real request: the cheap one may be exempt from the lock.
            self._limit.on_probe_success()

    def on_success(self, ticket_id: int, now: float) -> None:
        """The EM took the request, which still runs until `release`."""
        self._tick(now)
        if ticket_id not in self._running:
            return
        self._backoff_level = 0
        self._limit.on_success(in_flight=len(self._running))
        if self._probe_id == ticket_id:
            self._end_backoff()

    def on_busy(
        self, ticket_id: int, now: float, *, retry_after_s: float | None = None, overloaded: bool = False
    ) -> None:
        """The EM answered 423, or 429 or 503 (`overloaded`); the request is over.

        While other requests of ours run, a 423 is about them, and a lower limit is the whole answer: the next request
        goes when one of them ends. When none of ours runs, or an overloaded server names a time, all wait.
        """
        self._tick(now)
        if ticket_id not in self._running:
            return
        in_flight = len(self._running)
        self._running.discard(ticket_id)
        self._limit.on_busy(in_flight=in_flight, now=now)
        probe = self._probe_id == ticket_id
        if probe:
            self._probe_id = None
        if probe or in_flight == 1 or (overloaded and retry_after_s is not None):
            self._start_backoff(now, retry_after_s, back_off=probe or self._backoff is None)

    def on_busy_without_permit(self, now: float, *, retry_after_s: float | None, overloaded: bool) -> None:
        """The EM answered busy to a request without a ticket (a log-in): as `on_busy`, but the limit stays."""
        self._tick(now)
        if not self._running or (overloaded and retry_after_s is not None):
            self._start_backoff(now, retry_after_s, back_off=self._backoff is None or now >= self._backoff.until)

    def release(self, ticket_id: int, now: float) -> None:
        """A granted request is over. Without `on_success` before, it failed for a reason that is not the lock."""
        self._tick(now)
        self._running.discard(ticket_id)
        if self._probe_id == ticket_id:
            self._probe_id = None
            self._start_backoff(now, None, back_off=True)

    def decide(self, now: float) -> AdmissionDecision:
        """All that may be done at `now`."""
        self._tick(now)
        if self._may_probe(now) and len(self._running) >= self._limit.width:
            self._end_backoff()  # our requests use the whole limit: how they end tells more than a probe would
        expired = self._expire() if self._backoff else ()
        grants = self._grant_probe(now) if self._backoff else self._grant(now)
        events: tuple[LimiterEvent, ...] = (*self._limit.changes, *self._backoff_events)
        self._limit.changes.clear()
        self._backoff_events.clear()
        return AdmissionDecision(grants=grants, expired=expired, wake_at=self._wake_at(now), events=events)

    def _grant(self, now: float) -> tuple[Grant, ...]:
        grants = []
        while self._waiting:
            if len(self._running) >= self._limit.width:
                due = self._limit.due_at(full_since=self._full_since)
                if due is None or now < due:
                    break
                self._limit.widen_by_time()
            risky = self._limit.is_risky(in_flight=len(self._running) + 1)
            grants.append(self._start(now, risky=risky))
        return tuple(grants)

    def _grant_probe(self, now: float) -> tuple[Grant, ...]:
        if not self._waiting or not self._may_probe(now):
            return ()
        grant = self._start(now, risky=True)
        self._probe_id = grant.id
        return (grant,)

    def _may_probe(self, now: float) -> bool:
        return self._backoff is not None and self._probe_id is None and now >= self._backoff.until

    def _start(self, now: float, *, risky: bool) -> Grant:
        ticket, mark = self._waiting.pop(self._choose())
        self._running.add(ticket.id)
        self._full_since = now
        bulk = ticket.priority is Priority.BULK
        return Grant(id=ticket.id, probe_first=risky and bulk, waited_s=self._busy_s - mark)

    def _choose(self) -> int:
        small, bulk = self._front(Priority.SMALL), self._front(Priority.BULK)
        if bulk is None or (small is not None and self._small_run < self._config.small_run):
            self._small_run = self._small_run + 1 if bulk is not None else 0
            assert small is not None
            return small
        self._small_run = 0
        return bulk

    def _front(self, priority: Priority) -> int | None:
        queue = self._queues[priority]
        while queue and queue[0] not in self._waiting:
            heappop(queue)  # granted, expired or withdrawn since
        return queue[0] if queue else None

    def _expire(self) -> tuple[Expired, ...]:
        late = []
        for ticket, mark in self._waiting.values():
            waited_s = self._busy_s - mark
            if waited_s >= ticket.busy_budget_s - _ROUNDING_S:
                late.append(Expired(id=ticket.id, waited_s=waited_s))
        for ticket_id in (expired.id for expired in late):
            del self._waiting[ticket_id]
        return tuple(late)

    def _wake_at(self, now: float) -> float | None:
        if not self._waiting:
            return None
        if self._backoff is None:
            return self._limit.due_at(full_since=self._full_since)
        left = min(t.busy_budget_s - (self._busy_s - mark) for t, mark in self._waiting.values())
        return now + left if self._probe_id is not None else min(now + left, self._backoff.until)

    def _start_backoff(self, now: float, retry_after_s: float | None, *, back_off: bool) -> None:
        config = self._config
        delay_s = max(0.0, min(retry_after_s or 0.0, config.retry_after_cap_s))
        if back_off:  # not for each of many requests that an overloaded server refused together
            step_s = min(config.backoff_cap_s, config.backoff_base_s * 2 ** min(self._backoff_level, 16))
            delay_s = max(delay_s, step_s * (0.5 + 0.5 * self._rand()))  # two clients must not probe in step
            self._backoff_level += 1
        if self._backoff is None:
            self._backoff = _Backoff(since=now, until=now + delay_s)
        else:
            self._backoff.until = max(self._backoff.until, now + delay_s)
        self._backoff_events = [LimiterWaiting(since=self._backoff.since, next_probe_at=self._backoff.until)]

    def _end_backoff(self) -> None:
        self._backoff = None
        self._probe_id = None

    def _tick(self, now: float) -> None:
        if self._backoff and (self._waiting or self._probe_id is not None):
            self._busy_s += now - self._busy_at
        self._busy_at = now
