"""Which connection a request gets.

Owns: that only a downlink rides on a connection that was used before, and only one that another downlink left, on which
nothing has come since; and how many are kept for later ones. Knows what only aiohttp's private names tell.
Imports aiohttp only.
"""

from __future__ import annotations

import select
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp

_reuse: ContextVar[bool] = ContextVar("reuse", default=False)
_MOST_IDLE = 32  # more than pause at once in a busy pool of workers; each costs an open file
_CLOSED = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)
_FEW_IDLE = 1  # where open files have run short


@dataclass(slots=True)
class Use:
    """Whether a request went out on a connection that was used before: what comes back on it may be an answer that the
    server sent too much, earlier, and nothing in HTTP tells. Handed to aiohttp as ``trace_request_ctx``."""

    reused: bool = False


def trace_reuse() -> aiohttp.TraceConfig:
    """The trace that fills in `Use.reused`."""

    async def reused(session: aiohttp.ClientSession, context: Any, params: object) -> None:
        if isinstance(context.trace_request_ctx, Use):
            context.trace_request_ctx.reused = True

    async def created(session: aiohttp.ClientSession, context: Any, params: object) -> None:
        if isinstance(context.trace_request_ctx, Use):
            context.trace_request_ctx.reused = False  # one of the pool was not fit

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    trace.on_connection_create_end.append(created)
    return trace


class DownlinkConnector(aiohttp.TCPConnector):
    """A pool for downlinks. Any other call gets a connection of its own, which is closed after it.

    A POST on a connection that the server is just closing would be lost without anyone knowing whether it arrived
    (measured on an idle keep-alive edge: 148 of 400). A listing or a status is asked for too rarely for a handshake to
    count, and an answer too many to one of them must not be taken for a file, nor the other way round. Once something
    has come unasked on a connection, none is used twice any more (`distrust`).
    """

    trusted = True
    _most_idle = _MOST_IDLE

    def distrust(self) -> None:
        """This server sends answers that nobody asked for: from now on each request gets its own connection."""
        self.trusted = False

    def trust(self) -> None:
        """Take back `distrust`."""
        self.trusted = True

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        downlink = req.method == "GET" and req.url.path.endswith("/em/files/downlink")
        marker = _reuse.set(downlink and self.trusted)
        try:
            connection = await super().connect(req, traces, timeout)
        finally:
            _reuse.reset(marker)
        if not downlink and connection.protocol is not None:
            connection.protocol.force_close()  # once it is released
        return connection

    def _release(
        self,
        key: aiohttp.client_reqrep.ConnectionKey,
        protocol: aiohttp.client_proto.ResponseHandler,
        *,
        should_close: bool = False,
    ) -> None:
        enough = len(self._conns.get(key, ())) >= self._most_idle
        super()._release(key, protocol, should_close=should_close or enough or not self.trusted)

    def close_idle(self) -> None:
        """Close the connections that nobody uses now, and keep hardly any from here on: open files have run short."""
        self._most_idle = _FEW_IDLE
        while self._conns:
            _, idle = self._conns.popitem()
            for protocol, _ in idle:
                if protocol.transport is not None:
                    protocol.transport.close()

    async def _get(self, key: Any, traces: list[aiohttp.tracing.Trace]) -> aiohttp.connector.Connection | None:
        if not _reuse.get():
            return None
        while (connection := await super()._get(key, traces)) is not None and not self._quiet(connection):
            connection.close()
            if not self.trusted:
                return None
        return connection

    def _quiet(self, connection: aiohttp.connector.Connection) -> bool:
        """Whether nothing has come since its last answer. What has would be taken for the answer to the next request:
        the rest of a body longer than announced, a second answer; or it is the end of the connection."""
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            return False
        if protocol.should_close:  # it was not when it was released: the event loop has seen what came
            self.distrust()
            return False
        arrived = select.poll()  # what the event loop has not seen yet
        arrived.register(transport.get_extra_info("socket").fileno(), select.POLLIN | _CLOSED)
        events = arrived.poll(0)
        if events and not events[0][1] & _CLOSED and transport.get_extra_info("ssl_object") is None:
            self.distrust()  # under TLS it may be a message of the protocol itself
        return not events
