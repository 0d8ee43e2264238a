"""Folders below a destination, opened so that no symbolic link can lead a write elsewhere. POSIX only.

Owns: walking and making folders by file descriptors, and flushing them. Synchronous: runs in a file thread.
May import errors and model. Knows nothing of the files that are put there.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from emasync.disk.entries import FlushedEntries, fsync_folder
from emasync.errors import UnsafePathError, is_out_of_files
from emasync.model import safe

_FOLDER = os.O_RDONLY | os.O_DIRECTORY


class RootGuard:
    """Which folder a destination is, from its first opening on: a path that leads elsewhere later is not followed. And
    which folders in it are on the disk for certain: one transfer has one Pin."""

    __slots__ = ("_known", "_lock", "entries")

    def __init__(self) -> None:
        self._known: os.stat_result | None = None
        self._lock = threading.Lock()
        self.entries = FlushedEntries()

    @property
    def known(self) -> bool:
        """Whether it was opened before."""
        return self._known is not None

    def set(self, root: Path) -> None:
        """Let it be the folder that `root` is now. OSError where it is none."""
        os.close(self.open(root))

    def open(self, root: Path) -> int:
        """A descriptor of `root`. UnsafePathError if that is another folder than before."""
        opened = os.open(root, _FOLDER)
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


def open_folder(root: Path, parts: Sequence[str], *, durable: bool, pin: RootGuard | None = None) -> int:
    """A descriptor of ``root/parts``, to be closed by the caller; folders that are missing are made.

    `root` is the user's word and may be or pass symbolic links; below it a link is an UnsafePathError, even one that
    is planted while this runs. `durable`: when this returns, the entry of each of these folders in its parent is on the
    disk, that of `root` too, whoever made them; a folder is made only in one of which that is true.
    """
    pin = pin or RootGuard()
    entries = pin.entries if durable else None
    known = pin.known  # asked first: another worker may make it and pin it between our miss and the question
    try:
        current = pin.open(root)
    except FileNotFoundError:
        if known:
            raise _moved(root) from None
        _make_root(root, entries)
        current = pin.open(root)
    done = 0
    try:
        if entries is not None:
            _flush_entry(current, entries)
        for part in parts:
            inner = _enter(current, part, make=True)
            try:
                if entries is not None:
                    entries.flush(current, inner)
            except BaseException:
                os.close(inner)
                raise
            os.close(current)
            current = inner
            done += 1
    except BaseException as error:
        os.close(current)
        if isinstance(error, OSError):
            error.filename = os.fspath(root.joinpath(*parts[: done + 1]))
        raise
    return current


def find_folder(root: Path, parts: Sequence[str], *, pin: RootGuard | None = None) -> int:
    """A descriptor of ``root/parts`` as it is now, to be closed by the caller; OSError where there is no such folder.

    As in `open_folder` a link below `root` is an UnsafePathError.
    """
    pin = pin or RootGuard()
    known = pin.known
    try:
        current = pin.open(root)
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


def resolves_to(root: Path, parts: Sequence[str], folder: int) -> bool:
    """Whether ``root/parts`` still is the folder that `folder` was opened as. OSError where no file can be opened."""
    try:
        current = find_folder(root, parts)
    except (OSError, UnsafePathError) as error:
        if is_out_of_files(error):
            raise  # says nothing of the folder
        return False
    try:
        return os.path.samestat(os.fstat(current), os.fstat(folder))
    finally:
        os.close(current)


def flush_folder(folder: Path) -> None:
    """fsync of a folder: the names in it (new, renamed) survive a power cut from here on."""
    descriptor = os.open(folder, _FOLDER)
    try:
        fsync_folder(descriptor)
    finally:
        os.close(descriptor)


def _enter(folder: int, part: str, *, make: bool) -> int:
    flags = _FOLDER | os.O_NOFOLLOW
    try:
        return os.open(part, flags, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        raise _in_the_way(folder, part, error) from None
    try:
        os.mkdir(part, dir_fd=folder)
    except FileExistsError:
        pass  # another worker made it in between
    try:
        return os.open(part, flags, dir_fd=folder)
    except OSError as error:
        raise _in_the_way(folder, part, error) from None


def _in_the_way(folder: int, part: str, error: OSError) -> Exception:
    # Linux says ENOTDIR, others ELOOP, for a link where a folder was wanted: ask what it is.
    try:
        is_link = stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode)
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


def _make_root(root: Path, entries: FlushedEntries | None) -> None:
    """Make `root` from the top down, each folder in one whose own entry is on the disk already (`entries`): a run that
    is killed leaves at most the last folder in doubt, and `_flush_entry` ends that doubt in the next run."""
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    for folder in reversed(missing):
        if entries is not None:
            above = os.open(folder.parent, _FOLDER)
            try:
                _flush_entry(above, entries)
            finally:
                os.close(above)
        try:
            folder.mkdir(exist_ok=True)
        except FileExistsError:  # not the FileExistsError that callers take for "the target is there"
            what = "a file, or a link that leads nowhere, is in the way"
            raise NotADirectoryError(errno.ENOTDIR, what, folder) from None


def _flush_entry(folder: int, entries: FlushedEntries) -> None:
    """Flush the folder that `folder` lies in, if it may be read: the user can have a right to this one only."""
    try:
        parent = os.open("..", _FOLDER, dir_fd=folder)
    except PermissionError:
        return
    try:
        entries.flush(parent, folder)
    finally:
        os.close(parent)
