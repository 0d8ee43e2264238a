"""A transport and a limiter that do what a test tells them: the request path without a socket, a clock or luck."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

from emasync.config import RetryPolicy
from emasync.errors import BusyError, EMError
from emasync.http import Body, Transport
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.http.limiter.scheduler import Priority
from emasync.http.pipeline import RequestPipeline
from emasync.model import FileTree
from emasync.wire.requests import ApiRequest
from emasync.wire.responses import check_success
from tests.unit.wire.listings import read_listing

Answer = Any
"""A JSON value, bytes of a body, or the EMError that sending raises."""


class FakeResponse:
    """What `Transport.send` yields, made of a JSON value or of raw bytes."""

    def __init__(self, request: ApiRequest, answer: Answer, headers: Mapping[str, str]) -> None:
        self.request = request
        self.headers = headers
        self._answer = answer
        self._chunks = [answer[i : i + 7] for i in range(0, len(answer), 7)] if isinstance(answer, bytes) else []

    async def json(self) -> Any:
        check_success(self._answer)
        return deepcopy(self._answer)

    async def listing(self, *, only: Collection[str] | None = None) -> FileTree:
        return read_listing(json.dumps(self._answer), only=only)

    def check_facts(self, facts: object) -> None:
        """Every answer comes on a connection of its own."""

    async def receive(self) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""


@dataclass
class FakeEM:
    """Answers `path` with the next of `answers[path]`, the last one again and again; log-ins with numbered tokens."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    sent: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    bodies: list[Body | None] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    limiter: FakeLimiter = field(default_factory=lambda: FakeLimiter())
    open_responses: int = 0
    logged_in: int = 0

    @asynccontextmanager
    async def send(
        self, call: ApiRequest, *, token: str | None = None, body: Body | None = None
    ) -> AsyncIterator[FakeResponse]:
        self.sent.append(call.path)
        self.tokens.append(token)
        self.bodies.append(body)
        answer = self._next(call)
        if isinstance(answer, EMError):
            raise answer
        self.open_responses += 1
        try:
            yield FakeResponse(call, answer, self.headers)
        finally:
            self.open_responses -= 1

    def _next(self, call: ApiRequest) -> Answer:
        planned = self.answers.get(call.path)
        if planned is not None:
            return planned.pop(0) if len(planned) > 1 else planned[0]
        if call.path == "auth/":
            self.logged_in += 1
            return {"access": f"token-{self.logged_in}"}
        return {"data": None}

    async def _sleep(self, seconds: float) -> None:
        assert self.limiter.inside == 0, "sleeping holds no permit"
        assert self.open_responses == 0, "sleeping holds no connection"
        self.slept.append(seconds)

    def pipeline(self, *, rand: Callable[[], float] = lambda: 0.5) -> RequestPipeline:
        return RequestPipeline(
            cast(Transport, self),
            username="client1",
            password="canary",
            limiter=cast(ConcurrencyLimiter, self.limiter),
            policy=self.policy,
            sleep=self._sleep,
            rand=rand,
        )

    def count(self, path: str) -> int:
        """How often `path` was asked for."""
        return self.sent.count(path)


@dataclass
class FakePermit:
    limiter: FakeLimiter
    waited_s: float

    def on_success(self) -> None:
        self.limiter.reports.append("success")

    def on_ignore(self) -> None:
        self.limiter.reports.append("ignore")

    def on_busy(self, retry_after_s: float | None, *, overloaded: bool = False) -> None:
        self.limiter.reports.append(f"busy {retry_after_s}{' overloaded' if overloaded else ''}")


@dataclass
class FakeLimiter:
    """Each entry waits (on paper) for the next of `waits` seconds, and gives up when that is beyond the budget."""

    waits: list[float] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    priorities: list[Priority] = field(default_factory=list)
    budgets: list[float] = field(default_factory=list)
    inside: int = 0
    backoff_s: float = 0.0

    def on_busy_without_permit(self, retry_after_s: float | None, *, overloaded: bool = False) -> None:
        self.reports.append(f"busy without permit {retry_after_s}{' overloaded' if overloaded else ''}")

    @asynccontextmanager
    async def acquire(self, priority: Priority, *, busy_budget_s: float) -> AsyncIterator[FakePermit]:
        self.priorities.append(priority)
        self.budgets.append(busy_budget_s)
        waited = self.waits.pop(0) if self.waits else 0.0
        if waited > busy_budget_s:
            raise BusyError("the EM is busy: no permit", waited_s=busy_budget_s)
        self.inside += 1
        try:
            yield FakePermit(self, waited)
        finally:
            self.inside -= 1
