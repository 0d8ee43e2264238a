"""Reading local files for an uplink: small files whole, others one chunk ahead.

A reader yields exactly the bytes that the file's size announced, or raises SourceChangedError when the file changes
while it is read. Must not import the writer, and knows nothing of requests.
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

from emasync.disk.executor import FileExecutor, wait_uncancelled
from emasync.disk.fingerprint import Fingerprint, Hashes
from emasync.errors import SourceChangedError, UnsafePathError
from emasync.model import safe

CHUNK = 1024 * 1024
_MAX_UNTAGGED = 3  # chunks that may wait until they are added to the content tag
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFile:
    """A local file to be sent: its path and its fingerprint when it was scanned."""

    path: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Hashes of a whole file: SHA-256 in hex, content tag as the EM would list it, size in bytes."""

    sha256: str
    tag: int
    size: int


def fingerprint(path: str | Path) -> Fingerprint:
    """The fingerprint of a regular file, or of the one a link leads to; UnsafePathError for anything else."""
    return Fingerprint.of(_require_regular(path, os.stat(path)))  # noqa: PTH116 - a path as text


def digest_file(path: str | Path) -> Digest:
    """Hash a whole file; runs in a file thread. SourceChangedError if the file changes meanwhile."""
    file = _OpenFile(path, expect=None, chunk=CHUNK, hashes=Hashes())
    try:
        while file.next_chunk():
            pass
    finally:
        file.close()
    return Digest(sha256=file.hashes.sha256 or "", tag=file.hashes.tag or 0, size=file.fingerprint.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallFile:
    """A file that was read whole: its bytes and their hashes, as `FileReader` computes them."""

    data: bytes
    sha256: str
    tag: int


def read_small_files(sources: Iterable[ExpectedFile]) -> Iterator[SmallFile]:
    """Read the files one after the other, each whole; runs in a file thread, so that one call reads many of them.

    A file that differs from its fingerprint, or changes while it is read, raises the errors of `open_reader`.
    """
    for source in sources:
        size = source.fingerprint.size
        file = _OpenFile(source.path, expect=source.fingerprint, chunk=max(size, 1), hashes=Hashes())
        try:
            data = b"".join(iter(file.next_chunk, b""))  # a read may give less than was asked for
        finally:
            file.close()
        yield SmallFile(data=data, sha256=file.hashes.sha256 or "", tag=file.hashes.tag or 0)


class FileReader:
    """The chunks of one file, once, as an async iterator; see `open_reader`."""

    def __init__(self, executor: FileExecutor, file: _OpenFile) -> None:
        self._executor = executor
        self._file = file
        self._ready: bytes | None = file.first
        self._ahead: asyncio.Future[bytes] | None = None
        self._tagging: asyncio.Future[None] | None = None
        self._untagged: deque[bytes] = deque()  # computing the tag takes twice as long as the rest and may lag behind

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the open file."""
        return self._file.fingerprint

    @property
    def size(self) -> int:
        """Bytes of all chunks together, exactly."""
        return self._file.fingerprint.size

    @property
    def sha256(self) -> str | None:
        """In hex, once all chunks were taken; None before that."""
        return self._file.hashes.sha256 if self._all_taken else None

    @property
    def tag(self) -> int | None:
        """The content tag, once the iteration has ended; None before that."""
        return self._file.tags.tag if self._all_taken and self._tagging is None and not self._untagged else None

    @property
    def _all_taken(self) -> bool:
        return self._file.ended and not self._ready and self._ahead is None

    def __aiter__(self) -> FileReader:
        return self

    async def __anext__(self) -> bytes:
        chunk, self._ready = self._ready, None
        if chunk is None:
            chunk = await self._next()
        # The next chunk is read and hashed while this one is sent. aiofiles can only be awaited, not begun, and a
        # buffer cannot be used again: Python 3.12 and later keep unsent chunks by reference in the socket's queue.
        if not self._file.ended:
            self._ahead = self._executor.start(self._file.next_chunk)
        if not chunk:
            await self._tag_all()
            raise StopAsyncIteration
        if not self._file.tagged:  # in another thread than the SHA-256 of the next chunk
            if len(self._untagged) >= _MAX_UNTAGGED:
                await self._wait_for_tagging()
            self._untagged.append(chunk)
            if self._tagging is None or self._tagging.done():
                self._tagging = self._executor.start(self._tag)
        return chunk

    def _tag(self) -> None:
        while self._untagged:
            self._file.tags.update(self._untagged[0])
            self._untagged.popleft()

    async def _wait_for_tagging(self) -> None:
        job, self._tagging = self._tagging, None
        if job is not None:
            await wait_uncancelled(job)

    async def _tag_all(self) -> None:
        await self._wait_for_tagging()
        if self._untagged:  # a chunk was added when the job was about to end
            self._tagging = self._executor.start(self._tag)
            await self._wait_for_tagging()

    async def _next(self) -> bytes:
        await checkpoint_if_cancelled()
        chunk = b""
        if self._ahead is not None:
            chunk = await wait_uncancelled(self._ahead)
            self._ahead = None
        return chunk

    def _drop(self) -> None:
        jobs: tuple[asyncio.Future[bytes] | asyncio.Future[None] | None, ...] = (self._ahead, self._tagging)
        self._ahead = self._tagging = None
        for job in jobs:
            # Its result is not needed. A read that runs in its thread ends before `close` does.
            if job is not None and not job.cancel() and not job.cancelled():
                job.exception()  # retrieved, so that asyncio does not report it as never retrieved


@asynccontextmanager
async def open_reader(
    executor: FileExecutor,
    path: str | Path,
    *,
    expect: Fingerprint | None = None,
    chunk: int = CHUNK,
) -> AsyncIterator[FileReader]:
    """A reader of a local file in chunks of `chunk` bytes; five of them are in memory at most. A link is followed.

    SourceChangedError if the file's fingerprint is not `expect`, or changes before the last byte was read. It is raised
    before the last chunk is yielded, so a changed file never makes a complete body. Also raises UnsafePathError for
    anything but a regular file, and OSError. A file of one chunk takes one call to a thread.
    """
    opened: list[_OpenFile] = []  # filled in the thread: the file is closed even if cancellation loses the result

    def begin() -> None:
        sha256 = Hashes(with_tag=False)
        tags = Hashes(with_sha256=False)
        opened.append(_OpenFile(path, expect=expect, chunk=chunk, hashes=sha256, tags=tags))
        opened[0].read_first()

    reader: FileReader | None = None
    try:
        await executor.run(begin)
        reader = FileReader(executor, opened[0])
        yield reader
    finally:
        if reader is not None:
            reader._drop()
        with anyio.CancelScope(shield=True):
            if opened and not opened[0].closed:
                await executor.run(opened[0].close)


class _OpenFile:
    """The blocking half of a reader, for threads. A lock makes `close` wait for a read whose caller was cancelled."""

    def __init__(
        self, path: str | Path, *, expect: Fingerprint | None, chunk: int, hashes: Hashes, tags: Hashes | None = None
    ) -> None:
        self._path, self._chunk = path, chunk
        self.hashes: Hashes = hashes
        self.tags: Hashes = tags or hashes  # if it is another object, `next_chunk` leaves it to the caller to update it
        self.tagged: bool = tags is None
        self.first: bytes | None = None
        self.ended: bool = False
        self._read = 0
        self._lock = threading.Lock()
        # before the open: opening a device may have an effect, opening a socket fails
        _require_regular(path, os.stat(path))  # noqa: PTH116 - a path as text
        # O_NONBLOCK: otherwise the open waits for ever on a named pipe that replaced the file in between
        self._fd: int | None = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            self.fingerprint: Fingerprint = Fingerprint.of(_require_regular(path, os.fstat(self._fd)))
            self._check_same(expect or self.fingerprint, self.fingerprint)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def closed(self) -> bool:
        return self._fd is None

    def read_first(self) -> None:
        """Read the first chunk into `first`; a file that ends with it is closed in the same call."""
        self.first = self.next_chunk()
        if self.ended:
            self.tags.update(self.first)
            self.tagged = True
            self.close()

    def next_chunk(self) -> bytes:
        """The next chunk, b"" after the end. SourceChangedError instead of the last one if the file changed."""
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

    def _check_same(self, expected: Fingerprint, current: Fingerprint) -> None:
        if what := expected.changes(current):
            raise self._changed(what)

    def _changed(self, what: str) -> SourceChangedError:
        return SourceChangedError(f"{safe(self._path)} changed while it was being sent: {what}")


def _require_regular(path: str | Path, found: os.stat_result) -> os.stat_result:
    if stat.S_ISREG(found.st_mode):
        return found
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
    raise UnsafePathError(
        f"{safe(path)} is {kind}; only regular files can be sent", name=os.fspath(path), reason=f"is {kind}"
    )
