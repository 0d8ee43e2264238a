"""An EM and its users in virtual time, to drive a LimiterScheduler without an event loop.

Owns: when calls arrive, how long they hold the EM, who is refused. Knows the core's methods, nothing of its reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from emasync.http.limiter.permit import Priority
from emasync.http.limiter.scheduler import Grant, LimiterEvent, LimiterScheduler, Ticket


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
class Story:
    """What happened: (time, taken) of every request as the server saw it, and how it ended."""

    requests: list[tuple[float, bool]] = field(default_factory=list)
    events: list[LimiterEvent] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    expired: int = 0
    widest: int = 0
    seconds: float = 0.0

    def refused_after(self, first: int) -> int:
        return sum(not taken for _, taken in self.requests[first:])


class SimulatorState:
    """`workers` work off `calls` calls, each refused one again, until all are through."""

    def __init__(
        self,
        core: LimiterScheduler,
        server: Server,
        *,
        calls: int,
        workers: int,
        priority: Callable[[int], Priority] = lambda _: Priority.BULK,
        probes: bool = False,
        budget_s: float = 1e9,
    ) -> None:
        self.core, self.server, self.story = core, server, Story()
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

    def run(self) -> Story:
        for _ in range(self._workers):
            self._next_call()
        self._turn()
        while self._agenda:
            self.now, _, action = heappop(self._agenda)
            action()
            self._turn()
        assert not self.core.waiting, "calls wait, and nothing will ever wake them"
        assert not self.core.in_flight, "a place was not given back"
        return self.story

    def at(self, time: float, action: Callable[[], None]) -> None:
        heappush(self._agenda, (time, next(self._number), action))

    def _next_call(self) -> None:
        if self._left:
            self._left -= 1
            self._request(next(self._calls))

    def _request(self, call: int) -> None:
        ticket = Ticket(id=next(self._ids), priority=self._priority(call), busy_budget_s=self._budget_s)
        self._wanted[ticket.id] = call
        self.core.request(ticket, self.now)

    def _turn(self) -> None:
        turn = self.core.turn(self.now)
        self.story.events += turn.events
        self.story.widest = max(self.story.widest, self.core.in_flight)
        assert self.core.in_flight <= self.core.width or not turn.grants
        for grant in turn.grants:
            self._go(grant)
        for _ in turn.expired:
            self.story.expired += 1
            self.at(self.now, self._next_call)
        if turn.wake_at is not None and turn.wake_at != self._alarm:
            self._alarm = turn.wake_at
            self.at(turn.wake_at, lambda: None)

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
            self.story.requests.append((self.now, taken))
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
        self.core.probed(ticket_id, self.now)
        self._send(ticket_id, then=lambda: self._done(ticket_id))

    def _refused(self, ticket_id: int) -> None:
        self.core.refused(ticket_id, self.now)
        self._request(self._wanted[ticket_id])

    def _done(self, ticket_id: int) -> None:
        self.core.passed(ticket_id, self.now)
        self.core.release(ticket_id, self.now)
        self.story.finished.append(self._wanted[ticket_id])
        self.story.seconds = self.now
        self._next_call()
