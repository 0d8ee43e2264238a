"""Saving what came from the EM: whole, verified by the caller, durable, and nowhere but below the destination.

Owns: the order of a save and its end under errors and cancellation. May import model and its room.
Knows nothing of HTTP or of what the bytes should be: it tells size and hashes, the caller compares, then commits.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from aiofiles.threadpool.binary import AsyncFileIO

from emasync.disk.folder import flush_folder
from emasync.disk.hashes import Hashes
from emasync.disk.names import local_parts
from emasync.disk.temp import Target, TempFile, temp_name
from emasync.disk.threads import FileThreads
from emasync.model import Overwrite, RemotePath

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A file that is in place: its size in bytes, its SHA-256 in hex, its content tag as the EM would list it (None
    where it was not asked for)."""

    path: Path
    size: int
    sha256: str
    tag: int | None


class Save:
    """One file being saved; see `saving`."""

    def __init__(self, threads: FileThreads, temp: TempFile) -> None:
        self._threads = threads
        self._temp = temp
        # aiofiles runs our TempFile in our threads. That file hashes what it writes, so a write stays one hop.
        self._file = AsyncFileIO(temp, asyncio.get_running_loop(), threads.executor)

    @property
    def path(self) -> Path:
        """Where the file will be once committed."""
        return self._temp.target.path

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._temp.size

    @property
    def sha256(self) -> str:
        """SHA-256 in hex of the bytes written so far."""
        return self._temp.hashes.sha256 or ""

    @property
    def tag(self) -> int | None:
        """The content tag of the bytes written so far; None if `with_tag` was off."""
        return self._temp.hashes.tag

    async def check_space(self, size: int) -> None:
        """OSError (ENOSPC) if fewer than `size` bytes are free where the file goes."""
        await self._threads.run(self._temp.check_space, size)

    async def write(self, data: ReadableBuffer) -> None:
        """Append `data`, which may be reused once this returns. Worth a call from about 1 MiB on.

        OSError with the file's name (ENOSPC, EFBIG ...); after one, or after cancellation, only leaving is left.
        """
        # No shield: leaving `saving` waits for the write, because it takes the lock that the write holds in its thread.
        await self._file.write(data)

    async def commit(self, *, flush_folder: bool = True) -> Path:
        """Put the file at `path`; at most once, ValueError after that. Cancelled while it runs, it still ends.

        FileExistsError if something is there meanwhile and may not be replaced; UnsafePathError if a folder on the
        way was swapped. `flush_folder` off: the caller will call `sync_folder`, once for many files.
        """
        return await self._threads.run(lambda: self._temp.publish(flush_folder=flush_folder))


@asynccontextmanager
async def saving(
    threads: FileThreads,
    root: Path,
    path: RemotePath,
    *,
    overwrite: Overwrite,
    durable: bool,
    with_tag: bool = True,
    new_name: Callable[[], str] = temp_name,
) -> AsyncIterator[Save]:
    """A `Save` of `path` below `root`; both are made where missing. Nothing is at the final name before `commit`.

    Leaving without commit, by whatever way, removes the temporary file; that is done before this returns, even when
    cancelled. Raises UnsafePathError for a name or link that must not be followed, FileExistsError if the file is
    there and `overwrite` is not "replace", IsADirectoryError, or any other OSError with the file's name.
    """
    target = Target(
        root=root, parts=local_parts(path), overwrite=overwrite, durable=durable, mode=threads.new_file_mode
    )
    owned = ExitStack()  # filled in the thread: a result that is lost to cancellation is closed all the same

    def begin() -> TempFile:
        temp = TempFile(target, hashes=Hashes(with_tag=with_tag), new_name=new_name)
        owned.callback(temp.discard)
        return temp

    try:
        yield Save(threads, await threads.run(begin))
    finally:
        with anyio.CancelScope(shield=True):
            await threads.run(owned.close)


async def save_small(
    threads: FileThreads,
    root: Path,
    path: RemotePath,
    data: ReadableBuffer,
    *,
    overwrite: Overwrite,
    durable: bool,
    with_tag: bool = True,
    flush_folder: bool = True,
) -> Saved:
    """`saving`, one write and commit in a single hop to a thread. Cancelled while it runs, it still ends."""
    target = Target(
        root=root, parts=local_parts(path), overwrite=overwrite, durable=durable, mode=threads.new_file_mode
    )

    def save() -> Saved:
        temp = TempFile(target, hashes=Hashes(with_tag=with_tag))
        try:
            temp.write(data)
            place = temp.publish(flush_folder=flush_folder)
        finally:
            temp.discard()
        return Saved(path=place, size=temp.size, sha256=temp.hashes.sha256 or "", tag=temp.hashes.tag)

    return await threads.run(save)


async def exists(threads: FileThreads, root: Path, path: RemotePath) -> bool:
    """Whether something (a broken link, too) is at `path` below `root`. UnsafePathError as in `saving`."""
    return await threads.run(os.path.lexists, root.joinpath(*local_parts(path)))


async def sync_folder(threads: FileThreads, folder: Path) -> None:
    """Make the names in `folder` durable, after commits with `flush_folder` off."""
    await threads.run(flush_folder, folder)
