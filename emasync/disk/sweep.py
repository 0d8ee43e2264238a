"""Removing what a killed process left: temporary files that nobody holds any more.

Owns: telling a dead temporary file from one in use. Synchronous: runs in a file thread. Imports its room only.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from emasync.disk.names import TEMP_PREFIX

_YOUNG_S = 0.1  # between being made and being locked a file is nobody's; that takes microseconds


def sweep(folders: Iterable[Path]) -> int:
    """Remove dead temporary files of ours directly in `folders`; how many there were. Missing folders are fine.

    A file is dead when its lock can be taken: the process that made it, here or elsewhere, has ended. What cannot be
    looked at or removed is left.
    """
    return sum(_sweep_folder(folder) for folder in folders)


def _sweep_folder(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(TEMP_PREFIX)]
    except OSError:
        return 0
    return sum(_remove_dead(folder / name) for name in names if name.endswith(".part"))


def _remove_dead(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or time.time() - found.st_mtime < _YOUNG_S:
            return False
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(file)
    return True
