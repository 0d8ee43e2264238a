"""Which connection a request gets.

Owns: that a POST never rides a pooled connection, and no other call one on which something has come unasked; and how
many connections are kept for later calls.
Imports aiohttp only.
"""

from __future__ import annotations

import select
from contextvars import ContextVar
from typing import Any

import aiohttp

_fresh: ContextVar[bool] = ContextVar("fresh", default=False)
_MOST_IDLE = 32  # more than pause at once in a busy pool of workers; each costs an open file
_FEW_IDLE = 1  # where open files have run short


class FreshPostConnector(aiohttp.TCPConnector):
    """A pool that is never asked for a POST: such a call on a connection that the server is just closing would be lost
    without anyone knowing whether it arrived (measured on an idle keep-alive edge: 148 of 400)."""

    _most_idle = _MOST_IDLE

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        marker = _fresh.set(req.method == "POST")
        try:
            return await super().connect(req, traces, timeout)
        finally:
            _fresh.reset(marker)

    def _release(
        self,
        key: aiohttp.client_reqrep.ConnectionKey,
        protocol: aiohttp.client_proto.ResponseHandler,
        *,
        should_close: bool = False,
    ) -> None:
        # a POST leaves a connection and takes none: a quick uplink of small calls would pile up hundreds
        enough = len(self._conns.get(key, ())) >= self._most_idle
        super()._release(key, protocol, should_close=should_close or enough)

    def save_files(self) -> None:
        """Close the connections that nobody uses now, and keep hardly any from here on: open files have run short."""
        self._most_idle = _FEW_IDLE
        while self._conns:
            _, idle = self._conns.popitem()
            for protocol, _ in idle:
                if protocol.transport is not None:
                    protocol.transport.close()

    async def _get(self, key: Any, traces: list[aiohttp.tracing.Trace]) -> aiohttp.connector.Connection | None:
        if _fresh.get():
            return None
        while (connection := await super()._get(key, traces)) is not None and not _quiet(connection):
            connection.close()
        return connection


def _quiet(connection: aiohttp.connector.Connection) -> bool:
    """Whether nothing has come since its last answer. What has would be taken for the answer to the next request: the
    rest of a body longer than announced, a second answer; or it is the end of the connection."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or protocol.should_close:
        return False
    arrived = select.poll()  # what the event loop has not seen yet
    arrived.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not arrived.poll(0)
