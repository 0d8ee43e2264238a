"""Reading what is to be sent: small files at once, others a chunk ahead, never a byte of one that changes meanwhile.

Owns: what counts as the same file, and the readers. May import errors, model and its room.
Knows nothing of requests: whoever sends the chunks announced `size` bytes, and gets exactly those or an error.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from emasync.disk.executor import FileExecutor, finish
from emasync.disk.fingerprint import Fingerprint
from emasync.disk.hashes import Hashes
from emasync.errors import SourceChangedError, UnsafePathError
from emasync.model import safe

CHUNK = 1024 * 1024
_UNTAGGED = 3  # chunks that may wait for their tag
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A local file to be sent, as it was when it was looked at."""

    path: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What a file's bytes are: SHA-256 in hex, content tag as the EM would list it, size in bytes."""

    sha256: str
    tag: int
    size: int


def fingerprint(path: str | Path) -> Fingerprint:
    """The fingerprint of a regular file, or of the one a link leads to; UnsafePathError for anything else."""
    return Fingerprint.of(_regular(path, os.stat(path)))  # noqa: PTH116 - a path as text


def digest_file(path: str | Path) -> Digest:
    """Hash a whole file; for a file thread. SourceChangedError if it changes meanwhile."""
    file = _OpenSource(path, expect=None, chunk=CHUNK, hashes=Hashes())
    try:
        while file.next_chunk():
            pass
    finally:
        file.close()
    return Digest(sha256=file.hashes.sha256 or "", tag=file.hashes.tag or 0, size=file.fingerprint.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallFile:
    """A file that was read at once: its bytes, and what `SourceReader` would say of them."""

    data: bytes
    sha256: str
    tag: int


def read_small(sources: Iterable[Source]) -> Iterator[SmallFile]:
    """The files one after the other, each in one piece; for a file thread, which thus reads many of them in one hop.

    A file that is not what its fingerprint says, or changes while it is read, raises what `reading` would.
    """
    for source in sources:
        size = source.fingerprint.size
        file = _OpenSource(source.path, expect=source.fingerprint, chunk=max(size, 1), hashes=Hashes())
        try:
            data = b"".join(iter(file.next_chunk, b""))  # a read may give less than was asked for
        finally:
            file.close()
        yield SmallFile(data=data, sha256=file.hashes.sha256 or "", tag=file.hashes.tag or 0)


class SourceReader:
    """The chunks of one file, once, as an async iterator; see `reading`."""

    def __init__(self, threads: FileExecutor, file: _OpenSource) -> None:
        self._threads = threads
        self._file = file
        self._ready: bytes | None = file.first
        self._ahead: asyncio.Future[bytes] | None = None
        self._tagging: asyncio.Future[None] | None = None
        self._untagged: deque[bytes] = deque()  # the tag takes twice as long as the rest, and may lag behind a little

    @property
    def fingerprint(self) -> Fingerprint:
        """The file as it is being read."""
        return self._file.fingerprint

    @property
    def size(self) -> int:
        """Bytes that the chunks will have in all; no more and no fewer come."""
        return self._file.fingerprint.size

    @property
    def sha256(self) -> str | None:
        """In hex, once all chunks were taken; None before that, or if it was left out."""
        return self._file.hashes.sha256 if self._taken else None

    @property
    def tag(self) -> int | None:
        """The content tag, once the iteration has ended; None before that, or if it was left out."""
        return self._file.tags.tag if self._taken and self._tagging is None and not self._untagged else None

    @property
    def _taken(self) -> bool:
        return self._file.ended and not self._ready and self._ahead is None

    def __aiter__(self) -> SourceReader:
        return self

    async def __anext__(self) -> bytes:
        chunk, self._ready = self._ready, None
        if chunk is None:
            chunk = await self._next()
        # The next chunk is read and hashed while this one is sent. aiofiles can only be awaited, not begun, and a
        # buffer cannot be used again: Python 3.12 and later keep unsent chunks by reference in the socket's queue.
        if not self._file.ended:
            self._ahead = self._threads.start(self._file.next_chunk)
        if not chunk:
            await self._tag_all()
            raise StopAsyncIteration
        if not self._file.tagged:  # beside what follows, the next chunk's SHA-256 first of all, in another thread
            if len(self._untagged) >= _UNTAGGED:
                await self._tagged()
            self._untagged.append(chunk)
            if self._tagging is None or self._tagging.done():
                self._tagging = self._threads.start(self._tag)
        return chunk

    def _tag(self) -> None:
        while self._untagged:
            self._file.tags.update(self._untagged[0])
            self._untagged.popleft()

    async def _tagged(self) -> None:
        job, self._tagging = self._tagging, None
        if job is not None:
            await finish(job)

    async def _tag_all(self) -> None:
        await self._tagged()
        if self._untagged:  # came when the job was just about to end
            self._tagging = self._threads.start(self._tag)
            await self._tagged()

    async def _next(self) -> bytes:
        await checkpoint_if_cancelled()
        chunk = b""
        if self._ahead is not None:
            chunk = await finish(self._ahead)
            self._ahead = None
        return chunk

    def _drop(self) -> None:
        jobs: tuple[asyncio.Future[bytes] | asyncio.Future[None] | None, ...] = (self._ahead, self._tagging)
        self._ahead = self._tagging = None
        for job in jobs:
            # Nobody wants its result. The read itself, if it runs, ends before `close` does.
            if job is not None and not job.cancel() and not job.cancelled():
                job.exception()  # looked at, so that nobody reports it as never retrieved


@asynccontextmanager
async def reading(
    threads: FileExecutor,
    path: str | Path,
    *,
    expect: Fingerprint | None = None,
    chunk: int = CHUNK,
    with_sha256: bool = True,
    with_tag: bool = True,
) -> AsyncIterator[SourceReader]:
    """A reader of a local file in chunks of `chunk` bytes; five of them are in memory at most. A link is followed.

    SourceChangedError if the file is not what `expect` says, or shrinks, grows or is touched before its last byte was
    read. It is raised before the last chunk is handed out, so a changed file never makes a complete body. Also raises
    UnsafePathError for what is no regular file, and OSError. A file of one chunk costs one hop to a thread.
    """
    opened: list[_OpenSource] = []  # filled in the thread: a result that is lost to cancellation is closed all the same

    def begin() -> None:
        sha256 = Hashes(with_sha256=with_sha256, with_tag=False)
        tags = Hashes(with_sha256=False, with_tag=with_tag)
        opened.append(_OpenSource(path, expect=expect, chunk=chunk, hashes=sha256, tags=tags))
        opened[0].read_first()

    reader: SourceReader | None = None
    try:
        await threads.run(begin)
        reader = SourceReader(threads, opened[0])
        yield reader
    finally:
        if reader is not None:
            reader._drop()
        with anyio.CancelScope(shield=True):
            if opened and not opened[0].closed:
                await threads.run(opened[0].close)


class _OpenSource:
    """The thread's side of a reader. The lock makes `close` wait for a read whose caller was cancelled."""

    def __init__(
        self, path: str | Path, *, expect: Fingerprint | None, chunk: int, hashes: Hashes, tags: Hashes | None = None
    ) -> None:
        self._path, self._chunk, self.hashes = path, chunk, hashes
        self.tags = tags or hashes  # where they differ, `next_chunk` leaves it to the caller to update `tags`
        self.tagged = tags is None
        self.first: bytes | None = None
        self.ended = False
        self._read = 0
        self._lock = threading.Lock()
        # before the open: opening a device may do something, opening a socket fails
        _regular(path, os.stat(path))  # noqa: PTH116 - a path as text
        # O_NONBLOCK: the open would wait for ever on a named pipe that took the file's place in between
        self._fd: int | None = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            self.fingerprint = Fingerprint.of(_regular(path, os.fstat(self._fd)))
            self._check_same(expect or self.fingerprint, self.fingerprint)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def closed(self) -> bool:
        return self._fd is None

    def read_first(self) -> None:
        """The first chunk into `first`; a file that ends with it is closed in the same hop."""
        self.first = self.next_chunk()
        if self.ended:
            self.tags.update(self.first)
            self.tagged = True
            self.close()

    def next_chunk(self) -> bytes:
        """The next chunk, b"" after the end. The end is only reached if the file is still the same."""
        with self._lock:
            if self._fd is None or self.ended:
                return b""
            size = self.fingerprint.size
            data = os.read(self._fd, min(self._chunk, size - self._read))
            self._read += len(data)
            if self._read == size or not data:
                self._check_end(self._fd)
                self.ended = True
            self.hashes.update(data)
            return data

    def close(self) -> None:
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _check_end(self, fd: int) -> None:
        self._check_same(self.fingerprint, Fingerprint.of(os.fstat(fd)))
        if self._read < self.fingerprint.size or os.read(fd, 1):
            raise self._changed("its size changed")  # on file systems whose attributes lag behind

    def _check_same(self, before: Fingerprint, now: Fingerprint) -> None:
        if what := before.changes(now):
            raise self._changed(what)

    def _changed(self, what: str) -> SourceChangedError:
        return SourceChangedError(f"{safe(self._path)} changed while it was being sent: {what}")


def _regular(path: str | Path, found: os.stat_result) -> os.stat_result:
    if stat.S_ISREG(found.st_mode):
        return found
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
    raise UnsafePathError(
        f"{safe(path)} is {kind}; only regular files can be sent", name=os.fspath(path), reason=f"is {kind}"
    )
