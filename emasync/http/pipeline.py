"""The request pipeline: token, permit, one request, and what the retry table says about its failure.

Holds the loop of attempts of a single request; the caller decides what a response means, inside `async with attempt`.
Knows nothing of many files, or of files on disk: must not import disk.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import anyio

from emasync.config import RetryPolicy
from emasync.errors import AuthError, BusyError, EMError, UnknownOutcomeError, is_out_of_files
from emasync.http.auth import LoginSender, TokenStore
from emasync.http.limiter.limiter import ConcurrencyLimiter, Permit
from emasync.http.limiter.scheduler import Priority
from emasync.http.response import Response
from emasync.http.retry import AttemptHistory, RetryAction, RetryDecision, busy_budget_spent, decide
from emasync.http.transport import Transport
from emasync.http.upload import Body
from emasync.model import Token
from emasync.wire.requests import ApiRequest, Kind

Sleep = Callable[[float], Awaitable[None]]

_ASSUMED_SECONDS_PER_BYTE = 1e-6  # of an upload, until one has shown how fast it goes
_MEASURED_BYTES = 1024 * 1024  # an upload of this size or more says how long the next one will take
_log = logging.getLogger("emasync")

_HOW_TO_CHECK = {
    "em/pod/run": "`pods.status()` shows what runs now",
    "em/pod/image/build": "`images.list()` shows whether it was built",
    "em/pod/image/load": "`images.list()` shows whether it was loaded",
    "em/files/delete": "`files.list()` shows what is there",
    "em/files/uplink": "`files.list()` shows what arrived",
}


@dataclass(slots=True)
class RequestStats:
    """What the requests of one transfer, or of one file of it, cost and share. All sums are added to `parent` too.

    Counted: requests sent, seconds of waiting for a busy EM, failures, payload bytes. `error_budget`: how many failures
    all these requests may have together. `sleep`: how they wait before they are sent again, None for the parent's way.
    """

    parent: RequestStats | None = None
    error_budget: float = math.inf
    requests: int = 0
    busy_s: float = 0.0
    errors: int = 0
    bytes_transferred: int = 0
    sleep: Sleep | None = None

    def add(self, *, requests: int = 0, busy_s: float = 0.0, errors: int = 0, bytes_transferred: int = 0) -> None:
        """Add to the sums."""
        self.requests += requests
        self.busy_s += busy_s
        self.errors += errors
        self.bytes_transferred += bytes_transferred
        if self.parent is not None:
            self.parent.add(requests=requests, busy_s=busy_s, errors=errors, bytes_transferred=bytes_transferred)

    @property
    def exhausted(self) -> bool:
        """Whether the error budget, here or in `parent`, is used up."""
        return self.errors > self.error_budget or (self.parent is not None and self.parent.exhausted)

    @property
    def retry_sleep(self) -> Sleep | None:
        """The nearest `sleep` on the way up."""
        return self.sleep or (self.parent.retry_sleep if self.parent is not None else None)


@dataclass(slots=True, kw_only=True)
class _RequestState:
    """One request on its way through its attempts."""

    request: ApiRequest
    stats: RequestStats
    body: Callable[[], Body] | None = None
    size: int = 0  # bytes of that body
    raise_shortage: bool = False
    errors: int = 0
    refused: int = 0
    busy_s: float = 0.0
    responses: int = 0
    token: Token | None = None
    unsent: bool = False  # there was no token to send it with
    retry: RetryDecision | None = None  # what was decided after the last failure
    succeeded: bool = False


class Attempts:
    """The attempts at one request, for ``async for``. It owns nothing: the loop may be left at any point."""

    __slots__ = ("_pipeline", "_state")

    def __init__(self, pipeline: RequestPipeline, state: _RequestState) -> None:
        self._pipeline = pipeline
        self._state = state

    def __aiter__(self) -> Attempts:
        return self

    async def __anext__(self) -> Attempt:
        if self._state.succeeded:
            raise StopAsyncIteration
        return Attempt(self._pipeline, self._state)


class Attempt:
    """One response to a request: ``async with attempt as response``. Permit and connection are held by the block.

    Entering sends the request until a response begins; failures before that are repeated as the retry table says. An
    EMError that leaves the block is judged by the same table: swallowed if another attempt follows, else raised. The
    waiting comes before the next sending, when neither permit nor connection is held.
    """

    __slots__ = ("_pipeline", "_repeated", "_resources", "_state", "number")

    def __init__(self, pipeline: RequestPipeline, state: _RequestState, *, repeated: bool = True) -> None:
        self.number: int = 0
        """How many responses to the request have begun, this one included."""
        self._pipeline = pipeline
        self._state = state
        self._repeated = repeated
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Response:
        state, pipeline = self._state, self._pipeline
        while True:
            await pipeline._prepare(state)
            try:
                async with AsyncExitStack() as stack:
                    response = await pipeline._send(state, stack)
                    self._resources = stack.pop_all()
                    state.responses += 1
                    self.number = state.responses
                    return response
            except EMError as error:
                if (final := pipeline._judge(state, error)) is not None:
                    raise final from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        await self._resources.__aexit__(kind, error, trace)  # first: the transport takes secrets out of what passes it
        if error is None:
            self._state.succeeded = True
        if not self._repeated or not isinstance(error, EMError):
            return False
        final = self._pipeline._judge(self._state, error)
        if final is None or final is error:
            return final is None
        raise final from None


class RequestPipeline:
    """Sends requests of one user to one EM. All waiting (backoff, busy EM) happens here, and holds no connection."""

    def __init__(  # noqa: PLR0913 - clock, sleep and randomness are passed in
        self,
        transport: Transport,
        *,
        username: str,
        password: str,
        limiter: ConcurrencyLimiter,
        policy: RetryPolicy,
        sleep: Sleep = anyio.sleep,
        rand: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        log_in = LoginSender(transport, limiter=limiter, policy=policy, sleep=sleep, rand=rand)
        self.tokens: TokenStore = TokenStore(username, password, exchange=log_in.send)
        self._transport = transport
        self._limiter = limiter
        self._policy = policy
        self._sleep = sleep
        self._rand = rand
        self._clock = clock
        self._seconds_per_byte = _ASSUMED_SECONDS_PER_BYTE

    def close_idle_connections(self) -> None:
        """Open files have run short: close the connections that wait for a next request."""
        self._transport.close_idle_connections()

    def attempts(
        self,
        request: ApiRequest,
        *,
        body: Callable[[], Body] | None = None,
        size: int = 0,
        stats: RequestStats | None = None,
        raise_shortage: bool = False,
    ) -> Attempts:
        """The attempts at `request` that the retry policy allows; the loop ends with the first block that succeeds.

        ::

            async for attempt in pipeline.attempts(request):
                async with attempt as response:
                    value = await response.json()

        `body` makes a fresh body for each sending, of about `size` bytes: the token is to live for as long as they will
        take. UnknownOutcomeError when the request may have taken effect and repeating it could do harm: look first.
        With `raise_shortage` an error that says that no more files can be opened here is raised at once, so that others
        of this process can make room. Cancellation drops the connection.
        """
        stats = stats or RequestStats()
        state = _RequestState(request=request, stats=stats, body=body, size=size, raise_shortage=raise_shortage)
        return Attempts(self, state)

    async def json(self, request: ApiRequest, *, stats: RequestStats | None = None) -> Any:
        """The JSON value that answers `request`, after as many attempts as the retry policy allows."""
        async for attempt in self.attempts(request, stats=stats):
            async with attempt as response:
                value = await response.json()
        return value

    def open(self, request: ApiRequest, *, stats: RequestStats | None = None) -> Attempt:
        """``async with pipeline.open(request) as response``: what fails before the response begins is repeated, what
        fails in the block is raised."""
        return Attempt(self, _RequestState(request=request, stats=stats or RequestStats()), repeated=False)

    async def probe(self, request: ApiRequest) -> bool:
        """Whether the EM takes `request`, a cheap one, now: sent once and without a permit. False for 423, 429, 503.

        Any other failure counts as taken: the real request that follows will find out what it means.
        """
        try:
            token = await self.tokens.get()
            async with self._transport.send(request, token=token.access) as response:
                await response.json()
        except BusyError:
            return False
        except EMError:
            pass
        return True

    async def _prepare(self, state: _RequestState) -> None:
        """Do what was decided after the last failure: sleep, or replace the refused token."""
        decision, state.retry = state.retry, None
        if decision is None:
            return
        if decision.next is RetryAction.LOG_IN and state.token is not None:
            await self.tokens.replace(state.token)
        elif decision.next is RetryAction.RETRY:
            await (state.stats.retry_sleep or self._sleep)(decision.delay_s)

    async def _authorise(self, state: _RequestState) -> Token:
        """A token to send now. A failure here is final for the request, which was not sent: the log-in had its own row
        of the retry table."""
        try:
            state.token = await self.tokens.get(needed_s=state.size * self._seconds_per_byte)
        except EMError:
            state.unsent = True
            raise
        return state.token

    async def _send(self, state: _RequestState, stack: AsyncExitStack) -> Response:
        """Send the request once; `stack` holds permit and connection."""
        await self._authorise(state)  # a log-in holds no permit
        permit = await self._acquire(state, stack)
        token = await self._authorise(state)  # again, at no cost unless the token grew old in the wait
        began = self._clock()
        state.stats.add(requests=1)
        body = state.body() if state.body is not None else None
        try:
            response = await stack.enter_async_context(
                self._transport.send(state.request, token=token.access, body=body)
            )
        except BusyError as error:
            permit.on_busy(error.retry_after_s, overloaded=error.status != 423)
            raise
        permit.on_success()
        if state.size >= _MEASURED_BYTES:
            self._seconds_per_byte = (self._clock() - began) / state.size
        return response

    async def _acquire(self, state: _RequestState, stack: AsyncExitStack) -> Permit:
        """Wait for a permit within what is left of the busy budget."""
        budget_s = self._policy.busy_timeout_s - state.busy_s
        try:
            permit = await stack.enter_async_context(
                self._limiter.acquire(_priority(state.request), busy_budget_s=budget_s)
            )
        except BusyError as error:
            state.busy_s += max(error.waited_s, budget_s)  # the limiter gave up: so does the request
            state.stats.add(busy_s=error.waited_s)
            raise
        state.busy_s += permit.waited_s
        state.stats.add(busy_s=permit.waited_s)
        return permit

    def _judge(self, state: _RequestState, error: EMError) -> EMError | None:
        """None if the request is to be sent again after `error` (`state.retry` says how), else what to raise."""
        request = state.request
        short = is_out_of_files(error)
        if state.unsent or (short and state.raise_shortage):
            return error
        if isinstance(error, AuthError):
            state.refused += 1
        elif not isinstance(error, BusyError):
            state.errors += 1
            state.stats.add(errors=not short)  # a shortage is no fault of the link
        exhausted = self._policy.retries + 1 if state.stats.exhausted else 0
        history = AttemptHistory(errors=max(state.errors, exhausted), refused=state.refused)
        state.retry = decide(request.kind, error, history=history, policy=self._policy, rand=self._rand())
        action = state.retry.next
        _log.debug("%s: %s: %s", request, type(error).__name__, action)
        if action is RetryAction.WAIT and state.busy_s >= self._policy.busy_timeout_s:
            return busy_budget_spent(error, waited_s=state.busy_s)
        if action in (RetryAction.RECONCILE, RetryAction.UNKNOWN):
            check = _HOW_TO_CHECK.get(request.path, "list to see")
            text = f"{request}: sent, but the answer was lost ({error}); it may have taken effect, {check}"
            return UnknownOutcomeError(text, call=str(request), cause=error)
        return error if action is RetryAction.STOP else None


def _priority(request: ApiRequest) -> Priority:
    # a build or load is BULK, too: as the probe of a locked EM it would keep all others waiting for hours
    bulk = request.long or request.kind in (Kind.UPLINK, Kind.DOWNLINK)
    return Priority.BULK if bulk else Priority.SMALL
