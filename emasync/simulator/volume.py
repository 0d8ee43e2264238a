"""A volume: a real folder on disk, listed and changed the way the EM does it.

Synchronous, so call it in a thread; the time is passed in. Must not import anything of users or HTTP.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emasync.wire.content_tag import tag_of_digest

_CHUNK_BYTES = 1024 * 1024
_MAX_NAME = 255
_MAX_DEPTH = 300  # of a path; a listing nests as deep, and its makers and readers have stacks that end
_RACY_S = 0.05  # a file changed this recently may change again within one tick of its mtime: do not remember its hash


class IllegalPathError(ValueError):
    """The path leaves the volume, or cannot be a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """A complete uplinked file in the staging folder, and the name it will have in the volume."""

    name: str
    staged: Path


class VolumeDirectory:
    """The folder `root`, made when it is missing. Nothing outside is ever read or changed."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root: Path = root.resolve()
        self._digests: dict[tuple[str, str], tuple[tuple[int, ...], bytes]] = {}
        self._visible_at: dict[Path, float] = {}
        self._lock = threading.Lock()  # uplinks add to it while listings look, in other threads

    def resolve(self, path: str) -> Path:
        """The location of `path` on disk; a leading slash means the volume's root. IllegalPathError if outside."""
        _check_form(path)
        try:
            found = (self.root / path.lstrip("/")).resolve()
        except (OSError, RuntimeError) as error:  # a loop of links, or a name too long
            raise IllegalPathError(f"{path!r} cannot be resolved") from error
        if not found.is_relative_to(self.root):
            raise IllegalPathError(f"{path!r} lies outside the volume")
        return found

    def holds(self, path: Path) -> bool:
        """Whether `path`, all links followed, lies in the volume; False for a loop of links."""
        try:
            return path.resolve().is_relative_to(self.root)
        except (OSError, RuntimeError):
            return False

    def delete(self, path: str) -> None:
        """Remove a file or a whole folder; FileNotFoundError, or IllegalPathError (the root itself is illegal too)."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        _check_form(path)
        if not parts or ".." in parts:
            raise IllegalPathError(f"{path!r} cannot be deleted")
        # The parent is resolved, the name is not: of a link, the link goes and not what it points to.
        target = self.resolve("/".join(parts[:-1])) / parts[-1]
        if not target.is_symlink() and target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()

    def store(self, dest: str, files: Iterable[StagedFile], *, visible_at: float) -> None:
        """Move staged files into folder `dest`, replacing what is there; listings show them from `visible_at` on.

        IllegalPathError for a `dest` outside; OSError when a folder or file is in the way.
        """
        folder = self.resolve(dest)
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            target = folder / file.name
            with self._lock:  # before it is there: a listing in another thread must not show it too soon
                self._visible_at[target] = visible_at
            file.staged.replace(target)

    def listing(self, *, now: float) -> list[dict[str, Any]]:
        """The entries of the whole volume, as ``em/files/list`` gives them."""
        with self._lock:
            self._visible_at = {path: moment for path, moment in self._visible_at.items() if moment > now}
        return self._entries(self.root)

    def digest(self, path: Path, algorithm: str) -> bytes:
        """The hash of a file's content, remembered until its size, times or inode change."""
        return self._digest(str(path), path.stat(), algorithm)

    def _entries(self, folder: Path) -> list[dict[str, Any]]:
        with os.scandir(folder) as scan:
            found = sorted(scan, key=lambda entry: entry.name)
        return [listed for entry in found for listed in self._entry(entry)]

    def _entry(self, entry: os.DirEntry[str]) -> Iterator[dict[str, Any]]:
        try:
            if entry.is_dir(follow_symlinks=False):
                contents = self._entries(Path(entry.path))
                # What the EM calls a folder's size counts its entries too: two for each, in the documented example.
                size = sum(int(item["size"]) for item in contents) + 2 * len(contents)
                kind = {"type": "directory", "name": entry.name, "size": str(size)}
                yield kind | {"time": _minute(entry.stat(follow_symlinks=False)), "contents": contents}
            elif self._shown(entry):
                stat_result = entry.stat()
                tag = tag_of_digest(self._digest(entry.path, stat_result, "md5"))
                kind = {"type": "file", "name": entry.name, "size": str(stat_result.st_size)}
                yield kind | {"time": _minute(stat_result), "hash": tag}
        except OSError:  # deleted during the listing, unreadable, or a link to itself
            return

    def _shown(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_file() or (self._visible_at and Path(entry.path) in self._visible_at):
            return False
        return not entry.is_symlink() or self.holds(Path(entry.path))

    def _digest(self, path: str, stat_result: os.stat_result, algorithm: str) -> bytes:
        key = (stat_result.st_size, stat_result.st_mtime_ns, stat_result.st_ctime_ns, stat_result.st_ino)
        known = self._digests.get((path, algorithm))
        if known is not None and known[0] == key:
            return known[1]
        digest = hashlib.new(algorithm, usedforsecurity=False)
        with open(path, "rb") as file:  # noqa: PTH123 - a listing opens thousands; Path objects are half its cost
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        if time.time_ns() - stat_result.st_mtime_ns > _RACY_S * 1e9:
            self._digests[path, algorithm] = (key, digest.digest())
        return digest.digest()


def is_regular(path: Path) -> bool:
    """Whether `path` is an existing regular file: no FIFO, device or folder."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _check_form(path: str) -> None:
    """IllegalPathError for what no file system accepts, and for more folders than a listing could show."""
    try:
        names = path.encode().split(b"/")
    except UnicodeEncodeError:
        raise IllegalPathError("a path must be valid Unicode") from None
    if b"\0" in path.encode():
        raise IllegalPathError("a path cannot contain a NUL")
    if len(names) > _MAX_DEPTH or max(map(len, names)) > _MAX_NAME:
        raise IllegalPathError(f"a path has at most {_MAX_DEPTH} names of at most {_MAX_NAME} bytes")


def _minute(stat_result: os.stat_result) -> str:
    return time.strftime("%Y-%m-%d-%H-%M", time.gmtime(stat_result.st_mtime))
