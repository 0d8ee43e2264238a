"""An EM on bare sockets, with no HTTP library between a test and the bytes: right until a script takes over a call.

Owns: reading requests, the right answers from a folder, and the connection in the hands of a script.
Knows nothing of emasync; binds 127.0.0.1 only. What may go wrong is in `scripts` and its kin.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

Target = Literal["list", "json", "raw", "up"]
"""Which call a script takes over: a listing, a downlink in either of its forms, an uplink."""

Play = Callable[["Exchange"], Awaitable[None]]

TARGETS: tuple[Target, ...] = ("list", "json", "raw", "up")
_PATHS: dict[str, Target] = {"/em/files/list": "list", "/em/files/uplink": "up"}
_PART = re.compile(rb'Content-Disposition: form-data; name="(\w+)"(?:; filename="([^"\r\n]*)")?', re.IGNORECASE)


class Exchange:
    """One request, its head read, and everything a script may do to the one who sent it."""

    def __init__(
        self, em: RawEM, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random
    ) -> None:
        self.em = em
        self.rng = rng
        self.reader = reader
        self.writer = writer
        line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.method, target, _ = line.split(" ", 2)
        self.url = urlsplit(target)
        named = (field.partition(":") for field in fields)
        self.fields = {name.strip().lower(): value.strip() for name, _, value in named}
        self.left = int(self.fields.get("content-length", "0"))
        self.keep = True  # whether the connection may serve another request

    @property
    def target(self) -> Target | None:
        """Which of the calls that scripts know this is."""
        if self.url.path == "/em/files/downlink":
            return self.em.form
        return _PATHS.get(self.url.path)

    def point(self, size: int) -> int:
        """Where among `size` bytes it happens: anywhere but behind the last."""
        return self.rng.randrange(size) if size > 0 else 0

    async def take(self, size: int | None = None) -> bytes:
        """The next `size` bytes of the request's body, all of it by default."""
        data = await self.reader.readexactly(self.left if size is None else min(size, self.left))
        self.left -= len(data)
        return data

    async def send(self, data: bytes) -> None:
        """Bytes, as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes, *fields: str, status: str = "200 OK", kind: str | None = None) -> None:
        """A well-formed answer with this body."""
        await self.send(head(*fields, f"Content-Length: {len(body)}", status=status, kind=kind or self.kind) + body)

    async def body(self) -> bytes:
        """The body of the right answer, the request's own body taken and its work done."""
        return self.em.work(self, await self.take())

    @property
    def kind(self) -> str:
        """The right answer's type."""
        return "application/octet-stream" if self.target == "raw" else "application/json"

    @property
    def extra(self) -> tuple[str, ...]:
        """Fields that the right answer has beside type and length."""
        return ('Content-Disposition: attachment; filename="x"',) if self.target == "raw" else ()

    async def idle(self) -> None:
        """Nothing more, until the case is over."""
        await self.em.released.wait()

    def close(self) -> None:
        """The end of the connection, with a FIN (a reset where the request was not read to its end)."""
        self.keep = False
        self.writer.close()

    def reset(self) -> None:
        """The end of the connection, with a RST."""
        self.keep = False
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def linger(self) -> None:
        """Close so that what was sent can be read: take what comes until the other side has gone."""
        self.keep = False
        with contextlib.suppress(OSError):
            self.writer.write_eof()
            while await self.reader.read(65536):
                pass


def head(*fields: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """Status line and fields, to the empty line."""
    return "\r\n".join((f"HTTP/1.1 {status}", f"Content-Type: {kind}", *fields, "", "")).encode("latin-1")


class RawEM:
    """Serves the folder `volume`. Armed with a script it plays it instead of its `target` call; see `arm`."""

    def __init__(self, volume: Path) -> None:
        self.volume = volume
        self.form: Literal["json", "raw"] = "json"
        self.hits: Counter[str] = Counter()
        """Requests since `arm`, by path."""
        self.played = 0
        """How often the script was played since `arm`."""
        self.playing = 0
        """How many plays are under way."""
        self.slips: list[str] = []
        """What went wrong in this server itself."""
        self.released = asyncio.Event()
        self.url = ""
        self.tasks: set[asyncio.Task[None]] = set()
        self._script: tuple[Target, Play, random.Random] | None = None
        self._left = 0

    def arm(self, target: Target, play: Play, rng: random.Random, *, times: int) -> None:
        """Let the next `times` calls of that kind be played by `play`."""
        self._script, self._left = (target, play, rng), times
        if target in ("json", "raw"):
            self.form = target
        self.hits.clear()
        self.played = 0
        self.released = asyncio.Event()

    def heal(self) -> None:
        """Be right again, and let go of those who were left hanging."""
        self._script = None
        self.released.set()

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[RawEM]:
        """Listen until the block ends; then no connection of it is left."""
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # bytes leave when a script sends them
        server = await asyncio.start_server(self._connected, sock=sock)
        self.url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        try:
            yield self
        finally:
            server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side has gone, or the server is closed
        except Exception as error:  # noqa: BLE001 - told to the test, which fails
            self.slips.append(f"{type(error).__name__}: {error}")
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await reader.readuntil(b"\r\n\r\n")
        script = self._script
        ex = Exchange(self, request, reader, writer, script[2] if script else random.Random(0))
        self.hits[ex.url.path] += 1
        if script is not None and ex.target == script[0] and self._left > 0:
            self._left -= 1
            self.played += 1
            self.playing += 1
            try:
                await script[1](ex)
            finally:
                self.playing -= 1
            return ex.keep and not ex.left
        body = self.work(ex, await ex.take())
        await ex.answer(body, *ex.extra)
        return True

    def work(self, ex: Exchange, sent: bytes) -> bytes:
        """Do what was asked, and return the right answer's body."""
        match ex.url.path:
            case "/auth/" | "/auth/refresh":
                return json.dumps({"access": f"token-{self.hits['/auth/']}"}).encode()
            case "/em/files/list":
                return json.dumps({"message": "", "data": [self.entry(path) for path in self.files()]}).encode()
            case "/em/files/downlink":
                return self._downlink((self.volume / parse_qs(ex.url.query)["filepath"][0]).read_bytes())
            case "/em/files/uplink":
                count = self._store(ex.fields["content-type"], sent)
                return json.dumps({"message": "", "data": {"file_count": count, "total_size_kb": 0}}).encode()
            case "/em/pod/status":
                return b'{"message": "", "data": {"state": {}}}'
        raise LookupError(ex.url.path)

    def files(self) -> list[Path]:
        """The files of the volume, which has no folders."""
        return sorted(self.volume.iterdir())

    def entry(self, path: Path) -> dict[str, object]:
        """A file as it is listed."""
        data = path.read_bytes()
        tag = int.from_bytes(hashlib.md5(data).digest()[8:], "big", signed=True)
        return {"type": "file", "name": path.name, "size": str(len(data)), "time": "2025-11-20-12-31", "hash": tag}

    def _downlink(self, data: bytes) -> bytes:
        if self.form == "raw":
            return data
        return json.dumps(envelope(data)).encode()

    def _store(self, content_type: str, sent: bytes) -> int:
        """Write the files of a multipart body that is whole; how many."""
        mark = b"--" + content_type.partition("boundary=")[2].strip('"').encode()
        pieces = sent.split(mark)
        if pieces[-1].strip() != b"--":
            raise ValueError("the multipart body is not whole")
        count = 0
        for piece in pieces[1:-1]:
            fields, _, data = piece.partition(b"\r\n\r\n")
            found = _PART.search(fields)
            if found is not None and found[1] == b"files":
                (self.volume / found[2].decode()).write_bytes(data[:-2])
                count += 1
        return count


def envelope(data: bytes, **changes: object) -> dict[str, object]:
    """The seed generation's downlink answer."""
    content = base64.b64encode(data).decode()
    return {"filename": "x", "content": content, "size": len(data), "hash": hashlib.sha256(data).hexdigest()} | changes
