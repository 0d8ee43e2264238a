"""A server of bare sockets on 127.0.0.1 that does what a script says, so that no HTTP library tidies up after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from emasync.config import Limits, Timeouts
from emasync.http import Transport

Script = Callable[["Line"], Awaitable[None]]


@dataclass
class Line:
    """One connection, seen from the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    heads: list[str]

    async def head(self) -> str:
        """The next request's line and headers; EOFError when the client has gone."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        return head

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int = 200, body: bytes = b"{}", *headers: str) -> None:
        """A whole answer; the headers come in place of the usual type, and after the length."""
        lines = [f"HTTP/1.1 {status} Text", f"Content-Length: {len(body)}", *(headers or JSON)]
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def drained(self) -> int:
        """Read to the end of what the client sends; how many bytes that was."""
        total = 0
        try:
            while data := await self.reader.read(1 << 16):
                total += len(data)
        except ConnectionError:
            pass
        return total


JSON = ("Content-Type: application/json",)


@dataclass
class Peer:
    """`heads` are all requests so far, `lines` counts connections."""

    url: str
    heads: list[str] = field(default_factory=list)
    lines: int = 0


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[Peer]:
    """Run `script` on each connection; what it has not done at the end of the block is cancelled."""
    tasks: set[asyncio.Task[None]] = set()
    peer = Peer("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer.lines += 1
        try:
            await script(Line(reader, writer, peer.lines, peer.heads))
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    peer.url = f"http://{host}:{port}/"
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


QUICK = Timeouts(connect_s=5.0, stall_s=5.0, answer_s=5.0, long_answer_s=5.0)


def transport(peer: Peer, timeouts: Timeouts = QUICK, limits: Limits | None = None) -> Transport:
    """A transport to `peer` with time-outs that never matter, unless others are given."""
    return Transport(peer.url, timeouts=timeouts, limits=limits or Limits())


class ZeroBody:
    """`length` zero bytes in `piece`s. `fails` is raised after `given` bytes; `at_end` runs after the last piece."""

    content_type = "application/octet-stream"

    def __init__(
        self,
        length: int,
        *,
        piece: int = 1 << 20,
        given: int | None = None,
        fails: Exception | None = None,
        at_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.length = length
        self._piece = piece
        self._given = length if given is None else given
        self._fails = fails
        self._at_end = at_end
        self.closed = False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            for start in range(0, self._given, self._piece):
                yield bytes(min(self._piece, self._given - start))
            if self._fails is not None:
                raise self._fails
            if self._at_end is not None:
                await self._at_end()
        finally:
            self.closed = True
