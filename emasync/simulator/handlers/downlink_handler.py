"""em/files/downlink: a file as a JSON envelope or as raw bytes, streamed; memory is two chunks whatever its size."""

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
from emasync.simulator.request_fields import read_fields, requested_volume
from emasync.simulator.responses import error_response
from emasync.simulator.volume import IllegalPathError, VolumeDirectory, is_regular

_CHUNK_BYTES = 3 * 256 * 1024  # a multiple of three, so that every chunk but the last is base64 without padding


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """The open file of one downlink; `size` bytes of it will be sent, `shown_name` is the name that is announced."""

    file: IO[bytes]
    path: Path
    size: int
    shown_name: str


async def handle_downlink(ex: Exchange) -> web.StreamResponse:
    """GET em/files/downlink."""
    fields = await read_fields(ex)
    volume, filepath = requested_volume(ex, fields), str(fields.get("filepath") or "")
    if not filepath.strip():
        return error_response("NO_FILEPATH", "filepath is required.")
    try:
        if ".." in filepath.split("/"):
            raise IllegalPathError(filepath)
        path = volume.resolve(filepath)
    except IllegalPathError:
        return error_response("ILLEGAL_PATH", "The path is not allowed.", status=403)
    if not is_regular(path):
        return error_response("FILE_NOT_FOUND", f"{filepath} does not exist.", status=404)
    size = path.stat().st_size
    await ex.hold(size)
    await ex.pause_at("answer")
    try:
        file = await anyio.to_thread.run_sync(lambda: path.open("rb"))
    except OSError as error:  # deleted since, or not readable
        return error_response("FILE_NOT_FOUND", f"{filepath} cannot be read: {error.strerror}", status=404)
    try:
        source = OpenFile(file=file, path=path, size=size, shown_name=ex.context.shown_filename() or path.name)
        return await (_send_raw(ex, source) if ex.config.raw_downlinks else _send_envelope(ex, source, volume))
    finally:
        file.close()


async def _send_raw(ex: Exchange, source: OpenFile) -> web.StreamResponse:
    name = source.shown_name
    if name.isascii() and name.isprintable():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        disposition = f'attachment; filename="{escaped}"'
    else:
        disposition = f"attachment; filename*=utf-8''{quote(name, safe='')}"
    headers = {"Content-Disposition": disposition, "Content-Type": "application/octet-stream"}
    response = web.StreamResponse(headers=headers)
    await ex.send(response, _chunks(ex, source), size=source.size)
    return response


async def _send_envelope(ex: Exchange, source: OpenFile, volume: VolumeDirectory) -> web.StreamResponse:
    sha256 = (await anyio.to_thread.run_sync(volume.digest, source.path, "sha256")).hex()
    head, tail = _envelope(ex, source, sha256)
    length = len(head) + 4 * ((source.size + 2) // 3) + len(tail)

    async def body() -> AsyncIterator[bytes]:
        yield head
        async for chunk in _chunks(ex, source):
            yield await anyio.to_thread.run_sync(pybase64.b64encode, chunk)
        yield tail

    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await ex.send(response, body(), size=length)
    return response


def _envelope(ex: Exchange, source: OpenFile, sha256: str) -> tuple[bytes, bytes]:
    """What stands before and after the content in the JSON envelope; the content may stand anywhere among the keys."""
    values = {
        "filename": source.shown_name,
        "size": source.size + 1 if ex.fault_if("wrong_size") else source.size,
        "hash": sha256[::-1] if ex.fault_if("wrong_hash") else sha256,
    }
    head, tail = "{", ""
    for position, name in enumerate(ex.config.envelope):
        comma = ", " if position else ""
        if name == "content":
            head, tail = f'{head}{tail}{comma}"content": "', '"'
        else:
            tail += f"{comma}{json.dumps(name)}: {json.dumps(values[name])}"
    return head.encode(), f"{tail}}}".encode()


async def _chunks(ex: Exchange, source: OpenFile) -> AsyncIterator[bytes]:
    """Exactly `source.size` bytes of the file; zeros where it has shrunk meanwhile."""
    fault, sent = ex.fault_if("corrupt_body"), 0
    while sent < source.size:
        wanted = min(_CHUNK_BYTES, source.size - sent)
        chunk = (await anyio.to_thread.run_sync(source.file.read, wanted)).ljust(wanted, b"\0")
        wrong = None if fault is None else (source.size // 2 if fault.at is None else fault.at) - sent
        if wrong is not None and 0 <= wrong < len(chunk):
            chunk = chunk[:wrong] + bytes([chunk[wrong] ^ 1]) + chunk[wrong + 1 :]
        yield chunk
        sent += len(chunk)
