"""Writing downloaded files below a destination: streamed (`FileWriter`) or from memory (`BufferedFileWriter`).

A file gets its final name when the caller commits it; without that nothing of it remains, whatever error or
cancellation ends it. Writers report size and hashes; the caller compares them before it commits. Must not import the
reader, and knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from aiofiles.threadpool.binary import AsyncFileIO

from emasync.disk.atomic_file import AtomicFile, WriteTarget
from emasync.disk.directory import is_there
from emasync.disk.executor import FileExecutor, wait_uncancelled
from emasync.disk.fingerprint import Fingerprint, Hashes
from emasync.model import RemotePath

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


SMALL = 1024 * 1024
"""Bytes of a file that may wait in memory until it is whole (`BufferedFileWriter`)."""

_INLINE = 64 * 1024  # bytes that are hashed faster than a thread is reached, and written faster than space is checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A file that is in place: its size in bytes, SHA-256 in hex, content tag as the EM would list it, and fingerprint
    (None where the file system could not be asked)."""

    size: int
    sha256: str
    tag: int | None
    facts: Fingerprint | None


class _HashedFile:
    """The hashes and the fingerprint of a file that is being written."""

    def __init__(self) -> None:
        self._hashes = Hashes()
        self._published_stat: os.stat_result | None = None

    @property
    def facts(self) -> Fingerprint | None:
        """The fingerprint of the file that was put in place; None before `commit` has returned. Another file may be at
        its path by then."""
        return None if self._published_stat is None else Fingerprint.of(self._published_stat)

    @property
    def sha256(self) -> str:
        """SHA-256 in hex of the whole file, once `finish` has returned."""
        return self._hashes.sha256 or ""

    @property
    def tag(self) -> int | None:
        """The content tag of the whole file, once `finish` has returned."""
        return self._hashes.tag


class FileWriter(_HashedFile):
    """Writes one file while it arrives; see `open_writer`."""

    def __init__(self, executor: FileExecutor, atomic_file: AtomicFile) -> None:
        super().__init__()
        self._executor = executor
        self._atomic_file = atomic_file
        self._hashing: list[asyncio.Future[None]] = []  # of the data written last
        self._async_file = AsyncFileIO(atomic_file, asyncio.get_running_loop(), executor.pool)

    @property
    def path(self) -> Path:
        """Where the file will be once committed."""
        return self._atomic_file.target.local_path

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._atomic_file.size

    async def check_space(self, size: int) -> None:
        """OSError (ENOSPC) if fewer than `size` bytes are free where the file goes."""
        await self._executor.run(self._atomic_file.check_space, size)

    async def write(self, data: ReadableBuffer) -> None:
        """Append `data`; it must not change until the next `write` or `finish` returns, for it is hashed until then.

        Efficient from about 1 MiB a call. OSError with the file's name (ENOSPC, EFBIG ...); after an error or a
        cancellation the file cannot be committed any more.
        """
        await self.finish()  # a hash takes its data in order
        self._hashing = [self._executor.start(update, data) for update in self._hashes.updates()]
        # Not shielded: leaving `open_writer` waits for the write, because `discard` needs the lock that the write holds
        await self._async_file.write(data)

    async def finish(self) -> None:
        """Wait until all written data is hashed."""
        for job in self._hashing:
            await wait_uncancelled(job)
        self._hashing = []

    async def commit(self) -> Path:
        """Put the file at `path`; at most once, ValueError after that. When it is cancelled it still runs to its end.

        FileExistsError if a file appeared there and may not be replaced; UnsafePathError if a directory on the way was
        swapped.
        """
        await self.finish()
        path = await self._executor.run(self._atomic_file.publish)
        self._published_stat = self._atomic_file.published_stat
        return path


@asynccontextmanager
async def open_writer(executor: FileExecutor, target: WriteTarget) -> AsyncIterator[FileWriter]:
    """A `FileWriter` of `target`; missing directories are made. The final name appears with `commit` only.

    Leaving without commit removes the temporary file, and returns when that is done, even when cancelled. Raises
    UnsafePathError for a link that must not be followed, FileExistsError if the file exists and must not be replaced,
    TargetChangedError if it is not as `target.unchanged` says, IsADirectoryError, or any other OSError with its name.
    """
    cleanup = ExitStack()
    writer: FileWriter | None = None
    try:
        writer = FileWriter(executor, await executor.run(_create, target, executor.new_file_mode, cleanup))
        yield writer
    except BaseException as error:
        try:
            await _close(executor, writer, cleanup)
        except OSError as failure:  # the first error says more
            error.add_note(f"and its temporary file could not be closed or removed: {failure}")
        raise
    else:
        await _close(executor, writer, cleanup)


def _create(target: WriteTarget, mode: int, cleanup: ExitStack) -> AtomicFile:
    atomic_file = AtomicFile(target, mode=mode)
    cleanup.callback(atomic_file.discard)  # in the thread: it is discarded even if cancellation loses the result
    return atomic_file


async def _close(executor: FileExecutor, writer: FileWriter | None, cleanup: ExitStack) -> None:
    with anyio.CancelScope(shield=True):
        try:
            if writer is not None:
                await writer.finish()  # no thread reads the caller's buffers after that
        finally:
            await executor.run(cleanup.close)


class BufferedFileWriter(_HashedFile):
    """Holds one small file in memory until `commit` writes it in a single call to a thread.

    Raises the same errors as `open_writer`, those of the disk all from `commit`. A file
    for which there is no space is not begun, because it would take space from others until it fails. Nothing needs to
    be closed. The caller must keep the file at about `SMALL` bytes.
    """

    def __init__(self, executor: FileExecutor, target: WriteTarget) -> None:
        super().__init__()
        self._executor = executor
        self._target = target
        self._data = bytearray()
        self._finished = self._committed = False

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return len(self._data)

    async def write(self, data: ReadableBuffer) -> None:
        """Append a copy of `data`. ValueError after `finish`."""
        if self._finished:
            raise ValueError("this file is finished: more data would not be hashed")
        self._data += data

    async def finish(self) -> None:
        """Compute the hashes; no more data may be written."""
        if self._finished:
            return
        if len(self._data) <= _INLINE:
            self._hash()
        else:
            await self._executor.run(self._hash)

    def _hash(self) -> None:
        self._finished = True  # set here, because a cancelled `finish` may not reach this
        self._hashes.update(self._data)

    async def commit(self) -> Path:
        """Create the file, write it and put it in place, as `FileWriter.commit`. When it is cancelled it still runs to
        its end."""
        await self.finish()
        return await self._executor.run(self._write_and_publish)

    def _write_and_publish(self) -> Path:
        if self._committed:
            raise ValueError("a commit of this file was tried before: it is in place, or can only be dropped")
        self._committed = True
        atomic_file = AtomicFile(self._target, mode=self._executor.new_file_mode)
        try:
            if len(self._data) > _INLINE:
                atomic_file.check_space(len(self._data))
            atomic_file.write(self._data)
            path = atomic_file.publish()
            self._published_stat = atomic_file.published_stat
            return path
        finally:
            atomic_file.discard()


async def exists(executor: FileExecutor, root: Path, path: RemotePath) -> bool:
    """Whether something (a broken link, too) is at `path` below `root`. UnsafePathError as in `open_writer`."""
    return await executor.run(is_there, root, path)
