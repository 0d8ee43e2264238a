"""GET em/files/downlink: a file as a JSON envelope or as raw bytes, streamed.

Owns: both forms, and the faults in their content. Memory stays at two pieces whatever the file's size.
May import exchange, answers, volume. Knows nothing of tokens, locks or connections.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import anyio
import anyio.to_thread
import pybase64
from aiohttp import web

from emasync.simulator.exchange import Exchange
from emasync.simulator.responses import error
from emasync.simulator.volume import IllegalPathError, is_regular

_PIECE = 3 * 256 * 1024  # a multiple of three, so that every piece but the last is base64 without padding


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to be downlinked, open; `size` is what will be sent."""

    file: IO[bytes]
    path: Path
    size: int
    shown_name: str


async def downlink(ex: Exchange, *, shown_name: str | None) -> web.StreamResponse:
    """GET em/files/downlink, as a JSON envelope or as the raw bytes; `shown_name` replaces the name that is told."""
    fields = await ex.read_fields()
    volume, asked = ex.volume(fields), str(fields.get("filepath") or "")
    if not asked.strip():
        return error("NO_FILEPATH", "filepath is required.")
    try:
        if ".." in asked.split("/"):
            raise IllegalPathError(asked)
        path = volume.resolve(asked)
    except IllegalPathError:
        return error("ILLEGAL_PATH", "The path is not allowed.", status=403)
    if not is_regular(path):
        return error("FILE_NOT_FOUND", f"{asked} does not exist.", status=404)
    size = path.stat().st_size
    await ex.busy_for(size)
    await ex.gate("answer")
    try:
        file = await anyio.to_thread.run_sync(lambda: path.open("rb"))
    except OSError as gone:  # since it was looked at, or it may not be read
        return error("FILE_NOT_FOUND", f"{asked} cannot be read: {gone.strerror}", status=404)
    try:
        source = Source(file=file, path=path, size=size, shown_name=shown_name or path.name)
        if ex.rules.raw_downlinks:
            return await _send_raw(ex, source)
        digest = await anyio.to_thread.run_sync(volume.digest, path, "sha256")
        return await _send_envelope(ex, source, digest.hex())
    finally:
        file.close()


async def _send_raw(ex: Exchange, source: Source) -> web.StreamResponse:
    name = source.shown_name
    if name.isascii() and name.isprintable():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        disposition = f'attachment; filename="{escaped}"'
    else:
        disposition = f"attachment; filename*=utf-8''{quote(name, safe='')}"
    headers = {"Content-Disposition": disposition, "Content-Type": "application/octet-stream"}
    response = web.StreamResponse(headers=headers)
    await ex.send(response, _pieces(ex, source), size=source.size)
    return response


async def _send_envelope(ex: Exchange, source: Source, sha256: str) -> web.StreamResponse:
    size = source.size + 1 if ex.has("wrong_size") else source.size
    digest = sha256[::-1] if ex.has("wrong_hash") else sha256
    values = {"filename": source.shown_name, "size": size, "hash": digest}
    # The content's place in the envelope is free; what stands before and after it is short and known.
    head, tail = "{", ""
    for position, name in enumerate(ex.rules.envelope):
        comma = ", " if position else ""
        if name == "content":
            head, tail = f'{head}{tail}{comma}"content": "', '"'
        else:
            tail += f"{comma}{json.dumps(name)}: {json.dumps(values[name])}"
    before, after = head.encode(), f"{tail}}}".encode()
    length = len(before) + 4 * ((source.size + 2) // 3) + len(after)

    async def body() -> AsyncIterator[bytes]:
        yield before
        async for piece in _pieces(ex, source):
            yield await anyio.to_thread.run_sync(pybase64.b64encode, piece)
        yield after

    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await ex.send(response, body(), size=length)
    return response


async def _pieces(ex: Exchange, source: Source) -> AsyncIterator[bytes]:
    """The file's bytes; exactly `source.size` of them, zeros where it shrank meanwhile."""
    fault, at = ex.has("corrupt_body"), 0
    while at < source.size:
        wanted = min(_PIECE, source.size - at)
        piece = (await anyio.to_thread.run_sync(source.file.read, wanted)).ljust(wanted, b"\0")
        wrong = None if fault is None else (source.size // 2 if fault.at is None else fault.at) - at
        if wrong is not None and 0 <= wrong < len(piece):
            piece = piece[:wrong] + bytes([piece[wrong] ^ 1]) + piece[wrong + 1 :]
        yield piece
        at += len(piece)
