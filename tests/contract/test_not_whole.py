"""A response whose status says that its body is not the whole file is never taken for the file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from emasync import Client
from emasync.errors import ProtocolError
from tests.contract.stage import QUICK


@asynccontextmanager
async def server_responding(head: str) -> AsyncIterator[str]:
    """The URL of a server that accepts every log-in and responds to all else with `head` and half a body or none."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_head = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in request_head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        if length:
            await reader.readexactly(int(length[0].split(b":")[1]))
        body = b'{"access":"a"}' if b"auth" in request_head else b"" if head[:3] == "204" else b"01234"
        kind = "application/json" if b"auth" in request_head else "application/octet-stream"
        line = "200 OK" if b"auth" in request_head else head
        writer.write(f"HTTP/1.1 {line}\r\nContent-Type: {kind}\r\nConnection: close\r\n".encode())
        writer.write((f"Content-Length: {len(body)}\r\n" if body else "").encode() + b"\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


# Sabotage: leave 206 out of `_NOT_WHOLE`: five of ten bytes are the file.
@pytest.mark.parametrize("head", ["206 Partial Content\r\nContent-Range: bytes 0-4/10", "204 No Content"])
async def test_a_partial_response_is_an_error(head: str) -> None:
    async with server_responding(head) as url, Client(url, username="u", password="p", settings=QUICK) as em:
        with pytest.raises(ProtocolError, match=head[:3]):
            await em.files.read("ten-bytes.bin")
