"""One connection to a benchmark server: as little HTTP as its clients need, as fast as asyncio goes.

Owns: heads, bodies received straight into their place, answers by write or sendfile. May import its room.
It believes its clients: keep-alive, no pipelining, a Content-Length on every body.
"""

from __future__ import annotations

import asyncio
import re
from typing import Protocol, cast

from benchmarks.servers.volume import Answer

_HEAD = 64 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_CONTINUE = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)


class Em(Protocol):
    """What a connection needs of its server."""

    def begin(self, connection: Connection, path: str) -> bool:
        """A request's head is there; False if it has been refused."""
        ...

    def place(self, path: str, size: int) -> tuple[memoryview, int]:
        """Where a request's body of `size` bytes is to go."""
        ...

    def complete(self, connection: Connection, path: str, query: str, head: bytes, begin: int, size: int) -> None:
        """The request is whole: answer it, now or later."""
        ...


class Connection(asyncio.BufferedProtocol):
    """Reads a request, has it answered, reads the next."""

    def __init__(self, em: Em) -> None:
        self._em = em
        self._buffer = bytearray(_HEAD)
        self._filled = 0
        self._head = b""
        self._target = ("", "")
        self._body: memoryview | None = None
        self._begin = self._size = 0
        self._sending: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._body if self._body is not None else memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._body is None:
            self._filled += nbytes
            end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
            if end >= 0:
                self._request(bytes(self._buffer[:end]), bytes(self._buffer[end + 4 : self._filled]))
            return
        self._body = self._body[nbytes:]
        if not self._body:
            self._whole()

    def _request(self, head: bytes, rest: bytes) -> None:
        self._filled, self._head = 0, head
        target = head[: head.index(b"\r\n")].split(b" ")[1].decode()
        path, _, query = target.partition("?")
        self._target = "/" + path.lstrip("/"), query
        found = _LENGTH.search(head)
        self._size = int(found[1]) if found else 0
        if not self._em.begin(self, self._target[0]):
            if self._size:
                self.transport.close()  # its body is not wanted
            return
        if not self._size:
            self._whole()
            return
        place, self._begin = self._em.place(self._target[0], self._size)
        place[: len(rest)] = rest
        self._body = place[len(rest) :]
        if _CONTINUE.search(head) and not rest:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._body:
            self._whole()

    def _whole(self) -> None:
        self._body = None
        self._em.complete(self, *self._target, self._head, self._begin, self._size)

    def answer(self, answer: Answer, *, last: bool = False) -> None:
        """Send `answer`; the connection ends after it if it is the `last` one or the client asked for that."""
        if self.transport.is_closing():
            return
        self.transport.write(answer.data)
        close = last or _CLOSE.search(self._head) is not None
        if answer.file is not None:
            self._sending = asyncio.ensure_future(self._send(answer.file, close=close))
        elif close:
            self.transport.close()

    async def _send(self, path: str, *, close: bool) -> None:
        try:
            with open(path, "rb") as file:  # noqa: PTH123 -- a plain file object is what sendfile takes
                await asyncio.get_running_loop().sendfile(self.transport, file, fallback=False)
        except ConnectionError:
            return
        if close:
            self.transport.close()
