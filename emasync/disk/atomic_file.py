"""`AtomicFile`: a temporary file that is renamed to its final name when it is complete, or removed.

Also removes files: those that a sync deletes, and temporary files that a killed process left. Computes no hashes.
All calls block, so async code calls them in a worker thread. Must not import asyncio, the writer or the reader.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from emasync.disk.directory import RootGuard, find_directory, fsync_directory, open_directory, resolves_to
from emasync.disk.fingerprint import Fingerprint
from emasync.disk.safe_paths import TEMP_PREFIX, local_parts
from emasync.errors import TargetChangedError, UnsafePathError
from emasync.model import Overwrite, RemotePath, safe

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MIN_SWEEP_AGE_S = 0.1  # a younger temporary file may be in use: its process creates it first and then locks it


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """A condition for replacing or removing a file: the file at the path still has this fingerprint.

    With None there was no file when the fingerprint was taken, so a file that appeared since may not be replaced.
    """

    fingerprint: Fingerprint | None

    def check(self, directory_fd: int, name: str, *, path: Path) -> bool:
        """Whether a file `name` is in the opened directory; TargetChangedError if its fingerprint differs."""
        try:
            found = Fingerprint.of(os.stat(name, dir_fd=directory_fd))
        except FileNotFoundError:
            return False
        if found != self.fingerprint:
            raise self.change_error(path)
        return True

    def change_error(self, path: Path) -> TargetChangedError:
        """The error for a file at `path` that appeared or changed."""
        what = "appeared" if self.fingerprint is None else "changed"
        return TargetChangedError(f"{safe(path)} {what} here since it was compared; it was kept as it is")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteTarget:
    """Where and how a file is to be written: at `path` below `root`.

    `durable`: data and name are flushed to the disk (fsync) when the file is published. `root_guard` is shared by all
    files of a transfer. With `unchanged`, an existing file is replaced only if it meets that condition, whatever
    `overwrite` says. UnsafePathError for a path that is not allowed on this machine.
    """

    root: Path
    path: RemotePath
    overwrite: Overwrite
    durable: bool
    root_guard: RootGuard | None = None
    unchanged: Unchanged | None = None
    parts: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", local_parts(self.path))

    @property
    def local_path(self) -> Path:
        """The final path on this machine."""
        return self.root.joinpath(*self.parts)


def temporary_name() -> str:
    """A random name for one attempt: nobody can guess it and put a symbolic link there before the file is created."""
    return f"{TEMP_PREFIX}{secrets.token_hex(8)}.part"


class AtomicFile(io.FileIO):
    """A new temporary file, readable by its owner only (0600), in the directory of `target`; creates that if missing.

    The caller must call `discard` in the end, also after `publish`. One lock guards every method: a write whose caller
    was cancelled still runs to its end in its thread, and `discard` and `publish` wait for it. `mode` is the final
    file's. UnsafePathError, FileExistsError or IsADirectoryError if the target may not be written or replaced.
    """

    def __init__(self, target: WriteTarget, *, mode: int, new_name: Callable[[], str] = temporary_name) -> None:
        self.target = target
        self.size: int = 0
        self._mode = mode
        self._lock = threading.Lock()
        self._writes_complete = True
        self._published = False
        self.published_stat: os.stat_result | None = None  # of the complete, closed file just before the rename
        self._directory_fd: int | None = open_directory(
            target.root, target.parts[:-1], durable=target.durable, root_guard=target.root_guard
        )
        try:
            with _with_final_path(target):
                self._check_target(self._directory_fd)
                self._temporary_name = new_name()
                super().__init__(_create(self._directory_fd, self._temporary_name), "wb")
        except BaseException:
            os.close(self._directory_fd)
            raise

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of `data`. After an error (ENOSPC for one) the file can only be discarded."""
        view = memoryview(data).cast("B")
        with self._lock, _with_final_path(self.target):
            self._check_open()
            self._check_writes_complete()
            self._writes_complete, done = False, 0
            while done < len(view):
                done += os.write(self.fileno(), view[done:])
            self.size += done
            self._writes_complete = True
        return done

    def check_space(self, size: int) -> None:
        """OSError (ENOSPC) if the file system reports fewer than `size` bytes free for this user."""
        with self._lock:
            space = os.fstatvfs(self._check_open())
        free = space.f_bavail * space.f_frsize
        if space.f_blocks and size > free:  # a file system that reports 0 blocks has no fixed size
            raise OSError(
                errno.ENOSPC,
                f"not enough space: the file has {size} bytes, {free} are free",
                os.fspath(self.target.local_path),
            )

    def publish(self) -> Path:
        """Give the file its final name. If `durable`, its bytes are on the disk before that, and the name after it."""
        with self._lock, _with_final_path(self.target):
            directory_fd = self._check_open()
            self._check_writes_complete()
            os.fchmod(self.fileno(), self._mode)
            if self.target.durable:
                os.fsync(self.fileno())
            written = os.fstat(self.fileno())
            # A second descriptor keeps the lock, so that no `sweep` removes the file before it is renamed.
            locked_fd = os.dup(self.fileno())
            try:
                super().close()  # before the rename: network file systems report late write errors here
                self._check_not_swapped(directory_fd, written)
                self._move(directory_fd)
            finally:
                with suppress(OSError):  # the first close has flushed all data
                    os.close(locked_fd)
            if self.target.durable:
                fsync_directory(directory_fd)
        return self.target.local_path

    def discard(self) -> None:
        """Close the file, and remove it if it was not published. May be called again."""
        with self._lock:
            if (directory_fd := self._directory_fd) is None:
                return
            self._directory_fd = None
            with _with_final_path(self.target), ExitStack() as cleanup:  # last in, first out, whatever fails
                cleanup.callback(os.close, directory_fd)
                if not self._published:
                    cleanup.callback(self._remove, directory_fd)
                cleanup.callback(super().close)

    def _remove(self, directory_fd: int) -> None:
        with suppress(FileNotFoundError):  # another process has removed it
            os.unlink(self._temporary_name, dir_fd=directory_fd)

    def _check_open(self) -> int:
        if self._directory_fd is None or self.closed:
            raise ValueError("this file is already published or discarded")
        return self._directory_fd

    def _check_writes_complete(self) -> None:
        if not self._writes_complete:
            raise ValueError("a write has failed: this file can only be discarded")

    def _check_target(self, directory_fd: int) -> None:
        # Checked before any byte is downloaded, so that no download is wasted; `_move` checks again.
        try:
            found = os.stat(self.target.parts[-1], dir_fd=directory_fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a folder is in the way of the file", self.target.parts[-1])
        if self.target.unchanged is not None:
            self.target.unchanged.check(directory_fd, self.target.parts[-1], path=self.target.local_path)
        elif self.target.overwrite != "replace":
            raise _exists_error()

    def _check_not_swapped(self, directory_fd: int, written: os.stat_result) -> None:
        try:
            self.published_stat = os.stat(self._temporary_name, dir_fd=directory_fd, follow_symlinks=False)
            swapped = not os.path.samestat(written, self.published_stat)
        except FileNotFoundError:
            swapped = True
        if swapped:
            what = "the temporary file was removed or replaced"
        elif not resolves_to(self.target.root, self.target.parts[:-1], directory_fd):
            what = "a folder on the way was moved or replaced"
        else:
            return
        raise UnsafePathError(
            f"cannot save {safe(self.target.local_path)}: {what} meanwhile", name=self._temporary_name, reason=what
        )

    def _move(self, directory_fd: int) -> None:
        name, unchanged = self.target.parts[-1], self.target.unchanged
        if unchanged is None:
            replace = self.target.overwrite == "replace"
        else:  # checked just before the rename: no system call checks a fingerprint and renames in one step
            replace = unchanged.check(directory_fd, name, path=self.target.local_path)
        if replace:
            os.rename(self._temporary_name, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        else:
            try:
                self._link_to_free_name(directory_fd, name)
            except FileExistsError:
                if unchanged is None:
                    raise
                raise unchanged.change_error(self.target.local_path) from None
        self._published = True

    def _link_to_free_name(self, directory_fd: int, name: str) -> None:
        try:
            os.link(self._temporary_name, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd, follow_symlinks=False)
        except FileExistsError:
            raise _exists_error() from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            _rename_noreplace(directory_fd, self._temporary_name, name)
        else:
            with suppress(OSError):  # the file is published: a temporary name that stays is no failure
                os.unlink(self._temporary_name, dir_fd=directory_fd)


@contextmanager
def _with_final_path(target: WriteTarget) -> Iterator[None]:
    """Set the target's path as `filename` of an OSError, which has none or only a name inside the directory."""
    try:
        yield
    except OSError as error:
        error.filename = os.fspath(target.local_path)
        del error.filename2  # the second path of a rename; str() would print it even if it were set to None
        raise


def _create(directory_fd: int, name: str) -> int:
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory_fd)
    except FileExistsError:  # another error is raised: to callers, FileExistsError means that the target exists
        what = "is taken by something that emasync did not make"
        raise UnsafePathError(f"the temporary name {name} {what}", name=name, reason=what) from None
    with suppress(OSError):  # on a file system without locks, `sweep` cannot lock either and removes nothing
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # tells `sweep` that the file is in use; ends with this process
    return fd


def _exists_error() -> FileExistsError:
    return FileExistsError(errno.EEXIST, "the file exists, and overwriting it was not asked for")


def _rename_noreplace(directory_fd: int, old: str, new: str) -> None:
    """Rename without replacing, for file systems without hard links (FAT, exFAT); Python has no call for it."""
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    flag_noreplace = 1
    if rename is None:
        code = errno.ENOTSUP
    elif rename(directory_fd, os.fsencode(old), directory_fd, os.fsencode(new), flag_noreplace) == 0:
        return
    else:
        code = ctypes.get_errno()
    if code == errno.EEXIST:
        raise _exists_error()
    raise OSError(
        code, f"cannot rename without replacing an existing file ({os.strerror(code)}); overwrite='replace' works"
    )


def remove_file(
    root: Path, path: RemotePath, *, root_guard: RootGuard | None = None, unchanged: Unchanged | None = None
) -> None:
    """Remove the file ``root/path``; if it is a symbolic link, only the link. A missing file is no error.

    UnsafePathError for a name that is not allowed or a directory that is a symbolic link, TargetChangedError if the
    file does not meet `unchanged`, else OSError.
    """
    parts = local_parts(path)
    try:
        directory_fd = find_directory(root, parts[:-1], root_guard=root_guard)
    except FileNotFoundError:
        return
    try:
        if unchanged is not None and not unchanged.check(directory_fd, parts[-1], path=root.joinpath(*parts)):
            os.stat(parts[-1], dir_fd=directory_fd, follow_symlinks=False)  # FileNotFoundError if nothing is there
            raise unchanged.change_error(root.joinpath(*parts))  # a symbolic link whose target is missing appeared
        os.unlink(parts[-1], dir_fd=directory_fd)
    except FileNotFoundError:
        pass
    except OSError as error:
        error.filename = os.fspath(root.joinpath(*parts))
        raise
    finally:
        os.close(directory_fd)


def sweep(root: Path, directories: Iterable[str]) -> int:
    """Remove abandoned temporary files in `directories` (``a/b`` below `root`, without subfolders); returns how many.

    A temporary file is abandoned if its lock is free: then the process that created it, on any machine, has ended.
    Files that cannot be examined or removed stay, and so does everything behind a symbolic link below `root`. A missing
    directory is no error.
    """
    return sum(_sweep_directory(root, directory) for directory in directories)


def _sweep_directory(root: Path, below: str) -> int:
    try:
        directory_fd = find_directory(root, tuple(below.split("/")) if below else ())
    except (OSError, UnsafePathError):
        return 0
    try:
        with os.scandir(directory_fd) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(TEMP_PREFIX)]
        return sum(_remove_abandoned(directory_fd, name) for name in names if name.endswith(".part"))
    except OSError:
        return 0
    finally:
        os.close(directory_fd)


def _remove_abandoned(directory_fd: int, name: str) -> bool:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory_fd)
    except OSError:
        return False
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or time.time() - found.st_mtime < _MIN_SWEEP_AGE_S:
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=directory_fd)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
