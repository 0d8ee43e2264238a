"""The body of an uplink on its way out.

Owns: sending it in pieces, noticing an early answer before much is pushed into a lock, and the time-outs of sending.
May import config and errors, and aiohttp. Knows nothing of files or multipart: a `Body` yields bytes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import Protocol

import anyio
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from emasync.config import KIB, MIB, Timeouts

_PIECE = 256 * KIB  # how much body goes out between two looks for an early answer
_FIRST_LOOK = 512 * KIB  # a longer body pauses once here, so that a locked EM can say so before the rest is pushed
_EVERY = 16  # a stall is noticed up to a sixteenth of its time late: the timer is not moved for every piece
_GRACE_S = 0.01  # of that pause, beside one connection's round trips


class Body(Protocol):
    """What an uplink sends. `chunks` is iterated at most once, in one task, and closed by the transport."""

    @property
    def content_type(self) -> str: ...
    @property
    def length(self) -> int: ...
    def chunks(self) -> AsyncGenerator[bytes, None]: ...


class Upload(Payload):
    """A `Body` as aiohttp writes it: in pieces, watched, and stopped by whatever ends the request."""

    def __init__(self, body: Body, timeouts: Timeouts, *, long: bool) -> None:
        super().__init__(body, content_type=body.content_type)
        self._length = body.length
        self._body = body
        self._timeouts = timeouts
        self._answer_s = timeouts.long_answer_s if long else timeouts.answer_s
        self._began = asyncio.get_running_loop().time()
        self._window = (0, self._began)
        self._allowed_at = -math.inf
        self._ended: anyio.Event | None = None
        self.scope: asyncio.Timeout | None = None
        self._looked = False
        self.sent = 0
        self.complete = False
        self.failure: BaseException | None = None

    @property
    def size(self) -> int:
        return self._length

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("an uplink's body is streamed once and has no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._ended = anyio.Event()
        chunks = self._body.chunks()
        try:
            connected_s = asyncio.get_running_loop().time() - self._began
            while view := memoryview(await self._next(chunks)):
                for start in range(0, len(view), _PIECE):
                    await self._look_for_an_answer(connected_s)
                    piece = view[start : start + _PIECE]
                    await writer.write(piece)
                    self.sent += len(piece)
                    self._progress()
            self.complete = True
            self._allow(self._answer_s)
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await chunks.aclose()
            finally:  # aiohttp may cancel this task again while it closes, which no scope can hold off
                self._ended.set()

    async def _next(self, chunks: AsyncGenerator[bytes, None]) -> bytes:
        """The next chunk, empty at the end. What the body raises is kept: aiohttp would rename it."""
        try:
            chunk = await anext(chunks, b"")
            if self.sent + len(chunk) > self.size or (not chunk and self.sent != self.size):
                raise ValueError(f"the body has {self.sent + len(chunk)} bytes, {self.size} were announced")
        except Exception as error:
            self.failure = error
            raise
        return chunk

    async def _look_for_an_answer(self, connected_s: float) -> None:
        """Let the loop read before more is pushed; once, wait about a round trip. An answer cancels this task."""
        if not self._looked and self.sent + _PIECE >= _FIRST_LOOK and self.size > MIB:
            self._looked = True
            await asyncio.sleep(min(connected_s, 1.0) + _GRACE_S)
        else:
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def _progress(self) -> None:
        now = asyncio.get_running_loop().time()
        sent_before, since = self._window
        if now - since >= self._timeouts.low_speed_window_s:
            if self.sent - sent_before < (now - since) * self._timeouts.low_speed_bytes_s:
                self._allow(0)
                return
            self._window = (self.sent, now)
        late_s = self._timeouts.stall_s / _EVERY
        if now - self._allowed_at >= late_s:
            self._allowed_at = now
            self._allow(self._timeouts.stall_s + late_s)

    def _allow(self, seconds: float) -> None:
        if self.scope is not None and not self.scope.expired():
            self.scope.reschedule(asyncio.get_running_loop().time() + seconds)

    async def settled(self) -> None:
        """Return when the body has been closed (at once if it was never begun)."""
        if self._ended is not None:
            await self._ended.wait()
