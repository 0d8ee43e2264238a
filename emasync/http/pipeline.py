"""The one request path: token, gate, one send, and what the retry table says about its end.

Owns: the loop of attempts of a single call. May import auth, transport, retry, gate, wire and below.
Knows nothing of files on disk or of many files; what a reply means is the reader's, which is handed in.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from emasync.config import RetryPolicy
from emasync.errors import AuthError, BusyError, EMError, UnknownOutcomeError, is_out_of_files
from emasync.http import Body, Response, Transport
from emasync.http.auth import TokenStore
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.http.limiter.scheduler import Priority
from emasync.http.retry import AttemptHistory, RetryAction, decide
from emasync.model import Token
from emasync.wire.requests import ApiRequest, Kind

T = TypeVar("T")
_ASSUMED_SECONDS_PER_BYTE = 1e-6  # of an upload, until one has shown how fast it goes
_TELLING = 1024 * 1024  # bytes of an upload that says something about the next one's time
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
    """What calls cost, counted by the request path, here and in `parent`: requests sent, seconds spent waiting for a
    busy EM, failures, payload bytes `moved`. `error_budget`: how many failures all calls on this account may have."""

    parent: RequestStats | None = None
    error_budget: float = math.inf
    requests: int = 0
    busy_s: float = 0.0
    errors: int = 0
    moved: int = 0

    def charge(self, *, requests: int = 0, busy_s: float = 0.0, errors: int = 0, moved: int = 0) -> None:
        """Add to the sums."""
        self.requests += requests
        self.busy_s += busy_s
        self.errors += errors
        self.moved += moved
        if self.parent is not None:
            self.parent.charge(requests=requests, busy_s=busy_s, errors=errors, moved=moved)

    @property
    def spent(self) -> bool:
        """Whether the error budget, here or in `parent`, is used up."""
        return self.errors > self.error_budget or (self.parent is not None and self.parent.spent)


@dataclass(slots=True)
class _RequestState:
    """One call's way through its attempts."""

    call: ApiRequest
    account: RequestStats
    size: int = 0  # bytes of its body
    errors: int = 0
    refused: int = 0
    busy_s: float = 0.0
    waits: int = 0  # of a log-in that was told to come later
    token: Token | None = None
    unsent: bool = False  # there was no token to send it with
    raise_shortage: bool = False


class RequestPipeline:
    """Sends calls of one user to one EM. All waiting (back-off, busy EM) happens here, and holds no connection."""

    def __init__(
        self,
        transport: Transport,
        *,
        username: str,
        password: str,
        limiter: ConcurrencyLimiter,
        policy: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        rand: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tokens = TokenStore(username, password, exchange=self._exchange)
        self._transport = transport
        self._limiter = limiter
        self._policy = policy
        self._sleep = sleep
        self._rand = rand
        self._clock = clock
        self._s_byte = _ASSUMED_SECONDS_PER_BYTE

    def save_files(self) -> None:
        """Open files have run short: close what only waits for a next call."""
        self._transport.save_files()

    async def run(
        self,
        call: ApiRequest,
        read: Callable[[Response], Awaitable[T]],
        *,
        body: Callable[[], Body] | None = None,
        size: int = 0,
        account: RequestStats | None = None,
        raise_shortage: bool = False,
    ) -> T:
        """Send `call` until it is answered, and return what `read` makes of the reply.

        `read` is called once per attempt, with a fresh reply; `body` makes a fresh body per attempt, of about `size`
        bytes: the token is to live for as long as they will take. An EMError that either raises is judged like one of
        the server's. UnknownOutcomeError when the request may have taken effect and repeating it could do harm: look
        first. With `raise_shortage` an error that says that no more files can be opened here is raised at once: others
        of this process must make room. Cancellation drops the connection.
        """
        story = _RequestState(call, account or RequestStats(), size=size, raise_shortage=raise_shortage)
        while True:
            failure: EMError
            try:
                async with AsyncExitStack() as stack:
                    return await read(await self._send(stack, story, body))
            except EMError as error:  # outside of the stack: the transport takes secrets out of what passes it
                failure = error
            await self._after(story, failure)

    async def json(self, call: ApiRequest, *, account: RequestStats | None = None) -> Any:
        """`run` for a reply that is one JSON value."""
        return await self.run(call, lambda reply: reply.json(), account=account)

    @asynccontextmanager
    async def open(self, call: ApiRequest, *, account: RequestStats | None = None) -> AsyncIterator[Response]:
        """Send `call` until its reply begins, and yield the reply. What happens to its body is not repeated."""
        story = _RequestState(call, account or RequestStats())
        async with AsyncExitStack() as opened:
            while True:
                failure: EMError
                async with AsyncExitStack() as stack:
                    try:
                        reply = await self._send(stack, story, None)
                    except EMError as error:
                        failure = error
                    else:
                        opened.push_async_exit(stack.pop_all())
                        break
                await self._after(story, failure)
            yield reply

    async def probe(self, call: ApiRequest) -> bool:
        """Whether the EM takes `call`, a cheap one, now; past the gate and without patience. False for 423, 429, 503.

        Any other failure counts as taken: what it means is for the call that comes after it to find out.
        """
        try:
            token = await self.tokens.get()
            async with self._transport.send(call, token=token.access) as reply:
                await reply.json()
        except BusyError:
            return False
        except EMError:
            pass
        return True

    async def _authorise(self, story: _RequestState, *, needed_s: float = 0.0) -> Token:
        """A token to send at once. What fails here ends the call: the log-in had its own row of the table, and the
        call itself was not sent."""
        try:
            story.token = await self.tokens.get(needed_s=needed_s)
        except EMError:
            story.unsent = True
            raise
        return story.token

    async def _send(self, stack: AsyncExitStack, story: _RequestState, body: Callable[[], Body] | None) -> Response:
        """One attempt. The gate and the connection stay open in `stack`."""
        call = story.call
        if call.kind is Kind.AUTH:  # the EM's lock is not on the log-in
            story.account.charge(requests=1)
            return await stack.enter_async_context(self._transport.send(call))
        needed_s = story.size * self._s_byte
        await self._authorise(story, needed_s=needed_s)  # a log-in holds no place in the gate
        # a build or load, too: as the probe of a locked EM it would keep all others waiting for hours
        bulk = call.long or call.kind in (Kind.UPLINK, Kind.DOWNLINK)
        priority = Priority.BULK if bulk else Priority.SMALL
        budget = self._policy.busy_timeout_s - story.busy_s
        try:
            permit = await stack.enter_async_context(self._limiter.acquire(priority, busy_budget_s=budget))
        except BusyError as error:
            story.busy_s += max(error.waited_s, budget)  # the gate gave up: so does the call
            story.account.charge(busy_s=error.waited_s)
            raise
        story.busy_s += permit.waited_s
        story.account.charge(busy_s=permit.waited_s)
        token = await self._authorise(story, needed_s=needed_s)  # again, at no cost unless it grew old in the wait
        began = self._clock()
        story.account.charge(requests=1)
        try:
            sending = self._transport.send(call, token=token.access, body=body() if body is not None else None)
            reply = await stack.enter_async_context(sending)
        except BusyError as error:
            permit.on_busy(error.retry_after_s, overloaded=error.status != 423)
            raise
        permit.on_success()
        if story.size >= _TELLING:
            self._s_byte = (self._clock() - began) / story.size
        return reply

    async def _after(self, story: _RequestState, error: EMError) -> None:
        """Do what the table says; return to have the call sent again, or raise."""
        call = story.call
        short = is_out_of_files(error)
        if story.unsent or (short and story.raise_shortage):
            raise error
        if isinstance(error, AuthError):
            story.refused += 1
        elif not isinstance(error, BusyError):
            story.errors += 1
            story.account.charge(errors=not short)  # that is no fault of the link's
        spent = self._policy.retries + 1 if story.account.spent else 0
        history = AttemptHistory(errors=max(story.errors, spent), refused=story.refused)
        verdict = decide(call.kind, error, history=history, policy=self._policy, rand=self._rand())
        _log.debug("%s: %s: %s", call, type(error).__name__, verdict.next)
        if verdict.next is RetryAction.WAIT and call.kind is Kind.AUTH:
            await self._wait_for_auth(story, error)
        elif verdict.next is RetryAction.WAIT:
            self._check_busy_budget(story, error)
        elif verdict.next is RetryAction.RETRY:
            await self._sleep(verdict.delay_s)
        elif verdict.next is RetryAction.LOG_IN and story.token is not None:
            await self.tokens.replace(story.token)
        elif verdict.next in (RetryAction.RECONCILE, RetryAction.UNKNOWN):
            check = _HOW_TO_CHECK.get(call.path, "list to see")
            raise UnknownOutcomeError(
                f"{call}: sent, but the answer was lost ({error}); it may have taken effect, {check}",
                call=str(call),
                cause=error,
            ) from None
        else:
            raise error

    def _check_busy_budget(self, story: _RequestState, error: EMError) -> None:
        if story.busy_s >= self._policy.busy_timeout_s:
            raise self._too_busy(story, error)

    async def _wait_for_auth(self, story: _RequestState, error: EMError) -> None:
        """A log-in that is told to wait has no gate to wait at: back off here, within the same budget."""
        wish = error.retry_after_s if isinstance(error, BusyError) else None
        step_s = min(self._policy.cap_s, self._policy.base_s * 2.0 ** min(story.waits, 16))
        story.waits += 1
        delay = max(step_s * (0.5 + self._rand()), min(wish or 0.0, self._policy.retry_after_cap_s))
        if story.busy_s + delay > self._policy.busy_timeout_s:
            raise self._too_busy(story, error)
        story.busy_s += delay
        story.account.charge(busy_s=delay)
        await self._sleep(delay)

    def _too_busy(self, story: _RequestState, error: EMError) -> BusyError:
        return BusyError(
            f"{error}; the EM stayed busy for {story.busy_s:.0f} s, which is all the busy budget allows",
            call=error.call,
            status=error.status,
            detail=error.detail,
            waited_s=story.busy_s,
        )

    async def _exchange(self, call: ApiRequest) -> Any:
        return await self.json(call)
