"""Directories below a destination, opened by file descriptors so that no symbolic link can lead a write elsewhere.

Makes and flushes directories, and looks for a file in one. POSIX only, synchronous: runs in a file thread.
Must not import the writer or the reader; knows nothing of how files are written.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from emasync.disk.safe_paths import local_parts
from emasync.errors import UnsafePathError, is_out_of_files
from emasync.model import RemotePath, safe

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_CANNOT_FLUSH = (errno.EINVAL, errno.EROFS)  # a file system that flushes no directories, or that never changes


class FlushedEntries:
    """Which directories have their entry in the parent directory on the disk for certain.

    A file is on the disk only if the entries of the directories above it are. That a directory exists does not prove
    that: another thread, another process, or a killed run may have made it without flushing its parent. So each parent
    is flushed once, whoever made the directory, and all threads that need this wait for the same fsync.

    Memory: a number for each directory. An fsync that failed is not remembered: the next caller tries again.
    """

    __slots__ = ("_flushed", "_lock", "_running")

    def __init__(self) -> None:
        self._flushed: set[int] = set()
        self._running: dict[int, Future[None]] = {}
        self._lock = threading.Lock()

    def flush(self, parent_fd: int, directory_fd: int) -> None:
        """Return once an fsync of the parent has ended that began with the directory in it. OSError if it failed."""
        found = os.fstat(directory_fd)
        key = found.st_dev << 64 | found.st_ino
        with self._lock:
            if key in self._flushed:
                return
            running = self._running.get(key)
            own: Future[None] = Future()
            if running is None:
                self._running[key] = own
        if running is not None:
            failure = running.exception()
            if isinstance(failure, OSError):
                raise OSError(failure.errno, failure.strerror)  # a new one: each caller names its own file in it
            return
        self._fsync(parent_fd, key, own)

    def _fsync(self, parent_fd: int, key: int, own: Future[None]) -> None:
        try:
            fsync_directory(parent_fd)
        except OSError as error:
            with self._lock:
                del self._running[key]
            own.set_exception(error)
            raise
        with self._lock:
            del self._running[key]
            self._flushed.add(key)
        own.set_result(None)


def fsync_directory(directory_fd: int) -> None:
    """fsync of a directory: the names in it survive a power cut. Does nothing where directories cannot be flushed."""
    try:
        os.fsync(directory_fd)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise


class RootGuard:
    """Remembers which directory a destination was when it was first opened, and refuses another one at the same path.

    It also remembers which directories below it are flushed (`flushed`). One transfer has one guard.
    """

    __slots__ = ("_known", "_lock", "flushed")

    def __init__(self) -> None:
        self._known: os.stat_result | None = None
        self._lock = threading.Lock()
        self.flushed: FlushedEntries = FlushedEntries()

    @property
    def known(self) -> bool:
        """Whether the destination was opened before."""
        return self._known is not None

    def set(self, root: Path) -> None:
        """Remember the directory that `root` is now. OSError where it is none."""
        os.close(self.open(root))

    def open(self, root: Path) -> int:
        """A descriptor of `root`. UnsafePathError if that is another directory than before."""
        opened = os.open(root, _DIRECTORY)
        found = os.fstat(opened)
        with self._lock:
            self._known = self._known or found
        if os.path.samestat(self._known, found):
            return opened
        os.close(opened)
        raise _moved(root)


def _moved(root: Path) -> UnsafePathError:
    what = "the destination was moved or replaced"
    return UnsafePathError(f"cannot go on in {safe(root)}: {what} meanwhile", name=os.fspath(root), reason=what)


def open_directory(root: Path, parts: Sequence[str], *, durable: bool, root_guard: RootGuard | None = None) -> int:
    """A descriptor of the directory ``root/parts``, to be closed by the caller; missing directories are made.

    `root` is chosen by the user and may be, or pass, symbolic links; below it a link is an UnsafePathError, even one
    that is planted while this runs. `durable`: when this returns, the entries of all these directories in their parents
    are on the disk, that of `root` too, whoever made them; a directory is made only in one of which that is true.
    """
    root_guard = root_guard or RootGuard()
    flushed = root_guard.flushed if durable else None
    known = root_guard.known  # read first: another worker may make and open the root just after our open failed
    try:
        current = root_guard.open(root)
    except FileNotFoundError:
        if known:
            raise _moved(root) from None
        _make_root(root, flushed)
        current = root_guard.open(root)
    entered = 0
    try:
        if flushed is not None:
            _flush_entry(current, flushed)
        for part in parts:
            inner = _enter(current, part, make=True)
            try:
                if flushed is not None:
                    flushed.flush(current, inner)
            except BaseException:
                os.close(inner)
                raise
            os.close(current)
            current = inner
            entered += 1
    except BaseException as error:
        os.close(current)
        if isinstance(error, OSError):
            error.filename = os.fspath(root.joinpath(*parts[: entered + 1]))
        raise
    return current


def find_directory(root: Path, parts: Sequence[str], *, root_guard: RootGuard | None = None) -> int:
    """A descriptor of ``root/parts`` as it is now, to be closed by the caller; OSError where there is no directory.

    As in `open_directory` a link below `root` is an UnsafePathError.
    """
    root_guard = root_guard or RootGuard()
    known = root_guard.known
    try:
        current = root_guard.open(root)
    except FileNotFoundError:
        if known:
            raise _moved(root) from None
        raise
    try:
        for part in parts:
            inner = _enter(current, part, make=False)
            os.close(current)
            current = inner
    except BaseException:
        os.close(current)
        raise
    return current


def resolves_to(root: Path, parts: Sequence[str], directory_fd: int) -> bool:
    """Whether ``root/parts`` still is the directory that was opened as `directory_fd`. OSError where this process can
    open no more files."""
    try:
        current = find_directory(root, parts)
    except (OSError, UnsafePathError) as error:
        if is_out_of_files(error):
            raise  # says nothing of the directory
        return False
    try:
        return os.path.samestat(os.fstat(current), os.fstat(directory_fd))
    finally:
        os.close(current)


def is_there(root: Path, path: RemotePath) -> bool:
    """Whether something (a broken link, too) is at `path` below `root`. UnsafePathError as in `open_directory`."""
    *parents, name = local_parts(path)
    try:
        directory_fd = find_directory(root, parents)
        try:
            os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        finally:
            os.close(directory_fd)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        error.filename = os.fspath(root / path)
        raise
    return True


def _enter(directory_fd: int, part: str, *, make: bool) -> int:
    flags = _DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(part, flags, dir_fd=directory_fd)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        raise _error_for_obstacle(directory_fd, part, error) from None
    try:
        os.mkdir(part, dir_fd=directory_fd)
    except FileExistsError:
        pass  # another worker made it in between
    try:
        return os.open(part, flags, dir_fd=directory_fd)
    except OSError as error:
        raise _error_for_obstacle(directory_fd, part, error) from None


def _error_for_obstacle(directory_fd: int, part: str, error: OSError) -> Exception:
    # Linux says ENOTDIR, others ELOOP, for a link where a directory was wanted: examine it.
    try:
        is_link = stat.S_ISLNK(os.stat(part, dir_fd=directory_fd, follow_symlinks=False).st_mode)
    except OSError:
        return error
    if is_link:
        return UnsafePathError(
            f"{safe(part)!r} is a symbolic link, and emasync follows none below the destination: remove it, or name "
            "the folder it points to as the destination",
            name=part,
            reason="is a symbolic link",
        )
    if error.errno == errno.ENOTDIR:
        return NotADirectoryError(errno.ENOTDIR, "a file is in the way of a folder", part)
    return error


def _make_root(root: Path, flushed: FlushedEntries | None) -> None:
    """Make `root` from the top down, each directory in one whose own entry is on the disk already (`flushed`).

    So a run that is killed leaves at most the last directory unflushed, and `_flush_entry` flushes it in the next run.
    """
    missing = [directory for directory in (root, *root.parents) if not directory.exists()]
    for directory in reversed(missing):
        if flushed is not None:
            parent_fd = os.open(directory.parent, _DIRECTORY)
            try:
                _flush_entry(parent_fd, flushed)
            finally:
                os.close(parent_fd)
        try:
            directory.mkdir(exist_ok=True)
        except FileExistsError:  # not the FileExistsError that callers take for "the target exists"
            what = "a file, or a link that leads nowhere, is in the way"
            raise NotADirectoryError(errno.ENOTDIR, what, directory) from None


def _flush_entry(directory_fd: int, flushed: FlushedEntries) -> None:
    """Flush the parent of the directory, if this user may read the parent."""
    try:
        parent_fd = os.open("..", _DIRECTORY, dir_fd=directory_fd)
    except PermissionError:
        return
    try:
        flushed.flush(parent_fd, directory_fd)
    finally:
        os.close(parent_fd)
