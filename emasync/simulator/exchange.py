"""One request and its response: bodies at the connection's pace, injected faults, breakpoints and the EM's lock.

Must not import server or handlers: what an endpoint does is theirs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import anyio
from aiohttp import web

from emasync.simulator.breakpoints import Breakpoints, Stage
from emasync.simulator.clock import Clock
from emasync.simulator.config import LoggedRequest, SimulatorConfig
from emasync.simulator.faults import Fault, FaultKind, FaultList
from emasync.simulator.pod_runner import PodRunner
from emasync.simulator.responses import ConnectionDropError, RefusedError, busy_response, invalid_token_response
from emasync.simulator.state import SimulatorState, User

_CHUNK_BYTES = 256 * 1024
_DEFAULT_FAULT_OFFSET = 64 * 1024  # bytes of a request's body before a fault within it, unless the fault has `at`
_DISCONNECT_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerContext:
    """What all requests of one running simulator share.

    `log` is the caller's list and only grows. `shown_filename`: the name that downlinks announce instead of the file's
    own; it is asked at each downlink.
    """

    config: SimulatorConfig
    clock: Clock
    state: SimulatorState
    faults: FaultList
    breakpoints: Breakpoints
    pod_runner: PodRunner
    log: list[LoggedRequest]
    shown_filename: Callable[[], str | None]


class Exchange:
    """What a handler works with: one request, the fault injected into it, and the way to its response.

    `user` is set once the token was accepted. `hard`: an early response closes the connection without lingering.
    `admit_after_body`, where set, checks token and lock when the body is complete: as behind a buffering proxy.
    """

    def __init__(self, request: web.BaseRequest, entry: LoggedRequest, context: ServerContext) -> None:
        self.request = request
        self.entry = entry
        self.context = context
        self.config: SimulatorConfig = context.config
        self.clock: Clock = context.clock
        self.endpoint: str = entry.path
        self.fault: Fault | None = None
        self.hard = False
        self.admit_after_body: Callable[[], None] | None = None
        self._user: User | None = None
        self._holds_lock = False
        self._logged = False

    @property
    def user(self) -> User:
        """The user whose token the request carries."""
        assert self._user is not None, "the token is checked before any handler runs"
        return self._user

    @user.setter
    def user(self, user: User) -> None:
        self._user = user
        self.entry.user = user.name

    def fault_if(self, *kinds: FaultKind) -> Fault | None:
        """The fault injected into this request, if it is one of `kinds`."""
        return self.fault if self.fault is not None and self.fault.kind in kinds else None

    def take_lock(self) -> None:
        """Take the EM's lock for this request; RefusedError (423) when another request holds it."""
        if not self.context.state.lock.take():
            raise RefusedError(busy_response())
        self._holds_lock = True

    def release_lock(self) -> None:
        """Release the EM's lock, if this request holds it."""
        if self._holds_lock:
            self._holds_lock = False
            self.context.state.lock.release()

    def leave_lock_taken(self) -> bool:
        """Keep the lock taken beyond this request's end; returns whether this request held it."""
        held, self._holds_lock = self._holds_lock, False
        return held

    def complete_log_entry(self) -> None:
        """Write what is known only at the request's end into its log entry, once."""
        if not self._logged:
            self._logged = True
            self.entry.seconds = self.clock.now() - self.entry.at
            self.entry.bytes_in = getattr(self.request.content, "total_bytes", 0)

    @property
    def client_gone(self) -> bool:
        """Whether the connection is closed."""
        return self.request.transport is None or self.request.transport.is_closing()

    async def pause_at(self, stage: Stage) -> None:
        """Pause while a test has set a breakpoint for this endpoint at `stage`."""
        await self.context.breakpoints.pause(self.endpoint, stage)

    async def hold(self, size: int = 0) -> None:
        """Keep the EM busy for as long as the configured `hold` says for `size` bytes."""
        if (seconds := self.config.hold_s(size)) > 0:
            await self.clock.sleep(seconds)

    async def stall(self) -> None:
        """Never go on: ends when the client closes (noticed within 20 ms) or the simulator ends."""
        while not self.client_gone:  # noqa: ASYNC110 - aiohttp has no event for a closed connection
            await anyio.sleep(_DISCONNECT_POLL_S)
        raise ConnectionDropError(rst=False)

    # -- the request's body ------------------------------------------------------------------------------------------

    async def body(self) -> AsyncIterator[bytes]:
        """The request's body in chunks. A chunked body is taken as empty, as the real server takes it."""
        request = self.request
        if not request.headers.get("Content-Length"):
            return
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        fault = self.fault_if("busy_during", "reset", "stall")
        limit = None if fault is None else fault.at if fault.at is not None else _DEFAULT_FAULT_OFFSET
        received = 0
        while True:
            if fault is not None and limit is not None and received >= limit:
                await self._break_off_request(fault)
            chunk_size = self._chunk_size if limit is None else min(self._chunk_size, limit - received)
            chunk = await request.content.read(chunk_size)
            if not chunk:
                if fault is not None and received:  # a body shorter than the fault's offset breaks off at its end
                    await self._break_off_request(fault)
                return
            first, received = not received, received + len(chunk)
            await self._throttle(len(chunk))
            yield chunk
            if first:
                await self.pause_at("body")

    async def _break_off_request(self, fault: Fault) -> None:
        if fault.kind == "busy_during":
            raise RefusedError(busy_response(), hard=fault.hard)
        if fault.kind == "reset":
            raise ConnectionDropError(rst=True)
        await self.stall()

    def body_received(self) -> None:
        """To be called when the body is read and nothing is done yet: raises what refuses the request only then."""
        if self.admit_after_body is not None:
            self.admit_after_body()
        if self.fault_if("unauthorized_after_body"):
            raise RefusedError(invalid_token_response())
        if self.fault_if("busy_after"):
            raise RefusedError(busy_response())

    # -- the response's body -----------------------------------------------------------------------------------------

    async def send(self, response: web.StreamResponse, chunks: AsyncIterator[bytes], *, size: int) -> None:
        """Send `size` bytes as the body of `response`, at the connection's pace and with the injected fault.

        The lock is released and the log entry completed just before the last chunk: a client that has read its response
        may send the next request, or a test look at the log, at once.
        """
        fault = self.fault_if("cut_body", "reset", "stall")
        limit = None if fault is None else fault.at if fault.at is not None else size // 2
        if drop := self.fault_if("commit_then_drop"):
            raise ConnectionDropError(rst=drop.hard)
        self.entry.status = response.status
        response.content_length = size
        await response.prepare(self.request)
        sent = 0
        async for chunk in self._paced(chunks):
            part = chunk if limit is None else chunk[: max(0, limit - sent)]
            await self._throttle(len(part))
            first, sent = not sent, sent + len(part)
            self.entry.bytes_out = sent
            if sent >= size:
                self.complete_log_entry()
                self.release_lock()
            await response.write(part)
            if fault is not None and limit is not None and sent >= limit:
                await self._break_off_response(fault)
            if first:
                await self.pause_at("body")

    async def _break_off_response(self, fault: Fault) -> None:
        if fault.kind == "stall":
            await self.stall()
        raise ConnectionDropError(rst=fault.kind == "reset" or fault.hard)

    # -- pace --------------------------------------------------------------------------------------------------------

    @property
    def _bytes_per_second(self) -> float | None:
        fault = self.fault_if("slow_drip")
        return fault.rate if fault is not None else self.config.bandwidth

    @property
    def _chunk_size(self) -> int:
        """How much to move at once: a tenth of a second's worth where there is a bandwidth limit."""
        rate = self._bytes_per_second
        return _CHUNK_BYTES if rate is None else max(1, min(_CHUNK_BYTES, int(rate / 10)))

    async def _paced(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """`chunks`, cut into small ones where there is a bandwidth limit."""
        async for chunk in chunks:
            step = len(chunk) if self._bytes_per_second is None else self._chunk_size
            for start in range(0, len(chunk), step or 1):
                yield chunk[start : start + step]

    async def _throttle(self, size: int) -> None:
        rate = self._bytes_per_second
        if rate is not None:
            await self.clock.sleep(size / rate)
