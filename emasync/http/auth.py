"""Log-in: one token and one log-in at a time, however many tasks need it.

`TokenStore` decides when a token is fetched, refreshed and replaced; `LoginSender` sends these requests, repeated by
the retry table's row for log-ins. Must not import pipeline.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from emasync.config import RetryPolicy
from emasync.errors import (
    AuthError,
    BadRequestError,
    BusyError,
    EMError,
    ForbiddenError,
    NotFoundError,
    ProtocolError,
    ServerError,
    TimedOutError,
    UnreachableError,
)
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.http.retry import AttemptHistory, RetryAction, busy_backoff_s, busy_budget_spent, decide
from emasync.http.transport import Transport
from emasync.model import Token
from emasync.wire import jwt, requests, responses
from emasync.wire.requests import Kind

_NO_REFRESH = (AuthError, BadRequestError, ForbiddenError, NotFoundError, ProtocolError, ServerError)
_PASSING = (BusyError, ProtocolError, ServerError, TimedOutError, UnreachableError)
_PAUSE = 0.25  # of what is left of a token's life: no renewal is tried for so long after one that failed
_log = logging.getLogger("emasync")


class LoginSender:
    """Sends log-in and refresh requests. They need no permit of the limiter, since the EM's lock is not on them.

    An EM that answers busy all the same has the limiter hold back other requests, too, and this one waits at least
    until the limiter's backoff ends, within the busy budget of `policy`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        limiter: ConcurrencyLimiter,
        policy: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._transport = transport
        self._limiter = limiter
        self._policy = policy
        self._sleep = sleep
        self._rand = rand

    async def send(self, request: requests.ApiRequest) -> Any:
        """The JSON value that answers `request`; the last error when the retry table allows no more attempts."""
        errors = refusals = 0
        busy_s = 0.0
        while True:
            failure: EMError
            try:
                async with self._transport.send(request) as response:
                    return await response.json()
            except EMError as error:
                failure = error
            if isinstance(failure, BusyError):
                refusals += 1
                delay_s = self._busy_delay_s(failure, refusals)
                busy_s += delay_s
                if busy_s > self._policy.busy_timeout_s:
                    raise busy_budget_spent(failure, waited_s=busy_s - delay_s)
            else:
                errors += 1
                decision = decide(
                    Kind.AUTH, failure, history=AttemptHistory(errors=errors), policy=self._policy, rand=self._rand()
                )
                if decision.next is not RetryAction.RETRY:
                    raise failure
                delay_s = decision.delay_s
            _log.debug("%s: %s: sent again in %.1f s", request, type(failure).__name__, delay_s)
            await self._sleep(delay_s)

    def _busy_delay_s(self, error: BusyError, refusals: int) -> float:
        self._limiter.on_busy_without_permit(error.retry_after_s, overloaded=error.status != 423)
        own_s = busy_backoff_s(refusals, error, policy=self._policy, rand=self._rand())
        return max(own_s, self._limiter.backoff_s)


class TokenStore:
    """The token of one user on one EM. Never shows a secret in its repr.

    `exchange` sends a request without a token and returns the JSON value that answers it (`LoginSender.send`).
    """

    def __init__(
        self,
        username: str,
        password: str,
        *,
        exchange: Callable[[requests.ApiRequest], Awaitable[Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.username = username
        self._password = password
        self._exchange = exchange
        self._clock = clock
        self._lock = anyio.Lock()
        self._token: Token | None = None
        self._denied: AuthError | None = None
        self._pause_until = -math.inf

    def __repr__(self) -> str:
        return f"<TokenStore of {self.username!r}>"

    async def get(self, *, needed_s: float = 0.0) -> Token:
        """A token to send now: the present one, or a new one when there is none, or 80 % of its life is over, or it
        will not live for another `needed_s` seconds.

        AuthError when the log-in is refused; that is final, and later calls raise it without asking the server again.
        When a task is cancelled while it logs in, the next one that waits logs in.
        """
        if (token := self._token) is not None and self._fit(token, needed_s):
            return token
        async with self._lock:
            # another task may have renewed it meanwhile, or found that it cannot be renewed now
            if self._token is not None and (self._token is not token or self._fit(self._token, needed_s)):
                return self._token
            if token is None:
                return await self._log_in()
            try:
                return await self._renew(token)
            except _PASSING:
                if (left_s := token.remaining_s(self._clock()) or 0.0) > 0:
                    self._pause_until = self._clock() + _PAUSE * left_s  # due, but still good
                    return token
                raise

    def _fit(self, token: Token, needed_s: float) -> bool:
        now = self._clock()
        paused = now < self._pause_until and (token.remaining_s(now) or 0.0) > 0
        return paused or not token.is_due(now, needed_s=needed_s)

    async def replace(self, refused: Token) -> Token:
        """A token other than `refused`, which the server answered with 401. Costs nothing if another task has already
        replaced it."""
        async with self._lock:
            if self._token is not None and self._token is not refused:
                return self._token
            self._token = None  # nobody may send it again while there is no new one
            return await self._renew(refused)

    async def _renew(self, old: Token) -> Token:
        if old.refresh is not None:
            try:
                return self._keep(await self._exchange(requests.refresh(old.refresh)), refresh=old.refresh)
            except _NO_REFRESH:
                pass  # spent, expired, or not known to this generation: log in instead
        return await self._log_in()

    async def _log_in(self) -> Token:
        if self._denied is not None:
            raise AuthError(str(self._denied), call=self._denied.call, status=401, detail=self._denied.detail)
        try:
            value = await self._exchange(requests.log_in(self.username, self._password))
        except AuthError as error:
            self._denied = AuthError(
                f"the EM refuses the log-in of {self.username!r}: {error.detail or 'no reason given'}; "
                "check user name and password (EMASYNC_USERNAME, EMASYNC_PASSWORD)",
                call=error.call,
                status=error.status,
                detail=error.detail,
            )
        else:
            return self._keep(value)
        raise self._denied

    def _keep(self, value: Any, *, refresh: str | None = None) -> Token:
        access, newer = responses.tokens(value)
        self._pause_until = -math.inf
        self._token = Token(
            access=access,
            refresh=newer or refresh,
            received_at=self._clock(),
            lifetime_s=jwt.lifetime_s(access),
        )
        return self._token
