"""One token, one shared lock, one log-in: however many tasks need it.

Owns: when a token is fetched, refreshed and replaced. May import wire, config, model and errors.
Knows nothing of requests or retries: it is given `exchange`, which sends one auth call and returns its JSON.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from emasync.errors import (
    AuthError,
    BadRequestError,
    BusyError,
    ForbiddenError,
    NotFoundError,
    ProtocolError,
    ServerError,
    TimedOutError,
    UnreachableError,
)
from emasync.model import Token
from emasync.wire import jwt, requests, responses

_NO_REFRESH = (AuthError, BadRequestError, ForbiddenError, NotFoundError, ProtocolError, ServerError)
_PASSING = (BusyError, ProtocolError, ServerError, TimedOutError, UnreachableError)
_REST = 0.25  # of what is left of a token's life, after a renewal that failed


class TokenStore:
    """The token of one user on one EM. Never shows a secret in its repr.

    `exchange` sends a call without a token, with the retry table's auth row, and returns the JSON reply.
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
        self._rest_until = -math.inf

    def __repr__(self) -> str:
        return f"<TokenStore of {self.username!r}>"

    async def get(self, *, needed_s: float = 0.0) -> Token:
        """A token to send now: the present one, or a new one when there is none, or 80 % of its life is over, or it
        will not live for another `needed_s` seconds.

        AuthError when the log-in is refused; that is final, and later calls raise it without asking the server again.
        A cancelled caller leaves the lock to the next, who then logs in.
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
                    self._rest_until = self._clock() + _REST * left_s  # due, but still good: not every call tries again
                    return token
                raise

    def _fit(self, token: Token, needed_s: float) -> bool:
        now = self._clock()
        resting = now < self._rest_until and (token.remaining_s(now) or 0.0) > 0
        return resting or not token.is_due(now, needed_s=needed_s)

    async def replace(self, refused: Token) -> Token:
        """A token other than `refused`, which the server answered with 401. Costs nothing if another task has already
        replaced it."""
        async with self._lock:
            if self._token is not None and self._token is not refused:
                return self._token
            self._token = None  # whoever comes while there is no new one must not send this one again
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
            reply = await self._exchange(requests.log_in(self.username, self._password))
        except AuthError as error:
            self._denied = AuthError(
                f"the EM refuses the log-in of {self.username!r}: {error.detail or 'no reason given'}; "
                "check user name and password (EMASYNC_USERNAME, EMASYNC_PASSWORD)",
                call=error.call,
                status=error.status,
                detail=error.detail,
            )
        else:
            return self._keep(reply)
        raise self._denied

    def _keep(self, reply: Any, *, refresh: str | None = None) -> Token:
        access, newer = responses.tokens(reply)
        self._rest_until = -math.inf
        self._token = Token(
            access=access,
            refresh=newer or refresh,
            received_at=self._clock(),
            lifetime_s=jwt.lifetime_s(access),
        )
        return self._token
