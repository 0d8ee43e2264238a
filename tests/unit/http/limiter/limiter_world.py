"""An EM and its users in virtual time, to drive a LimiterScheduler without an event loop.

Owns: when calls arrive, how long they hold the EM, who is refused. Knows the scheduler's methods only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from emasync.http.limiter.scheduler import Grant, LimiterEvent, LimiterScheduler, Priority, Ticket


@dataclass(slots=True, kw_only=True)
class Server:
    """Bears `capacity` calls at once (None: any number). Half of `latency_s` passes each way; a call that is taken
    holds a place for `hold_s`; a refusal is answered at once. Others lock it during the `locked` spans."""

    capacity: int | None = None
    latency_s: float = 0.0
    hold_s: float = 0.0
    locked: tuple[tuple[float, float], ...] = ()
    running: int = 0

    def takes(self, now: float) -> bool:
        foreign = any(start <= now < end for start, end in self.locked)
        return not foreign and (self.capacity is None or self.running < self.capacity)


@dataclass(slots=True, kw_only=True)
class Trace:
    """What happened: (time, taken) of every request as the server saw it, and how it ended."""

    requests: list[tuple[float, bool]] = field(default_factory=list)
    events: list[LimiterEvent] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    expired: int = 0
    widest: int = 0
    seconds: float = 0.0

    def refused_after(self, first: int) -> int:
        return sum(not taken for _, taken in self.requests[first:])


class VirtualRun:
    """`workers` work off `calls` calls, each refused one again, until all are through."""

    def __init__(
        self,
        scheduler: LimiterScheduler,
        server: Server,
        *,
        calls: int,
        workers: int,
        priority: Callable[[int], Priority] = lambda _: Priority.BULK,
        probes: bool = False,
        budget_s: float = 1e9,
    ) -> None:
        self.scheduler, self.server, self.trace = scheduler, server, Trace()
        self._left, self._workers, self._priority, self._probes, self._budget_s = (
            calls,
            workers,
            priority,
            probes,
            budget_s,
        )
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number, self._ids, self._calls = count(), count(), count()
        self._wanted: dict[int, int] = {}  # ticket -> call
        self.now = 0.0

    def run(self) -> Trace:
        for _ in range(self._workers):
            self._next_call()
        self._decide()
        while self._agenda:
            self.now, _, action = heappop(self._agenda)
            action()
            self._decide()
        assert not self.scheduler.waiting, "calls wait, and nothing will ever wake them"
        assert not self.scheduler.in_flight, "a place was not given back"
        return self.trace

    def at(self, time: float, action: Callable[[], None]) -> None:
        heappush(self._agenda, (time, next(self._number), action))

    def _next_call(self) -> None:
        if self._left:
            self._left -= 1
            self._request(next(self._calls))

    def _request(self, call: int) -> None:
        ticket = Ticket(id=next(self._ids), priority=self._priority(call), busy_budget_s=self._budget_s)
        self._wanted[ticket.id] = call
        self.scheduler.request(ticket, self.now)

    def _decide(self) -> None:
        decision = self.scheduler.decide(self.now)
        self.trace.events += decision.events
        self.trace.widest = max(self.trace.widest, self.scheduler.in_flight)
        assert self.scheduler.in_flight <= self.scheduler.width or not decision.grants
        for grant in decision.grants:
            self._go(grant)
        for _ in decision.expired:
            self.trace.expired += 1
            self.at(self.now, self._next_call)
        if decision.wake_at is not None and decision.wake_at != self._alarm:
            self._alarm = decision.wake_at
            self.at(decision.wake_at, lambda: None)

    _alarm = -1.0

    def _go(self, grant: Grant) -> None:
        if grant.probe_first and self._probes:
            self._send(grant.id, then=lambda: self._probe_taken(grant.id))
        else:
            self._send(grant.id, then=lambda: self._done(grant.id))

    def _send(self, ticket_id: int, *, then: Callable[[], None]) -> None:
        half = self.server.latency_s / 2

        def arrive() -> None:
            taken = self.server.takes(self.now)
            self.trace.requests.append((self.now, taken))
            if not taken:
                self.at(self.now + half, lambda: self._refused(ticket_id))
                return
            self.server.running += 1
            self.at(self.now + self.server.hold_s, answer)

        def answer() -> None:
            self.server.running -= 1
            self.at(self.now + half, then)

        self.at(self.now + half, arrive)

    def _probe_taken(self, ticket_id: int) -> None:
        self.scheduler.on_probe_success(ticket_id, self.now)
        self._send(ticket_id, then=lambda: self._done(ticket_id))

    def _refused(self, ticket_id: int) -> None:
        self.scheduler.on_busy(ticket_id, self.now)
        self._request(self._wanted[ticket_id])

    def _done(self, ticket_id: int) -> None:
        self.scheduler.on_success(ticket_id, self.now)
        self.scheduler.release(ticket_id, self.now)
        self.trace.finished.append(self._wanted[ticket_id])
        self.trace.seconds = self.now
        self._next_call()
