"""The HTTP side: which handler a request gets, and what happens to it before and after.

Owns: addresses, the order token - lock - gate - handler - answer, and closing connections kindly or not.
May import every other part but `box`. Binds 127.0.0.1 only.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import anyio
from aiohttp import web

from emasync.simulator.breakpoints import Breakpoints
from emasync.simulator.clock import Clock
from emasync.simulator.config import LoggedRequest, SimulatorConfig
from emasync.simulator.exchange import Exchange
from emasync.simulator.faults import FaultList
from emasync.simulator.pod_runner import PodRunner
from emasync.simulator.responses import RefusedError, SeveredError, bad_token, busy, error, page, reply
from emasync.simulator.state import SimulatorState

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]

_LINGER_BYTES = 64 * 1024
_LINGER_S = 1.0
_READ_AHEAD = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An endpoint and the methods it takes."""

    methods: tuple[str, ...]
    handler: Handler


class Server:
    """Serves `routes`. `requests` is the log; it is the caller's list and only ever grows."""

    def __init__(
        self,
        routes: dict[str, Route],
        *,
        world: SimulatorState,
        rules: SimulatorConfig,
        clock: Clock,
        faults: FaultList,
        gates: Breakpoints,
        crew: PodRunner,
        requests: list[LoggedRequest],
    ) -> None:
        self.rules = rules
        self._routes = routes
        self._world = world
        self._clock = clock
        self._faults = faults
        self._gates = gates
        self._crew = crew
        self._requests = requests
        self._running: set[anyio.CancelScope] = set()
        self._runner: web.ServerRunner | None = None

    async def start(self, port: int, *, keep_alive_s: float) -> int:
        """Listen on 127.0.0.1; returns the port. Port 0 takes a free one; OSError when it is taken."""
        web_server = web.Server(
            self._serve,
            access_log=None,
            keepalive_timeout=keep_alive_s,
            lingering_time=0,  # done here, with a bound on bytes too
            read_bufsize=_READ_AHEAD,
        )
        self._runner = web.ServerRunner(web_server, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Cancel what is under way, close every connection."""
        for scope in self._running:
            scope.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        ex = Exchange(
            request, self._log(request), rules=self.rules, clock=self._clock, gates=self._gates, lock=self._world.lock
        )
        answer: web.StreamResponse | None = None
        with anyio.CancelScope() as scope:
            self._running.add(scope)
            try:
                try:
                    answer = await self._answer(ex)
                finally:
                    self._settle(ex, answer)
                if answer is not None:
                    await _linger(ex, answer)
                    return answer
            finally:
                self._running.discard(scope)
        return _sever(request, rst=False)

    async def _answer(self, ex: Exchange) -> web.StreamResponse | None:
        """The answer, sent or to be sent; None when there is none because the connection is closed."""
        try:
            answer = await self._decide(ex)
            if ex.has("commit_then_drop"):
                raise SeveredError(rst=ex.fault is not None and ex.fault.hard)
            if not answer.prepared:
                await ex.gate("answer")
        except RefusedError as refused:
            answer = refused.response
            ex.hard = refused.hard
        except SeveredError as severed:
            _sever(ex.request, rst=severed.rst)
            return None
        except (ConnectionError, web.RequestPayloadError):
            _sever(ex.request, rst=False)
            return None
        return answer

    async def _decide(self, ex: Exchange) -> web.StreamResponse:
        if self.rules.latency > 0:
            await self._clock.sleep(self.rules.latency)
        route = self._route(ex)
        em = ex.endpoint.startswith("em/")
        ex.fault = self._faults.decide(ex.endpoint)
        ex.entry.fault = ex.fault.kind if ex.fault is not None else None
        self._strike_first(ex)
        if em and self.rules.buffering:
            ex.admit_late = partial(self._admit, ex)
        elif em:
            self._admit(ex)
        if ex.fault is not None and ex.fault.kind == "stall" and ex.fault.at is None:
            await ex.stall()
        await ex.gate("start")
        return await route.handler(ex)

    def _route(self, ex: Exchange) -> Route:
        if ex.endpoint == "auth":  # Django's APPEND_SLASH, which turns a POST into a GET in most clients
            raise RefusedError(_moved(f"{self.rules.base}/auth/", status=301))
        route = self._routes.get(ex.endpoint)
        if route is None:
            raise RefusedError(page(404, "Not Found"))
        if ex.request.method not in route.methods:
            raise RefusedError(reply({"detail": f'Method "{ex.request.method}" not allowed.'}, status=405))
        accept = ex.request.headers.get("Accept", "*/*")
        if not any(kind in accept for kind in ("*/*", "application/*", "application/json")):
            raise RefusedError(reply({"detail": "Could not satisfy the request Accept header."}, status=406))
        return route

    def _admit(self, ex: Exchange) -> None:
        account = self._world.bearer(ex.request.headers.get("Authorization", ""), now=self._clock.now())
        if account is None:
            raise RefusedError(bad_token())
        ex.account = account
        ex.take_lock()

    def _strike_first(self, ex: Exchange) -> None:
        """The faults that need nothing of the request but its arrival."""
        fault = ex.fault
        if fault is None:
            return
        match fault.kind:
            case "busy_before":
                answer = busy()
            case "unauthorized_before":
                answer = bad_token()
            case "error_500":
                answer = error("INTERNAL_ERROR", "An unexpected error occurred.", status=500)
            case "html_502":
                answer = page(502, "502 Bad Gateway")
            case "html_200":
                answer = page(200, "Welcome")
            case "error_200":
                answer = error("EM_OFFLINE", "The EM cannot be reached.", status=200)
            case "no_data":
                answer = reply({"message": "The EM cannot be reached."})
            case "redirect":
                answer = _moved(fault.location, status=302)
            case "retry_after":
                headers = {"Retry-After": f"{fault.seconds:g}"}
                answer = reply({"detail": "Request was throttled."}, status=fault.status, headers=headers)
            case "early_answer":
                data = {"file_count": fault.count, "total_size_kb": 0.0}
                answer = reply({"message": "Files uplinked successfully.", "data": data})
            case "reset" if fault.at is None:
                raise SeveredError(rst=True)
            case _:
                return
        raise RefusedError(answer, hard=fault.hard)

    def _log(self, request: web.BaseRequest) -> LoggedRequest:
        raw = request.raw_path.partition("?")[0]
        prefix = self.rules.base
        # Both "/em/..." and "//em/..." come in; what is not below the prefix keeps its slash and is not found.
        path = raw.removeprefix(prefix).lstrip("/") if raw.startswith(f"{prefix}/") else raw
        peer = request.transport.get_extra_info("peername") if request.transport else None
        entry = LoggedRequest(
            at=self._clock.now(),
            method=request.method,
            path=path,
            query=dict(request.query),
            peer=f"{peer[0]}:{peer[1]}" if peer else "",
        )
        self._requests.append(entry)
        return entry

    def _settle(self, ex: Exchange, answer: web.StreamResponse | None) -> None:
        """Complete the log and give the lock back, sooner or (`stale_lock`) later."""
        ex.settle()
        if isinstance(answer, web.Response):
            ex.entry.status = answer.status
            ex.entry.bytes_out = len(answer.body) if isinstance(answer.body, bytes) else 0
        stale = ex.has("stale_lock")
        if stale is not None and ex.client_gone and ex.keep_lock():
            seconds, lock = stale.seconds, self._world.lock

            async def later() -> None:
                try:
                    await self._clock.sleep(seconds)
                finally:
                    lock.release()

            self._crew.spawn(later)
        ex.release()


def _moved(location: str, *, status: int) -> web.Response:
    answer = page(status, "Moved")
    answer.headers["Location"] = location
    return answer


async def _linger(ex: Exchange, answer: web.StreamResponse) -> None:
    """Send an answer that comes before the body's end so that it can be read: closing a socket with unread bytes in it
    resets the connection, and the reset may overtake the answer. A little is drained, and there is a second's grace."""
    request = ex.request
    if request.content.is_eof() or answer.prepared:
        return
    answer.force_close()
    if ex.hard:
        return  # aiohttp sends it, and closes behind it
    drained = 0
    with anyio.move_on_after(_LINGER_S):
        try:
            await answer.prepare(request)
            await answer.write_eof()
            if request.transport is not None:
                request.transport.write_eof()  # the answer ends here, for whoever reads it
            while not request.content.at_eof() and drained < _LINGER_BYTES:
                drained += len(await request.content.read(_LINGER_BYTES))
        except (ConnectionError, web.RequestPayloadError):
            return
        finally:
            ex.entry.bytes_in = request.content.total_bytes
        while not (request.content.at_eof() or ex.client_gone):  # noqa: ASYNC110 - see Exchange.stall
            await anyio.sleep(0.02)


def _sever(request: web.BaseRequest, *, rst: bool) -> web.StreamResponse:
    """Close the connection; the response that is returned goes nowhere."""
    transport = request.transport
    if transport is not None:
        if rst:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()
    return web.Response(status=503)
