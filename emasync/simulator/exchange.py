"""One request and its answer, with all that may happen between them.

Owns: reading a body and sending one at the connection's pace, the places where faults and gates strike, and the lock's
lease. May import aiohttp.web, rules, faults, gates, answers, world. Knows nothing of what an endpoint does.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import anyio
from aiohttp import web

from emasync.simulator.breakpoints import Breakpoints, Stage
from emasync.simulator.clock import Clock
from emasync.simulator.config import LoggedRequest, SimulatorConfig
from emasync.simulator.faults import Fault, FaultKind
from emasync.simulator.multipart import MultipartError, MultipartParser, PartBegin, PartData, boundary_of
from emasync.simulator.responses import RefusedError, SeveredError, bad_token, busy, error, invalid, reply
from emasync.simulator.state import Lock, User
from emasync.simulator.volume import Volume

_PIECE = 256 * 1024
_EARLY = 64 * 1024  # how much of a body `busy_during` reads, unless the fault says
_FORM_LIMIT = 2_621_440  # Django's DATA_UPLOAD_MAX_MEMORY_SIZE
_NO_ONE = "the token is checked before any handler runs"


class Exchange:
    """What a handler works with. `account` is set once the token was found good. `hard`: an early answer is sent and
    the connection closed behind it, without lingering. `admit_late`, where it is set, checks
    token and lock when the body is in: what a buffering proxy in front of the server amounts to."""

    def __init__(
        self,
        request: web.BaseRequest,
        entry: LoggedRequest,
        *,
        rules: SimulatorConfig,
        clock: Clock,
        gates: Breakpoints,
        lock: Lock,
    ) -> None:
        self.request = request
        self.entry = entry
        self.rules = rules
        self.clock = clock
        self.endpoint = entry.path
        self.fault: Fault | None = None
        self.hard = False
        self.admit_late: Callable[[], None] | None = None
        self._account: User | None = None
        self._gates = gates
        self._lock = lock
        self._leased = False
        self._settled = False

    @property
    def account(self) -> User:
        """Whose request it is."""
        assert self._account is not None, _NO_ONE
        return self._account

    @account.setter
    def account(self, account: User) -> None:
        self._account = account
        self.entry.user = account.name

    def has(self, *kinds: FaultKind) -> Fault | None:
        """The fault that hit this request, if it is one of `kinds`."""
        return self.fault if self.fault is not None and self.fault.kind in kinds else None

    def take_lock(self) -> None:
        """Have the EM for this request; a 423 RefusedError when another has it."""
        if not self._lock.take():
            raise RefusedError(busy())
        self._leased = True

    def release(self) -> None:
        """Give the EM back, if this request has it."""
        if self._leased:
            self._leased = False
            self._lock.release()

    def keep_lock(self) -> bool:
        """Leave the lock taken when this request is over; whether there was one to leave."""
        leased, self._leased = self._leased, False
        return leased

    def settle(self) -> None:
        """Complete the log's entry, once."""
        if not self._settled:
            self._settled = True
            self.entry.seconds = self.clock.now() - self.entry.at
            self.entry.bytes_in = getattr(self.request.content, "total_bytes", 0)

    @property
    def client_gone(self) -> bool:
        """Whether the connection is closed."""
        return self.request.transport is None or self.request.transport.is_closing()

    async def gate(self, stage: Stage) -> None:
        """Stop where a test put a gate."""
        await self._gates.hold(self.endpoint, stage)

    async def busy_for(self, size: int) -> None:
        """Keep the EM busy as long as `size` bytes take it."""
        if (seconds := self.rules.hold_s(size)) > 0:
            await self.clock.sleep(seconds)

    async def stall(self) -> None:
        """Never go on; ends when the client closes (seen within 20 ms) or the simulator ends."""
        while not self.client_gone:  # noqa: ASYNC110 - aiohttp has no event for a closed connection
            await anyio.sleep(0.02)
        raise SeveredError(rst=False)

    # -- the request's body ------------------------------------------------------------------------------------------

    async def body(self) -> AsyncIterator[bytes]:
        """The body in pieces. A chunked one is taken as empty, as the real server takes it."""
        request = self.request
        if not request.headers.get("Content-Length"):
            return
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        strike = self.has("busy_during", "reset", "stall")
        limit = None if strike is None else strike.at if strike.at is not None else _EARLY
        seen, first = 0, True
        while True:
            if limit is not None and seen >= limit:
                await self._strike()
            piece = await request.content.read(self._piece if limit is None else min(self._piece, limit - seen))
            if not piece:
                if limit is not None and seen:  # a body shorter than that is struck at its end
                    await self._strike()
                return
            seen += len(piece)
            await self._pace(len(piece))
            yield piece
            if first:
                first = False
                await self.gate("body")

    async def _strike(self) -> None:
        fault = self.fault
        assert fault is not None
        if fault.kind == "busy_during":
            raise RefusedError(busy(), hard=fault.hard)
        if fault.kind == "reset":
            raise SeveredError(rst=True)
        await self.stall()

    def body_is_in(self) -> None:
        """To be called when the body is read and before anything is done: what may still be refused then."""
        if self.admit_late is not None:
            self.admit_late()
        if self.has("unauthorized_after_body"):
            raise RefusedError(bad_token())
        if self.has("busy_after"):
            raise RefusedError(busy())

    async def read_fields(self) -> dict[str, Any]:
        """Query, form and (later generations) JSON as one mapping; remembered, and noted in the log."""
        kind = self.request.content_type
        boundary = boundary_of(self.request.headers.get("Content-Type", ""))
        body = bytearray()
        async for piece in self.body():
            body += piece
            if len(body) > _FORM_LIMIT:
                raise RefusedError(error("BAD_REQUEST", "The request body is too large."))
        self.body_is_in()
        fields: dict[str, Any] = dict(self.request.query)
        if kind == "application/json" and body:
            fields |= self._json(bytes(body))
        elif boundary is not None:
            fields |= _multipart_fields(boundary, bytes(body))
        elif kind == "application/x-www-form-urlencoded":
            fields |= parse_qsl(bytes(body).decode("utf-8", "replace"), keep_blank_values=True)
        self.entry.detail |= {name: value for name, value in fields.items() if name not in ("password", "refresh")}
        return fields

    def _json(self, body: bytes) -> Mapping[str, Any]:
        if not self.rules.later and self.endpoint != "auth/refresh":
            text = 'Unsupported media type "application/json" in request.'
            raise RefusedError(reply({"detail": text}, status=415))
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError) as wrong:
            raise RefusedError(reply({"detail": f"JSON parse error - {wrong}"}, status=400)) from wrong
        if not isinstance(fields, dict):
            raise invalid("non_field_errors", f"Invalid data. Expected a dictionary, but got {type(fields).__name__}.")
        return fields

    def volume_name(self, fields: Mapping[str, Any]) -> str | None:
        """The volume that the request means; the seed generation knows only the default one."""
        names = {"seed": (), "pods": ("pod_name",), "pvc": ("pvc_name", "pod_name")}[self.rules.generation]
        return next((str(fields[name]) for name in names if fields.get(name)), None)

    def volume(self, fields: Mapping[str, Any]) -> Volume:
        """The user's volume that the request means."""
        try:
            return self.account.volume(self.volume_name(fields))
        except ValueError as wrong:
            raise invalid("pod_name", str(wrong)) from wrong

    # -- the answer's body -------------------------------------------------------------------------------------------

    async def send(self, response: web.StreamResponse, pieces: AsyncIterator[bytes], *, size: int) -> None:
        """Send `size` bytes as the body of `response`, at the connection's pace and with what faults do to it.

        The lock is given back and the log complete just before the last piece: a client that has read its answer may
        call again, or a test look at the log, at once.
        """
        strike = self.has("cut_body", "reset", "stall")
        limit = None
        if strike is not None:
            limit = strike.at if strike.at is not None else size // 2
        if self.has("commit_then_drop"):
            raise SeveredError(rst=self.fault is not None and self.fault.hard)
        self.entry.status = response.status
        response.content_length = size
        await response.prepare(self.request)
        sent, first = 0, True
        async for whole in pieces:
            for piece in [whole] if self._rate is None else _split(whole, self._piece):
                part = piece if limit is None else piece[: max(0, limit - sent)]
                await self._pace(len(part))
                sent += len(part)
                self.entry.bytes_out = sent
                if sent >= size:
                    self.settle()
                    self.release()
                await response.write(part)
                if limit is not None and sent >= limit:
                    await self._cut()
                if first:
                    first = False
                    await self.gate("body")

    async def _cut(self) -> None:
        if self.has("stall"):
            await self.stall()
        raise SeveredError(rst=self.has("reset") is not None or (self.fault is not None and self.fault.hard))

    # -- pace --------------------------------------------------------------------------------------------------------

    @property
    def _rate(self) -> float | None:
        drip = self.has("slow_drip")
        return drip.rate if drip is not None else self.rules.bandwidth

    @property
    def _piece(self) -> int:
        """How much to move at once: a tenth of a second's worth where there is a limit."""
        rate = self._rate
        return _PIECE if rate is None else max(1, min(_PIECE, int(rate / 10)))

    async def _pace(self, size: int) -> None:
        rate = self._rate
        if rate is not None:
            await self.clock.sleep(size / rate)


def _split(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def _multipart_fields(boundary: bytes, body: bytes) -> dict[str, str]:
    fields: dict[str, bytes] = {}
    name: str | None = None
    try:
        for event in MultipartParser(boundary).feed(body):
            if isinstance(event, PartBegin):
                name = event.name if event.filename is None else None
                if name is not None:
                    fields[name] = b""
            elif isinstance(event, PartData) and name is not None:
                fields[name] += event.data
    except MultipartError as wrong:
        raise RefusedError(reply({"detail": f"Multipart form parse error - {wrong}"}, status=400)) from wrong
    return {name: value.decode("utf-8", "replace") for name, value in fields.items()}
