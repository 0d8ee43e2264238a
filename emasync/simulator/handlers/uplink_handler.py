"""POST em/files/uplink: a multipart body on its way to disk, part by part.

Owns: staging (a folder beside the volumes), both limits, what is stored when a body breaks off, and the answer.
May import exchange, answers, multipart, volume. Knows nothing of tokens, locks or connections.
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
    Event,
    MultipartError,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
)
from emasync.simulator.responses import RefusedError, error, page, reply
from emasync.simulator.volume import IllegalPathError, Incoming

_SPOOL = 1024 * 1024  # kept in memory until it is worth a trip to a thread
_OVERHEAD = 100 * 1024  # what the multipart wrapping of one call may add to its files
_FIELD_LIMIT = 64 * 1024
_FIELDS_LIMIT = 2_621_440  # all of them: Django's DATA_UPLOAD_MAX_MEMORY_SIZE
_READ_GONE = (ConnectionError, web.RequestPayloadError)


@dataclass(slots=True, kw_only=True)
class _Upload:
    """One uplink on its way in: plain fields, complete files, and the part that is being read."""

    folder: Path
    limit: int
    max_files: int
    fields: dict[str, str] = field(default_factory=dict)
    files: list[Incoming] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    _part: PartBegin | None = None
    _spool: bytearray = field(default_factory=bytearray)
    _size: int = 0
    _seen: int = 0
    _total: int = 0
    _plain: int = 0

    async def take(self, event: Event) -> None:
        """Go on with `event`; a RefusedError for too many files or bytes."""
        if isinstance(event, PartBegin):
            self._begin(event)
        elif isinstance(event, PartData):
            await self._data(event.data)
        elif isinstance(event, PartEnd):
            await self._end()

    def _begin(self, part: PartBegin) -> None:
        self._part, self._size = part, 0
        self._spool.clear()
        if part.filename is not None:
            self._seen += 1
            if self._seen > self.max_files:
                raise RefusedError(page(400, "Bad Request (400)"))
        else:
            self._count_plain(len(part.name))

    async def _data(self, data: bytes) -> None:
        part = self._part
        if part is None or (part.filename is not None and not self._kept(part)):
            return
        self._spool += data
        if part.filename is None:
            if len(self._spool) > _FIELD_LIMIT:
                raise RefusedError(error("BAD_REQUEST", f"Field {part.name} is too long."))
            self._count_plain(len(data))
            return
        self._size += len(data)
        self._total += len(data)
        if self._total > self.limit:
            raise too_large(self.limit)
        if len(self._spool) >= _SPOOL:
            await anyio.to_thread.run_sync(self._flush)

    def _count_plain(self, size: int) -> None:
        self._plain += size
        if self._plain > _FIELDS_LIMIT:
            raise RefusedError(error("BAD_REQUEST", "The request body is too large."))

    async def _end(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        if part.filename is None:
            self.fields[part.name] = self._spool.decode("utf-8", "replace")
        elif self._kept(part):
            await anyio.to_thread.run_sync(self._flush)
            self.files.append(Incoming(name=part.filename, staged=self._staged))
            self.sizes.append(self._size)

    @staticmethod
    def _kept(part: PartBegin) -> bool:
        return part.name == "files" and bool(part.filename)

    @property
    def _staged(self) -> Path:
        return self.folder / str(self._seen)

    def _flush(self) -> None:
        with self._staged.open("ab") as file:
            file.write(self._spool)
        self._spool.clear()


def too_large(limit: int) -> RefusedError:
    """The answer to an uplink above the limit."""
    return RefusedError(error("MAX_UPLINK_SIZE_EXCEEDED", f"The files exceed the limit of {limit} bytes per uplink."))


async def uplink(ex: Exchange, staging: Path) -> web.StreamResponse:
    """POST em/files/uplink. Nothing reaches the volume before the body has ended; of a body that breaks off, the
    complete files are stored."""
    length = ex.request.content_length or 0
    if length > ex.rules.uplink_bytes + _OVERHEAD:
        raise too_large(ex.rules.uplink_bytes)
    folder = Path(tempfile.mkdtemp(dir=staging))
    try:
        upload = _Upload(folder=folder, limit=ex.rules.uplink_bytes, max_files=ex.rules.uplink_files)
        broken = await _receive(ex, upload)
        ex.entry.detail |= upload.fields | {"files": [file.name for file in upload.files]}
        if broken is not None and ex.rules.buffering:
            raise broken  # the proxy never passed it on
        if broken is None:
            ex.body_is_in()
        answer = await _store(ex, upload)
        if broken is not None:
            raise broken
        return answer
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(shutil.rmtree, folder)


async def _receive(ex: Exchange, upload: _Upload) -> Exception | None:
    """Read the whole body; the connection's error when it broke off."""
    boundary = boundary_of(ex.request.headers.get("Content-Type", ""))
    parser = MultipartParser(boundary or b"?")
    try:
        async for piece in ex.body():
            if boundary is not None:
                for event in parser.feed(piece):
                    await upload.take(event)
    except MultipartError as wrong:
        raise RefusedError(reply({"detail": f"Multipart form parse error - {wrong}"}, status=400)) from wrong
    except _READ_GONE as gone:
        return gone
    return None


async def _store(ex: Exchange, upload: _Upload) -> web.Response:
    if not upload.files:
        raise RefusedError(error("NO_FILES", "No files were provided."))
    files, count = upload.files, len(upload.files)
    if fault := ex.has("drop_files"):
        files = files[: max(0, count - fault.count)]
        count = count if fault.claim_full else len(files)
    if fault := ex.has("truncate_store"):
        _truncate(files[-1].staged, fault.at)
    await ex.busy_for(sum(upload.sizes))
    volume = ex.volume(dict(ex.request.query) | upload.fields)
    shown = ex.clock.now() + ex.rules.list_lag
    try:
        dest = upload.fields.get("dest_path", "")
        await anyio.to_thread.run_sync(lambda: volume.take(dest, files, visible_at=shown))
    except (IllegalPathError, OSError) as wrong:
        text = wrong.strerror if isinstance(wrong, OSError) else str(wrong)
        raise RefusedError(error("ILLEGAL_PATH", f"The files cannot be stored there: {text}")) from wrong
    data = {"file_count": count, "total_size_kb": round(sum(upload.sizes) / 1024, 2)}
    return reply({"message": "Files uplinked successfully.", "data": data})


def _truncate(path: Path, at: int | None) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 if at is None else at)
