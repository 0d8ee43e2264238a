"""The HTTP server: which handler a request gets, what happens before and after it, and how a connection is closed.

Order of a request: latency, route, injected fault, token, lock, breakpoint, handler, response. Binds 127.0.0.1 only.
Must not import simulator.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from functools import partial

import anyio
from aiohttp import web

from emasync.simulator.config import LoggedRequest
from emasync.simulator.exchange import Exchange, ServerContext
from emasync.simulator.faults import Fault
from emasync.simulator.handlers import Route
from emasync.simulator.responses import (
    ConnectionDropError,
    RefusedError,
    busy_response,
    error_response,
    html_response,
    invalid_token_response,
    json_response,
    redirect_response,
)

_LINGER_BYTES = 64 * 1024
_LINGER_S = 1.0
_READ_AHEAD = 256 * 1024
_JSON_TYPES = ("*/*", "application/*", "application/json")
_DROPPED = (ConnectionError, web.RequestPayloadError)


class Server:
    """Serves `routes` (path to Route) with the parts in `context`."""

    def __init__(self, routes: Mapping[str, Route], context: ServerContext) -> None:
        self._routes = routes
        self._context = context
        self._config = context.config
        self._clock = context.clock
        self._running: set[anyio.CancelScope] = set()
        self._runner: web.ServerRunner | None = None

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1; returns the port. Port 0 takes a free one; OSError when the port is taken."""
        web_server = web.Server(
            self._serve,
            access_log=None,
            keepalive_timeout=self._config.keep_alive,
            lingering_time=0,  # `_send_early_response` lingers instead, with a bound on bytes too
            read_bufsize=_READ_AHEAD,
        )
        self._runner = web.ServerRunner(web_server, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Cancel all requests and close all connections."""
        for scope in self._running:
            scope.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        ex = Exchange(request, self._log(request), self._context)
        response: web.StreamResponse | None = None
        with anyio.CancelScope() as scope:
            self._running.add(scope)
            try:
                try:
                    response = await self._respond(ex)
                finally:
                    self._finish(ex, response)
                if response is not None:
                    await _send_early_response(ex, response)
                    return response
            finally:
                self._running.discard(scope)
        return _close_connection(request, rst=False)

    async def _respond(self, ex: Exchange) -> web.StreamResponse | None:
        """The response, sent or to be sent; None when the connection was closed instead."""
        try:
            response = await self._dispatch(ex)
            if drop := ex.fault_if("commit_then_drop"):
                raise ConnectionDropError(rst=drop.hard)
            if not response.prepared:
                await ex.pause_at("answer")
        except RefusedError as refused:
            response = refused.response
            ex.hard = refused.hard
        except ConnectionDropError as drop_error:
            _close_connection(ex.request, rst=drop_error.rst)
            return None
        except _DROPPED:
            _close_connection(ex.request, rst=False)
            return None
        return response

    async def _dispatch(self, ex: Exchange) -> web.StreamResponse:
        if self._config.latency > 0:
            await self._clock.sleep(self._config.latency)
        route = self._route(ex)
        fault = ex.fault = self._context.faults.decide(ex.endpoint)
        if fault is not None:
            ex.entry.fault = fault.kind
            _raise_early_fault(fault)
        if ex.endpoint.startswith("em/"):
            if self._config.buffering:
                ex.admit_after_body = partial(self._admit, ex)
            else:
                self._admit(ex)
        if fault is not None and fault.kind == "stall" and fault.at is None:
            await ex.stall()
        await ex.pause_at("start")
        return await route.handler(ex)

    def _route(self, ex: Exchange) -> Route:
        if ex.endpoint == "auth":  # Django's APPEND_SLASH, which turns a POST into a GET in most clients
            raise RefusedError(redirect_response(f"{self._config.base_path}/auth/", status=301))
        route = self._routes.get(ex.endpoint)
        if route is None:
            raise RefusedError(html_response(404, "Not Found"))
        if ex.request.method not in route.methods:
            raise RefusedError(json_response({"detail": f'Method "{ex.request.method}" not allowed.'}, status=405))
        accept = ex.request.headers.get("Accept", "*/*")
        if not any(accepted in accept for accepted in _JSON_TYPES):
            raise RefusedError(json_response({"detail": "Could not satisfy the request Accept header."}, status=406))
        return route

    def _admit(self, ex: Exchange) -> None:
        """Check the token, then take the EM's lock; RefusedError (401, 423)."""
        user = self._context.state.bearer(ex.request.headers.get("Authorization", ""), now=self._clock.now())
        if user is None:
            raise RefusedError(invalid_token_response())
        ex.user = user
        ex.take_lock()

    def _log(self, request: web.BaseRequest) -> LoggedRequest:
        raw = request.raw_path.partition("?")[0]
        base = self._config.base_path
        # Both "/em/..." and "//em/..." come in; a path that is not below the base keeps its slash and is not found.
        path = raw.removeprefix(base).lstrip("/") if raw.startswith(f"{base}/") else raw
        peer = request.transport.get_extra_info("peername") if request.transport else None
        entry = LoggedRequest(
            at=self._clock.now(),
            method=request.method,
            path=path,
            query=dict(request.query),
            peer=f"{peer[0]}:{peer[1]}" if peer else "",
        )
        self._context.log.append(entry)
        return entry

    def _finish(self, ex: Exchange, response: web.StreamResponse | None) -> None:
        """Complete the log entry; release the lock, now or (fault `stale_lock`) later."""
        ex.complete_log_entry()
        if isinstance(response, web.Response):
            ex.entry.status = response.status
            ex.entry.bytes_out = len(response.body) if isinstance(response.body, bytes) else 0
        stale = ex.fault_if("stale_lock")
        if stale is not None and ex.client_gone and ex.leave_lock_taken():
            self._context.pod_runner.spawn(partial(self._release_lock_after, stale.seconds))
        ex.release_lock()

    async def _release_lock_after(self, seconds: float) -> None:
        try:
            await self._clock.sleep(seconds)
        finally:
            self._context.state.lock.release()


def _raise_early_fault(fault: Fault) -> None:
    """Inject a fault that needs nothing of the request but its arrival; return for any other one."""
    if fault.kind == "reset" and fault.at is None:
        raise ConnectionDropError(rst=True)
    response = _early_fault_response(fault)
    if response is not None:
        raise RefusedError(response, hard=fault.hard)


def _early_fault_response(fault: Fault) -> web.Response | None:  # noqa: C901 - one case for each fault
    match fault.kind:
        case "busy_before":
            return busy_response()
        case "unauthorized_before":
            return invalid_token_response()
        case "error_500":
            return error_response("INTERNAL_ERROR", "An unexpected error occurred.", status=500)
        case "html_502":
            return html_response(502, "502 Bad Gateway")
        case "html_200":
            return html_response(200, "Welcome")
        case "error_200":
            return error_response("EM_OFFLINE", "The EM cannot be reached.", status=200)
        case "no_data":
            return json_response({"message": "The EM cannot be reached."})
        case "redirect":
            return redirect_response(fault.location, status=302)
        case "retry_after":
            headers = {"Retry-After": f"{fault.seconds:g}"}
            return json_response({"detail": "Request was throttled."}, status=fault.status, headers=headers)
        case "early_answer":
            data = {"file_count": fault.count, "total_size_kb": 0.0}
            return json_response({"message": "Files uplinked successfully.", "data": data})
    return None


async def _send_early_response(ex: Exchange, response: web.StreamResponse) -> None:
    """Send a response that comes before the end of the request's body so that the client can read it.

    Closing a socket with unread bytes in it resets the connection, and the reset may overtake the response. So at most
    64 KiB of the body are drained, for at most a second.
    """
    request = ex.request
    if request.content.is_eof() or response.prepared:
        return
    response.force_close()
    if ex.hard:
        return  # aiohttp sends the response and closes at once
    drained = 0
    with anyio.move_on_after(_LINGER_S):
        try:
            await response.prepare(request)
            await response.write_eof()
            if request.transport is not None:
                request.transport.write_eof()  # half-close: the client sees the end of the response
            while not request.content.at_eof() and drained < _LINGER_BYTES:
                drained += len(await request.content.read(_LINGER_BYTES))
        except _DROPPED:
            return
        finally:
            ex.entry.bytes_in = request.content.total_bytes
        while not (request.content.at_eof() or ex.client_gone):  # noqa: ASYNC110 - see Exchange.stall
            await anyio.sleep(0.02)


def _close_connection(request: web.BaseRequest, *, rst: bool) -> web.StreamResponse:
    """Close the connection, with a TCP reset if `rst`; the response that is returned reaches nobody."""
    transport = request.transport
    if transport is not None:
        if rst:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()
    return web.Response(status=503)
