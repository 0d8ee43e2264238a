"""em/files/uplink: a multipart body on its way to disk, part by part, into a staging folder beside the volumes.

Here are both limits of an uplink, and what is stored of a body that breaks off.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
from aiohttp import web

from emasync.simulator.exchange import Exchange
from emasync.simulator.multipart import (
    MultipartError,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    PartEvent,
    boundary_of,
)
from emasync.simulator.request_fields import parse_error, requested_volume
from emasync.simulator.responses import RefusedError, error_response, html_response, json_response
from emasync.simulator.volume import IllegalPathError, StagedFile

_BUFFER_BYTES = 1024 * 1024  # buffered in memory before a thread writes it
_OVERHEAD_BYTES = 100 * 1024  # what the multipart framing of one call may add to its files
_FIELD_LIMIT_BYTES = 64 * 1024
_ALL_FIELDS_LIMIT_BYTES = 2_621_440  # Django's DATA_UPLOAD_MAX_MEMORY_SIZE


@dataclass(slots=True, kw_only=True)
class _UplinkBody:
    """What was received of one uplink: plain fields, complete files, and the part that is being read."""

    folder: Path
    limit: int
    max_files: int
    fields: dict[str, str] = field(default_factory=dict)
    files: list[StagedFile] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    _part: PartBegin | None = None
    _buffer: bytearray = field(default_factory=bytearray)
    _part_size: int = 0
    _file_count: int = 0
    _file_bytes: int = 0
    _field_bytes: int = 0

    async def handle(self, event: PartEvent) -> None:
        """Take in `event`; a RefusedError for too many files or bytes."""
        if isinstance(event, PartBegin):
            self._begin(event)
        elif isinstance(event, PartData):
            await self._data(event.data)
        elif isinstance(event, PartEnd):
            await self._end()

    def _begin(self, part: PartBegin) -> None:
        self._part, self._part_size = part, 0
        self._buffer.clear()
        if part.filename is not None:
            self._file_count += 1
            if self._file_count > self.max_files:
                raise RefusedError(html_response(400, "Bad Request (400)"))
        else:
            self._count_field_bytes(len(part.name))

    async def _data(self, data: bytes) -> None:
        part = self._part
        if part is None or (part.filename is not None and not _is_stored(part)):
            return
        self._buffer += data
        if part.filename is None:
            if len(self._buffer) > _FIELD_LIMIT_BYTES:
                raise RefusedError(error_response("BAD_REQUEST", f"Field {part.name} is too long."))
            self._count_field_bytes(len(data))
            return
        self._part_size += len(data)
        self._file_bytes += len(data)
        if self._file_bytes > self.limit:
            raise _too_large(self.limit)
        if len(self._buffer) >= _BUFFER_BYTES:
            await anyio.to_thread.run_sync(self._flush)

    def _count_field_bytes(self, size: int) -> None:
        self._field_bytes += size
        if self._field_bytes > _ALL_FIELDS_LIMIT_BYTES:
            raise RefusedError(error_response("BAD_REQUEST", "The request body is too large."))

    async def _end(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        if part.filename is None:
            self.fields[part.name] = self._buffer.decode("utf-8", "replace")
        elif _is_stored(part):
            await anyio.to_thread.run_sync(self._flush)
            self.files.append(StagedFile(name=part.filename, staged=self._staged_path))
            self.sizes.append(self._part_size)

    @property
    def _staged_path(self) -> Path:
        return self.folder / str(self._file_count)

    def _flush(self) -> None:
        with self._staged_path.open("ab") as file:
            file.write(self._buffer)
        self._buffer.clear()


def _is_stored(part: PartBegin) -> bool:
    return part.name == "files" and bool(part.filename)


def _too_large(limit: int) -> RefusedError:
    text = f"The files exceed the limit of {limit} bytes per uplink."
    return RefusedError(error_response("MAX_UPLINK_SIZE_EXCEEDED", text))


async def handle_uplink(ex: Exchange) -> web.StreamResponse:
    """POST em/files/uplink. Nothing reaches the volume before the body has ended; of a body that breaks off, the
    complete files are stored."""
    limit = ex.config.uplink_bytes
    if (ex.request.content_length or 0) > limit + _OVERHEAD_BYTES:
        raise _too_large(limit)
    folder = Path(tempfile.mkdtemp(dir=ex.context.state.staging))
    try:
        body = _UplinkBody(folder=folder, limit=limit, max_files=ex.config.uplink_files)
        lost = await _receive(ex, body)
        ex.entry.detail |= body.fields | {"files": [file.name for file in body.files]}
        if lost is not None and ex.config.buffering:
            raise lost  # a buffering proxy passes no incomplete body on
        if lost is None:
            ex.body_received()
        response = await _store(ex, body)
        if lost is not None:
            raise lost
        return response
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(shutil.rmtree, folder)


async def _receive(ex: Exchange, body: _UplinkBody) -> Exception | None:
    """Read the whole body; returns the connection's error when the body broke off."""
    boundary = boundary_of(ex.request.headers.get("Content-Type", ""))
    parser = MultipartParser(boundary or b"?")
    try:
        async for chunk in ex.body():
            if boundary is not None:
                for event in parser.feed(chunk):
                    await body.handle(event)
    except MultipartError as error:
        raise parse_error(error) from error
    except (ConnectionError, web.RequestPayloadError) as error:
        return error
    return None


async def _store(ex: Exchange, body: _UplinkBody) -> web.Response:
    if not body.files:
        raise RefusedError(error_response("NO_FILES", "No files were provided."))
    files, count = body.files, len(body.files)
    if fault := ex.fault_if("drop_files"):
        files = files[: max(0, count - fault.count)]
        count = count if fault.claim_full else len(files)
    if fault := ex.fault_if("truncate_store"):
        _truncate(files[-1].staged, fault.at)
    await ex.hold(sum(body.sizes))
    volume = requested_volume(ex, dict(ex.request.query) | body.fields)
    visible_at = ex.clock.now() + ex.config.list_lag
    try:
        dest = body.fields.get("dest_path", "")
        await anyio.to_thread.run_sync(lambda: volume.store(dest, files, visible_at=visible_at))
    except (IllegalPathError, OSError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        raise RefusedError(error_response("ILLEGAL_PATH", f"The files cannot be stored there: {text}")) from error
    data = {"file_count": count, "total_size_kb": round(sum(body.sizes) / 1024, 2)}
    return json_response({"message": "Files uplinked successfully.", "data": data})


def _truncate(path: Path, at: int | None) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 if at is None else at)
