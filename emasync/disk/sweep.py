"""Removing what a killed process left: temporary files that nobody holds any more.

Owns: telling a dead temporary file from one in use. Synchronous: runs in a file thread. Imports its room and errors.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from emasync.disk.directory import find_folder
from emasync.disk.safe_paths import TEMP_PREFIX
from emasync.errors import UnsafePathError

_YOUNG_S = 0.1  # between being made and being locked a file is nobody's; that takes microseconds


def sweep(root: Path, folders: Iterable[str]) -> int:
    """Remove dead temporary files of ours directly in `folders`, given as ``a/b`` below `root`; how many there were.

    A file is dead when its lock can be taken: the process that made it, here or elsewhere, has ended. What cannot be
    looked at or removed is left, and so is everything behind a symbolic link below `root`. Missing folders are fine.
    """
    return sum(_sweep_folder(root, folder) for folder in folders)


def _sweep_folder(root: Path, below: str) -> int:
    try:
        folder = find_folder(root, tuple(below.split("/")) if below else ())
    except (OSError, UnsafePathError):
        return 0
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(TEMP_PREFIX)]
        return sum(_remove_dead(folder, name) for name in names if name.endswith(".part"))
    except OSError:
        return 0
    finally:
        os.close(folder)


def _remove_dead(folder: int, name: str) -> bool:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return False
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or time.time() - found.st_mtime < _YOUNG_S:
            return False
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=folder)
    except OSError:
        return False
    finally:
        os.close(file)
    return True
