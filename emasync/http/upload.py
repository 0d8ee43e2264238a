"""The body of an uplink while it is sent: in slices, with time-outs, and stopped by an early response.

An early response (423) is noticed before much is pushed into a locked EM. Knows nothing of files or multipart: a `Body`
yields bytes. Must not import wire or other modules of http.
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

_SLICE = 256 * KIB  # bytes that are sent between two checks for an early response
_PAUSE_AT = 512 * KIB  # a longer body pauses once here, so that a locked EM can say so before the rest is sent
_LATE = 16  # a stall is noticed up to a sixteenth of its time late: the timer is not moved for every slice
_GRACE_S = 0.01  # of that pause, beside the time that connecting took


class Body(Protocol):
    """The body of an uplink. `chunks` is iterated at most once, in one task, and closed by the transport."""

    @property
    def content_type(self) -> str: ...
    @property
    def length(self) -> int: ...
    def chunks(self) -> AsyncGenerator[bytes, None]: ...


class Upload(Payload):
    """A `Body` as aiohttp writes it: in slices, timed, and stopped by whatever ends the request."""

    def __init__(self, body: Body, timeouts: Timeouts, *, long: bool) -> None:
        super().__init__(body, content_type=body.content_type)
        self._length = body.length
        self._body = body
        self._timeouts = timeouts
        self._answer_s = timeouts.long_answer_s if long else timeouts.answer_s
        self._started = asyncio.get_running_loop().time()
        self._window = (0, self._started)
        self._deadline_set_at = -math.inf
        self._closed: anyio.Event | None = None
        self.scope: asyncio.Timeout | None = None
        self._paused = False
        self.sent: int = 0
        self.complete: bool = False
        self.failure: BaseException | None = None

    @property
    def size(self) -> int:
        return self._length

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("an uplink's body is streamed once and has no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._closed = anyio.Event()
        chunks = self._body.chunks()
        try:
            connected_s = asyncio.get_running_loop().time() - self._started
            while view := memoryview(await self._next(chunks)):
                for start in range(0, len(view), _SLICE):
                    await self._check_for_response(connected_s)
                    part = view[start : start + _SLICE]
                    await writer.write(part)
                    self.sent += len(part)
                    self._progress()
            self.complete = True
            self._set_deadline(self._answer_s)
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await chunks.aclose()
            finally:  # aiohttp may cancel this task again while it closes, from which no scope shields
                self._closed.set()

    async def _next(self, chunks: AsyncGenerator[bytes, None]) -> bytes:
        """The next chunk, empty at the end. What the body raises is kept in `failure`: aiohttp would wrap it."""
        try:
            chunk = await anext(chunks, b"")
            if self.sent + len(chunk) > self.size or (not chunk and self.sent != self.size):
                raise ValueError(f"the body has {self.sent + len(chunk)} bytes, {self.size} were announced")
        except Exception as error:
            self.failure = error
            raise
        return chunk

    async def _check_for_response(self, connected_s: float) -> None:
        """Let the event loop read before more is sent; once, wait about a round trip. A response cancels this task."""
        if not self._paused and self.sent + _SLICE >= _PAUSE_AT and self.size > MIB:
            self._paused = True
            await asyncio.sleep(min(connected_s, 1.0) + _GRACE_S)
        else:
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def _progress(self) -> None:
        now = asyncio.get_running_loop().time()
        sent_before, since = self._window
        if now - since >= self._timeouts.low_speed_window_s:
            if self.sent - sent_before < (now - since) * self._timeouts.low_speed_bytes_s:
                self._set_deadline(0)
                return
            self._window = (self.sent, now)
        late_s = self._timeouts.stall_s / _LATE
        if now - self._deadline_set_at >= late_s:
            self._deadline_set_at = now
            self._set_deadline(self._timeouts.stall_s + late_s)

    def _set_deadline(self, seconds: float) -> None:
        """Let the request time out so many seconds from now."""
        if self.scope is not None and not self.scope.expired():
            self.scope.reschedule(asyncio.get_running_loop().time() + seconds)

    async def wait_closed(self) -> None:
        """Wait until the body is closed; returns at once if it was never begun."""
        if self._closed is not None:
            await self._closed.wait()
