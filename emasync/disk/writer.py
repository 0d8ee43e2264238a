"""Saving what came from the EM: whole, verified by the caller, durable, and nowhere but below the destination.

Owns: the order of a save and its end under errors and cancellation; a large file as it comes, a small one at once.
May import model and its room.
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

from emasync.disk.atomic_file import Target, TempFile, Unchanged, temp_name
from emasync.disk.directory import RootGuard, find_folder, flush_folder
from emasync.disk.executor import FileExecutor, finish
from emasync.disk.fingerprint import Fingerprint
from emasync.disk.hashes import Hashes
from emasync.disk.safe_paths import local_parts
from emasync.model import Overwrite, RemotePath

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


SMALL = 1024 * 1024
"""Bytes of a file that may wait in memory until it is whole (`BufferedFileWriter`)."""

_QUICK = 64 * 1024  # bytes that are hashed sooner than a thread is reached, and written sooner than room is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A file that is in place: its size in bytes, its SHA-256 in hex, its content tag as the EM would list it (None
    where it was not asked for)."""

    size: int
    sha256: str
    tag: int | None
    facts: Fingerprint | None


class _Hashed:
    """What is known of a file while it is saved."""

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = hashes
        self._found: os.stat_result | None = None

    @property
    def facts(self) -> Fingerprint | None:
        """What the file system says of the file that was put in place, once `commit` has returned. Its name may lead to
        another one by then."""
        return None if self._found is None else Fingerprint.of(self._found)

    @property
    def sha256(self) -> str:
        """SHA-256 in hex of the whole file, once `finish` has returned."""
        return self._hashes.sha256 or ""

    @property
    def tag(self) -> int | None:
        """The content tag of the whole file, once `finish` has returned; None if `with_tag` was off."""
        return self._hashes.tag


class FileWriter(_Hashed):
    """One file being saved as it comes; see `open_writer`."""

    def __init__(self, threads: FileExecutor, temp: TempFile, hashes: Hashes) -> None:
        super().__init__(hashes)
        self._threads = threads
        self._temp = temp
        self._hashing: list[asyncio.Future[None]] = []  # of what was written last
        # aiofiles runs our TempFile in our threads.
        self._file = AsyncFileIO(temp, asyncio.get_running_loop(), threads.executor)

    @property
    def path(self) -> Path:
        """Where the file will be once committed."""
        return self._temp.target.path

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._temp.size

    async def check_space(self, size: int) -> None:
        """OSError (ENOSPC) if fewer than `size` bytes are free where the file goes."""
        await self._threads.run(self._temp.check_space, size)

    async def write(self, data: ReadableBuffer) -> None:
        """Append `data`; it must not change until the next `write` or `finish` returns, for it is hashed until then.

        Worth a call from about 1 MiB on. OSError with the file's name (ENOSPC, EFBIG ...); after one, or after
        cancellation, only leaving is left.
        """
        await self.finish()  # a hash takes its data in order
        self._hashing = [self._threads.start(update, data) for update in self._hashes.updates()]
        # No shield: leaving `open_writer` waits for the write, because it takes the lock that the write holds in its
        # thread.
        await self._file.write(data)

    async def finish(self) -> None:
        """Wait until what was written is hashed."""
        for job in self._hashing:
            await finish(job)
        self._hashing = []

    async def commit(self, *, flush_folder: bool = True) -> Path:
        """Put the file at `path`; at most once, ValueError after that. Cancelled while it runs, it still ends.

        FileExistsError if something is there meanwhile and may not be replaced; UnsafePathError if a folder on the
        way was swapped. `flush_folder` off: the caller will call `sync_folder`, once for many files.
        """
        await self.finish()
        path = await self._threads.run(lambda: self._temp.publish(flush_folder=flush_folder))
        self._found = self._temp.found
        return path


@asynccontextmanager
async def open_writer(
    threads: FileExecutor,
    root: Path,
    path: RemotePath,
    *,
    overwrite: Overwrite,
    durable: bool,
    with_tag: bool = True,
    new_name: Callable[[], str] = temp_name,
    pin: RootGuard | None = None,
    unchanged: Unchanged | None = None,
) -> AsyncIterator[FileWriter]:
    """A `FileWriter` of `path` below `root`; both are made where missing. Nothing is at the final name before `commit`.

    Leaving without commit, by whatever way, removes the temporary file; that is done before this returns, even when
    cancelled. Raises UnsafePathError for a name or link that must not be followed, FileExistsError if the file is
    there and `overwrite` is not "replace", IsADirectoryError, or any other OSError with the file's name. With
    `unchanged` that decides instead of `overwrite`: TargetChangedError if another file is there than was seen.
    """
    target = _target(threads, root, path, overwrite=overwrite, durable=durable, pin=pin, unchanged=unchanged)
    owned = ExitStack()  # filled in the thread: a result that is lost to cancellation is closed all the same

    def begin() -> TempFile:
        temp = TempFile(target, new_name=new_name)
        owned.callback(temp.discard)
        return temp

    save: FileWriter | None = None

    async def leave() -> None:
        with anyio.CancelScope(shield=True):
            try:
                if save is not None:
                    await save.finish()  # nothing reads the caller's buffers any more
            finally:
                await threads.run(owned.close)

    try:
        save = FileWriter(threads, await threads.run(begin), Hashes(with_tag=with_tag))
        yield save
    except BaseException as error:
        try:
            await leave()
        except OSError as failure:  # what was wrong before says more
            error.add_note(f"and its temporary file could not be closed or removed: {failure}")
        raise
    else:
        await leave()


class BufferedFileWriter(_Hashed):
    """One file that waits in memory until it is whole; then `commit` is its only hop to a thread.

    The same choices and errors as `open_writer`, but for those of the disk, which all come with `commit`. A file that
    has no room there is not begun: others would lack what it takes until it fails. There is nothing to clean up,
    whenever it is dropped. The caller sees to it that the file is no larger than about `SMALL`.
    """

    def __init__(
        self,
        threads: FileExecutor,
        root: Path,
        path: RemotePath,
        *,
        overwrite: Overwrite,
        durable: bool,
        with_tag: bool = True,
        pin: RootGuard | None = None,
        unchanged: Unchanged | None = None,
    ) -> None:
        super().__init__(Hashes(with_tag=with_tag))
        self._threads = threads
        self._target = _target(threads, root, path, overwrite=overwrite, durable=durable, pin=pin, unchanged=unchanged)
        self._data = bytearray()
        self._finished = self._committed = False

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return len(self._data)

    async def write(self, data: ReadableBuffer) -> None:
        """Append `data`; it is copied. ValueError after `finish`."""
        if self._finished:
            raise ValueError("this file is finished: what comes now would not be hashed")
        self._data += data

    async def finish(self) -> None:
        """No more comes: compute the hashes."""
        if self._finished:
            return
        if len(self._data) <= _QUICK:
            self._hash()
        else:
            await self._threads.run(self._hash)

    def _hash(self) -> None:
        self._finished = True  # here, for a cancelled `finish` may or may not have come so far
        self._hashes.update(self._data)

    async def commit(self, *, flush_folder: bool = True) -> Path:
        """As that of `FileWriter`: make the file, write it and put it in place. Cancelled while it runs, it still
        ends."""
        await self.finish()
        return await self._threads.run(self._put, flush_folder)

    def _put(self, flush_folder: bool) -> Path:  # noqa: FBT001 - for a thread
        if self._committed:
            raise ValueError("a commit of this file was tried before: it is in place, or can only be dropped")
        self._committed = True
        temp = TempFile(self._target)
        try:
            if len(self._data) > _QUICK:  # less is written as soon as asked for
                temp.check_space(len(self._data))
            temp.write(self._data)
            path = temp.publish(flush_folder=flush_folder)
            self._found = temp.found
            return path
        finally:
            temp.discard()


def _target(
    threads: FileExecutor,
    root: Path,
    path: RemotePath,
    *,
    overwrite: Overwrite,
    durable: bool,
    pin: RootGuard | None,
    unchanged: Unchanged | None,
) -> Target:
    return Target(
        root=root,
        parts=local_parts(path),
        overwrite=overwrite,
        durable=durable,
        mode=threads.new_file_mode,
        pin=pin,
        unchanged=unchanged,
    )


async def exists(threads: FileExecutor, root: Path, path: RemotePath) -> bool:
    """Whether something (a broken link, too) is at `path` below `root`. UnsafePathError as in `open_writer`."""
    return await threads.run(is_there, root, path)


def is_there(root: Path, path: RemotePath) -> bool:
    """`exists`, for those who are in a thread already."""
    *folders, name = local_parts(path)
    try:
        folder = find_folder(root, folders)
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        error.filename = os.fspath(root / path)
        raise
    return True


async def sync_folder(threads: FileExecutor, folder: Path) -> None:
    """Make the names in `folder` durable, after commits with `flush_folder` off."""
    await threads.run(flush_folder, folder)
