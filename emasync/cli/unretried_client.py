"""`UnretriedClient`: single requests without retries and without waiting, for commands that diagnose an EM.

Built on the transport and the token store of http. Must not import http's pipeline.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from yarl import URL

from emasync.cli.options import GlobalOptions
from emasync.cli.runner import start_logging
from emasync.cli.settings import ResolvedSettings, ssl_context
from emasync.config import Limits, Timeouts
from emasync.http import Transport
from emasync.http.auth import TokenStore
from emasync.model import Token
from emasync.wire.requests import ApiRequest

_ANSWER_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response: JSON, or a listing (`FileTree`). `date` is the header of that name, `asked_at` our wall clock."""

    json: Any
    date: str | None
    asked_at: float
    seconds: float


class UnretriedClient:
    """Sends each request once. Raises the EMErrors of the transport as they are."""

    def __init__(self, transport: Transport, *, username: str, password: str) -> None:
        self.url: URL = transport.base_url
        self.logged_in: Answer | None = None
        self.transport = transport
        self._tokens = TokenStore(username, password, exchange=self._exchange)

    async def token(self) -> Token:
        """Log in, unless that is done. AuthError when it is refused."""
        return await self._tokens.get()

    async def ask(self, call: ApiRequest) -> Answer:
        """Send `call` once, with a token."""
        token = await self.token()
        return await self._send(call, token=token.access)

    async def _exchange(self, call: ApiRequest) -> Any:
        self.logged_in = await self._send(call, token=None)
        return self.logged_in.json

    async def _send(self, call: ApiRequest, *, token: str | None) -> Answer:
        asked_at, began = time.time(), time.monotonic()
        async with self.transport.send(call, token=token) as reply:
            json = await (reply.listing() if call.listing else reply.json())
            date = reply.headers.get("Date")
        return Answer(json=json, date=date, asked_at=asked_at, seconds=time.monotonic() - began)


@asynccontextmanager
async def unretried_client(
    options: GlobalOptions, resolved: ResolvedSettings, *, password: str
) -> AsyncIterator[UnretriedClient]:
    """Open a client for the resolved settings; it connects at its first request. The password is read before: a prompt
    inside an event loop would not react to Ctrl-C."""
    start_logging(options)
    timeouts = replace(Timeouts(), answer_s=_ANSWER_S)
    transport = Transport(
        resolved.get("url") or "", timeouts=timeouts, limits=Limits(), ssl_context=ssl_context(options, resolved)
    )
    async with transport:
        yield UnretriedClient(transport, username=resolved.get("username") or "", password=password)
