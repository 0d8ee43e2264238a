"""Who goes next on one EM, and when: the busy gate's decisions, without a clock or a loop.

Owns: the queue of waiting calls, the park after a refusal, one probe at a time, the busy budgets.
May import lane_width and the gate's priorities. Knows no tasks, no sleeping, no HTTP: every method is told the time
and returns at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TypeAlias

from emasync.http.limiter.aimd import AdaptiveLimit, LimitChanged, LimiterConfig, LimiterState
from emasync.http.limiter.permit import Priority

# Waited time is a sum of differences; without some tolerance a budget could be missed by a rounding and the lane
# would be woken again and again for a wait of nothing.
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One wish to call the EM. Lower ids came earlier and go first within their priority.

    A refused call comes back with a new ticket, behind those that wait: one that the EM never takes (a lock on its
    endpoint alone) cannot hold up all others.
    """

    id: int
    priority: Priority
    busy_budget_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """This ticket may go now. `probe_first`: its body should wait until a cheap call has been taken."""

    id: int
    probe_first: bool
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """This ticket has waited for a busy EM as long as it was willing to; it is out of the queue."""

    id: int
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterWaiting:
    """The EM is busy with others: all wait since then, and one call tries again at `next_probe_at` (lane clock)."""

    since: float
    next_probe_at: float


LimiterEvent: TypeAlias = LimitChanged | LimiterWaiting


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionDecision:
    """What to do now. `wake_at`: ask again then at the latest, even if nothing else happens; None: not by time."""

    grants: tuple[Grant, ...] = ()
    expired: tuple[Expired, ...] = ()
    wake_at: float | None = None
    events: tuple[LimiterEvent, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Backoff:
    """Nobody goes before `until`; then one probe."""

    since: float
    until: float


class LimiterScheduler:
    """The decisions. Tell it what happened, then ask `turn`; a ticket ends by `expired`, `withdraw`, or, once
    granted, by `refused` or `release`. Every id is used once; what is said of a ticket that has ended is ignored.
    `rand` gives numbers in [0, 1)."""

    def __init__(
        self, policy: LimiterConfig, *, now: float, rand: Callable[[], float], memory: LimiterState | None = None
    ) -> None:
        self._policy = policy
        self._rand = rand
        self._width = AdaptiveLimit(policy, now=now, memory=memory)
        self._waiting: dict[int, tuple[Ticket, float]] = {}  # with the busy time at its arrival
        self._queues: dict[Priority, list[int]] = {priority: [] for priority in Priority}
        self._running: set[int] = set()
        self._park: _Backoff | None = None
        self._prober: int | None = None
        self._level = 0  # of the backoff: parks and probes since the EM last took a call
        self._small_run = 0
        self._full_since = now
        self._busy_s, self._busy_at = 0.0, now
        self._parks: list[LimiterWaiting] = []

    @property
    def width(self) -> int:
        """How many calls may run at once."""
        return self._width.width

    @property
    def known_limit(self) -> int | None:
        """The narrowest width that was refused and has not been proved since."""
        return self._width.known_limit

    @property
    def in_flight(self) -> int:
        """How many calls run now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many tickets wait for their turn."""
        return len(self._waiting)

    def busy_s(self, now: float) -> float:
        """Seconds in which somebody wanted to go and nobody could, because the EM was busy with others."""
        self._tick(now)
        return self._busy_s

    def request(self, ticket: Ticket, now: float) -> None:
        """Queue a ticket."""
        self._tick(now)
        self._waiting[ticket.id] = (ticket, self._busy_s)
        heappush(self._queues[ticket.priority], ticket.id)

    def withdraw(self, ticket_id: int, now: float) -> None:
        """The ticket no longer wants to go, whether it waits or was granted and sent nothing."""
        self._tick(now)
        self._waiting.pop(ticket_id, None)
        self._running.discard(ticket_id)
        if self._prober == ticket_id:
            self._prober = None  # the park is over its time already: the next turn picks another

    def probed(self, ticket_id: int, now: float) -> None:
        """A cheap call made under this grant was taken: the lock is gone, so all may go; the ticket still runs."""
        self._tick(now)
        if self._prober == ticket_id:
            self._lift()
            # The backoff stays until a real call is taken: the cheap one may be exempt from the lock.
            self._width.lifted()

    def passed(self, ticket_id: int, now: float) -> None:
        """The EM took the call; it still runs until `release`."""
        self._tick(now)
        if ticket_id not in self._running:
            return
        self._level = 0
        self._width.passed(in_flight=len(self._running))
        if self._prober == ticket_id:
            self._lift()

    def refused(
        self, ticket_id: int, now: float, *, retry_after_s: float | None = None, overloaded: bool = False
    ) -> None:
        """The EM answered 423, or 429 or 503 (`overloaded`); the call is over.

        Beside other calls of ours a 423 is about them, and the width alone answers it: the next one goes when one of
        them ends. With none of ours running, or when an overloaded server names a time, everybody waits.
        """
        self._tick(now)
        if ticket_id not in self._running:
            return
        in_flight = len(self._running)
        self._running.discard(ticket_id)
        self._width.refused(in_flight=in_flight, now=now)
        probe = self._prober == ticket_id
        if probe:
            self._prober = None
        if probe or in_flight == 1 or (overloaded and retry_after_s is not None):
            self._wait(now, retry_after_s, back_off=probe or self._park is None)

    def release(self, ticket_id: int, now: float) -> None:
        """A granted call is over. Without `passed` before, it tells nothing: an error that is not about the lock."""
        self._tick(now)
        self._running.discard(ticket_id)
        if self._prober == ticket_id:
            self._prober = None
            self._wait(now, None, back_off=True)

    def turn(self, now: float) -> AdmissionDecision:
        """All that may be done at this time."""
        self._tick(now)
        if self._park and self._prober is None and now >= self._park.until and len(self._running) >= self._width.width:
            self._lift()  # the wait is over, and calls of ours fill the lane: their ends say more than a probe would
        expired = self._expire() if self._park else ()
        grants = self._grant_probe(now) if self._park else self._grant(now)
        events: tuple[LimiterEvent, ...] = (*self._width.changes, *self._parks)
        self._width.changes.clear()
        self._parks.clear()
        return AdmissionDecision(grants=grants, expired=expired, wake_at=self._wake_at(now), events=events)

    def _grant(self, now: float) -> tuple[Grant, ...]:
        grants = []
        while self._waiting:
            if len(self._running) >= self._width.width:
                due = self._width.due_at(full_since=self._full_since)
                if due is None or now < due:
                    break
                self._width.widen_by_time()
            risky = self._width.is_risky(in_flight=len(self._running) + 1)
            grants.append(self._start(now, risky=risky))
        return tuple(grants)

    def _grant_probe(self, now: float) -> tuple[Grant, ...]:
        assert self._park is not None
        if self._prober is not None or now < self._park.until or not self._waiting:
            return ()
        grant = self._start(now, risky=True)
        self._prober = grant.id
        return (grant,)

    def _start(self, now: float, *, risky: bool) -> Grant:
        ticket, mark = self._waiting.pop(self._choose())
        self._running.add(ticket.id)
        self._full_since = now
        bulk = ticket.priority is Priority.BULK
        return Grant(id=ticket.id, probe_first=risky and bulk, waited_s=self._busy_s - mark)

    def _choose(self) -> int:
        small, bulk = self._front(Priority.SMALL), self._front(Priority.BULK)
        if bulk is None or (small is not None and self._small_run < self._policy.small_run):
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
        if self._park is None:
            return self._width.due_at(full_since=self._full_since)
        left = min(t.busy_budget_s - (self._busy_s - mark) for t, mark in self._waiting.values())
        return now + left if self._prober is not None else min(now + left, self._park.until)

    def _wait(self, now: float, retry_after_s: float | None, *, back_off: bool) -> None:
        policy = self._policy
        delay_s = max(0.0, min(retry_after_s or 0.0, policy.retry_after_cap_s))
        if back_off:  # not for each of many calls that an overloaded server refused together
            step_s = min(policy.backoff_cap_s, policy.backoff_base_s * 2 ** min(self._level, 16))
            delay_s = max(delay_s, step_s * (0.5 + 0.5 * self._rand()))  # two clients must not probe in step
            self._level += 1
        if self._park is None:
            self._park = _Backoff(since=now, until=now + delay_s)
        else:
            self._park.until = max(self._park.until, now + delay_s)
        self._parks = [LimiterWaiting(since=self._park.since, next_probe_at=self._park.until)]

    def _lift(self) -> None:
        self._park = None
        self._prober = None

    def _tick(self, now: float) -> None:
        if self._park and (self._waiting or self._prober is not None):
            self._busy_s += now - self._busy_at
        self._busy_at = now
