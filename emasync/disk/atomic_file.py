"""`TempFile`: one file on its way to its final name.

Owns: the temporary file, and the step that puts it in place whole or not at all. Hashes nothing.
Synchronous: every method runs in a file thread. May import errors, model, and its room. Knows nothing of asyncio.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emasync.disk.directory import RootGuard, open_folder, resolves_to
from emasync.disk.entries import fsync_folder
from emasync.disk.fingerprint import Fingerprint
from emasync.disk.safe_paths import TEMP_PREFIX
from emasync.errors import TargetChangedError, UnsafePathError
from emasync.model import Overwrite, safe

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """A condition for replacing or removing a file: what is there still has this fingerprint (None: nothing was there,
    so nothing may be replaced)."""

    fingerprint: Fingerprint | None

    def check(self, folder: int, name: str, *, path: Path) -> bool:
        """Whether there is a file `name` in the opened `folder`; TargetChangedError if it is another one than seen."""
        try:
            found = Fingerprint.of(os.stat(name, dir_fd=folder))
        except FileNotFoundError:
            return False
        if found != self.fingerprint:
            raise self.changed(path)
        return True

    def changed(self, path: Path) -> TargetChangedError:
        """The error for a file at `path` that is not the one that was seen."""
        what = "appeared" if self.fingerprint is None else "changed"
        return TargetChangedError(f"{safe(path)} {what} here since it was compared; it was kept as it is")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a file is to be, and how: `parts` are names that `local_parts` has passed, `mode` its final mode bits.
    `unchanged`: replace only what is still as it was."""

    root: Path
    parts: tuple[str, ...]
    overwrite: Overwrite
    durable: bool
    mode: int
    pin: RootGuard | None = None
    unchanged: Unchanged | None = None

    @property
    def path(self) -> Path:
        """The final path."""
        return self.root.joinpath(*self.parts)


def temp_name() -> str:
    """A name nobody can guess or has planted; new for every attempt."""
    return f"{TEMP_PREFIX}{secrets.token_hex(8)}.part"


class TempFile(io.FileIO):
    """A new private file (0600) in the folder of `target`, which is made where it is missing.

    Whoever made it must `discard` it in the end, published or not. One lock is around every method: a write whose
    caller was cancelled still ends in its thread, and `discard` and `publish` wait for it instead of racing it.
    Raises UnsafePathError, FileExistsError or IsADirectoryError where the target may not be (over)written.
    """

    def __init__(self, target: Target, *, new_name: Callable[[], str] = temp_name) -> None:
        self.target = target
        self.size = 0
        self._lock = threading.Lock()
        self._whole = True  # every write so far went through
        self._moved = False
        self.found: os.stat_result | None = None  # the whole file, closed, just before it got its final name
        self._folder: int | None = open_folder(target.root, target.parts[:-1], durable=target.durable, pin=target.pin)
        try:
            with _naming(target):
                self._refuse_occupied(self._folder)
                self._temp = new_name()
                super().__init__(_create(self._folder, self._temp), "wb")
        except BaseException:
            os.close(self._folder)
            raise

    def write(self, data: ReadableBuffer, /) -> int:
        """All of `data` to the file. After an error, ENOSPC for one, it can only be discarded."""
        view = memoryview(data).cast("B")
        with self._lock, _naming(self.target):
            self._check_open()
            self._check_whole()
            self._whole, done = False, 0
            while done < len(view):
                done += os.write(self.fileno(), view[done:])
            self.size += done
            self._whole = True
        return done

    def check_space(self, size: int) -> None:
        """OSError (ENOSPC) if the file system says that it has less than `size` bytes free for us."""
        with self._lock:
            room = os.fstatvfs(self._check_open())
        free = room.f_bavail * room.f_frsize
        if room.f_blocks and size > free:  # no blocks at all: a file system without a limit
            raise OSError(
                errno.ENOSPC,
                f"not enough space: the file has {size} bytes, {free} are free",
                os.fspath(self.target.path),
            )

    def publish(self, *, flush_folder: bool = True) -> Path:
        """Put the file at its final name. Before that name changes the bytes are on the disk, if `durable`.

        With `flush_folder` off the new name itself may be lost in a power cut until the caller flushes the folder.
        """
        with self._lock, _naming(self.target):
            folder = self._check_open()
            self._check_whole()
            os.fchmod(self.fileno(), self.target.mode)
            if self.target.durable:
                os.fsync(self.fileno())
            written = os.fstat(self.fileno())
            held = os.dup(self.fileno())  # its lock, which keeps a sweep away until the file has its final name
            try:
                super().close()  # before the rename: network file systems report late write errors here
                self._check_unswapped(folder, written)
                self._move(folder)
            finally:
                with suppress(OSError):  # what was written was flushed by the first close
                    os.close(held)
            if self.target.durable and flush_folder:
                fsync_folder(folder)
        return self.target.path

    def discard(self) -> None:
        """Close all, and remove the temporary file if it was not published. May be called again."""
        with self._lock:
            if (folder := self._folder) is None:
                return
            self._folder = None
            with _naming(self.target), ExitStack() as left:  # last in, first out, whatever fails
                left.callback(os.close, folder)
                if not self._moved:
                    left.callback(self._remove, folder)
                left.callback(super().close)

    def _remove(self, folder: int) -> None:
        with suppress(FileNotFoundError):  # somebody tidied up before us
            os.unlink(self._temp, dir_fd=folder)

    def _check_open(self) -> int:
        if self._folder is None or self.closed:
            raise ValueError("this file is already published or discarded")
        return self._folder

    def _check_whole(self) -> None:
        if not self._whole:
            raise ValueError("a write has failed: this file can only be discarded")

    def _refuse_occupied(self, folder: int) -> None:
        # Before a byte is fetched; `_move` is what makes it certain.
        try:
            found = os.stat(self.target.parts[-1], dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a folder is in the way of the file", self.target.parts[-1])
        if self.target.unchanged is not None:
            self.target.unchanged.check(folder, self.target.parts[-1], path=self.target.path)
        elif self.target.overwrite != "replace":
            raise _exists()

    def _check_unswapped(self, folder: int, written: os.stat_result) -> None:
        try:
            self.found = os.stat(self._temp, dir_fd=folder, follow_symlinks=False)
            swapped = not os.path.samestat(written, self.found)
        except FileNotFoundError:
            swapped = True
        if swapped:
            what = "the temporary file was removed or replaced"
        elif not resolves_to(self.target.root, self.target.parts[:-1], folder):
            what = "a folder on the way was moved or replaced"
        else:
            return
        raise UnsafePathError(f"cannot save {safe(self.target.path)}: {what} meanwhile", name=self._temp, reason=what)

    def _move(self, folder: int) -> None:
        name, unchanged = self.target.parts[-1], self.target.unchanged
        if unchanged is None:
            replace = self.target.overwrite == "replace"
        else:  # looked at as late as can be: nothing can be renamed on condition
            replace = unchanged.check(folder, name, path=self.target.path)
        if replace:
            os.rename(self._temp, name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            try:
                self._move_to_free_name(folder, name)
            except FileExistsError:
                if unchanged is None:
                    raise
                raise unchanged.changed(self.target.path) from None
        self._moved = True

    def _move_to_free_name(self, folder: int, name: str) -> None:
        try:
            os.link(self._temp, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise _exists() from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            _rename_noreplace(folder, self._temp, name)
        else:
            with suppress(OSError):  # the file is in place: whatever keeps its other name there, it has not failed
                os.unlink(self._temp, dir_fd=folder)


@contextmanager
def _naming(target: Target) -> Iterator[None]:
    """OSErrors that pass say the final path instead of nothing, or a name relative to a descriptor."""
    try:
        yield
    except OSError as error:
        error.filename = os.fspath(target.path)
        del error.filename2  # set to None it would be printed
        raise


def _create(folder: int, name: str) -> int:
    try:
        made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    except FileExistsError:  # not the FileExistsError that callers take for "the target is there"
        what = "is taken by something that emasync did not make"
        raise UnsafePathError(f"the temporary name {name} {what}", name=name, reason=what) from None
    with suppress(OSError):  # a file system without locks: then nobody sweeps, either
        fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)  # says "in use" to `sweep`; ends with this process
    return made


def _exists() -> FileExistsError:
    return FileExistsError(errno.EEXIST, "the file exists, and overwriting it was not asked for")


def _rename_noreplace(folder: int, old: str, new: str) -> None:
    """For file systems without hard links (FAT, exFAT): Linux can rename without replacing, Python does not say how."""
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    flag_noreplace = 1
    if rename is None:
        code = errno.ENOTSUP
    elif rename(folder, os.fsencode(old), folder, os.fsencode(new), flag_noreplace) == 0:
        return
    else:
        code = ctypes.get_errno()
    if code == errno.EEXIST:
        raise _exists()
    raise OSError(
        code, f"cannot put a file in place without replacing ({os.strerror(code)}); overwrite='replace' works"
    )
