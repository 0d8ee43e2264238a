"""Which connection a request gets, and which responses on a reused one belong to another request.

Only a downlink reuses a connection, and only one that another downlink left, on which nothing has come since. All that
is known of aiohttp's private names is here (`PRIVATE_NAMES`). Must not import other modules of http.
"""

from __future__ import annotations

import select
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from emasync.errors import UnreachableError
from emasync.model import safe
from emasync.wire.downlink import ResponseMetadata
from emasync.wire.requests import ApiRequest

PRIVATE_NAMES: Final[Mapping[type, tuple[str, ...]]] = {
    aiohttp.ClientSession: ("_retry_connection",),
    aiohttp.TCPConnector: ("_conns", "_get", "_release"),
}
"""The private names of aiohttp that emasync uses, in this module only. A test names the one that a new aiohttp lacks;
pyproject.toml excludes the next major version for their sake."""

# aiohttp asks for a pooled connection by host and port alone, inside of `connect`: this is how `_get` knows for whom.
_reuse: ContextVar[bool] = ContextVar("reuse", default=False)
_MOST_IDLE = 32  # more than wait at once in a busy worker pool; each costs an open file
_FEW_IDLE = 1  # where open files have run short
_CLOSED = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


def disable_silent_retry(session: aiohttp.ClientSession) -> None:
    """Keep aiohttp from repeating a GET or DELETE by itself where a pooled connection broke: the repetition would have
    no permit and would not be counted."""
    session._retry_connection = False


@dataclass(slots=True)
class ConnectionUse:
    """Whether a request went out on a connection that was used before: what comes back on it may be a response that the
    server sent too much, earlier, and nothing in HTTP tells. Handed to aiohttp as ``trace_request_ctx``."""

    reused: bool = False


def trace_reuse() -> aiohttp.TraceConfig:
    """The trace that fills in `ConnectionUse.reused`."""

    async def reused(session: aiohttp.ClientSession, context: Any, params: object) -> None:
        if isinstance(context.trace_request_ctx, ConnectionUse):
            context.trace_request_ctx.reused = True

    async def created(session: aiohttp.ClientSession, context: Any, params: object) -> None:
        if isinstance(context.trace_request_ctx, ConnectionUse):
            context.trace_request_ctx.reused = False  # none of the pooled ones could be used

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    trace.on_connection_create_end.append(created)
    return trace


class DownlinkConnector(aiohttp.TCPConnector):
    """A connection pool for downlinks. Any other request gets a connection of its own, which is closed after it.

    A POST on a connection that the server is just closing would be lost without anyone knowing whether it arrived
    (measured on an idle keep-alive edge: 148 of 400). A listing or a status is asked for too rarely for a handshake to
    count, and a surplus response to one of them must not be taken for a file, nor the other way round. Once a response
    has come unasked on a connection, none is used twice any more (`distrust`).
    """

    trusted: bool = True
    _most_idle = _MOST_IDLE

    def distrust(self) -> None:
        """This server sends responses that nobody asked for: from now on each request gets its own connection."""
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

    def close_idle(self) -> None:
        """Close the connections that no request uses, and keep hardly any from here on: open files have run short."""
        self._most_idle = _FEW_IDLE
        while self._conns:
            _, idle = self._conns.popitem()
            for protocol, _ in idle:
                if protocol.transport is not None:
                    protocol.transport.close()

    def _release(
        self,
        key: aiohttp.client_reqrep.ConnectionKey,
        protocol: aiohttp.client_proto.ResponseHandler,
        *,
        should_close: bool = False,
    ) -> None:
        enough = len(self._conns.get(key, ())) >= self._most_idle
        super()._release(key, protocol, should_close=should_close or enough or not self.trusted)

    async def _get(self, key: Any, traces: list[aiohttp.tracing.Trace]) -> aiohttp.connector.Connection | None:
        if not _reuse.get():
            return None
        while (connection := await super()._get(key, traces)) is not None and not self._is_silent(connection):
            connection.close()
            if not self.trusted:
                return None
        return connection

    def _is_silent(self, connection: aiohttp.connector.Connection) -> bool:
        """Whether nothing has come since its last response. Whatever has would be taken for the response to the next
        request: the rest of a body longer than announced, a second response; or it is the end of the connection."""
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


class StaleResponses:
    """Finds responses to an earlier request by the file names that one server's downlinks claim.

    HTTP has nothing that ties a response to its request but its place on the connection. A response on a reused
    connection may be a surplus one to an earlier request, which shows where it names another file. The file is then
    requested again, and no connection is reused any more, unless the response on a fresh connection claims the same
    size and SHA-256: then this server names files in its own way, and names are not compared.
    """

    def __init__(self) -> None:
        self._names_tell = True
        self._doubted: dict[str, ResponseMetadata] = {}  # by path: at most one for each downlink under way

    def check(
        self, request: ApiRequest, facts: ResponseMetadata, *, reused: bool, connector: DownlinkConnector | None
    ) -> None:
        """UnreachableError if the response to `request` is that to an earlier one; `request` is to be sent again."""
        path = request.subject or ""
        doubted = self._doubted.pop(path, None) if not reused else None
        named = facts.filename is None or facts.filename.rpartition("/")[2] == path.rpartition("/")[2]
        if connector is None or named or not self._names_tell:
            return
        if reused:
            connector.distrust()
            self._doubted[path] = facts
            raise UnreachableError(
                f"{request} ({safe(path)}): the answer names another file; it is asked for again on a fresh connection",
                call=str(request),
                sent=True,
            )
        self._names_tell = False
        if doubted is not None and doubted == facts and facts.sha256 is not None:
            connector.trust()
