"""Removing a file below a destination, without following links on the way.

Owns: that one step. Synchronous: runs in a file thread. Imports its room and model.
"""

from __future__ import annotations

import os
from pathlib import Path

from emasync.disk.atomic_file import Unchanged
from emasync.disk.directory import RootGuard, find_folder
from emasync.disk.safe_paths import local_parts
from emasync.model import RemotePath


def remove_file(
    root: Path, path: RemotePath, *, pin: RootGuard | None = None, unchanged: Unchanged | None = None
) -> None:
    """Unlink ``root/path``; a link there is removed itself. A file that is gone already is fine.

    UnsafePathError for a name or folder that must not be followed, TargetChangedError if the file is not `unchanged`,
    else OSError.
    """
    parts = local_parts(path)
    try:
        folder = find_folder(root, parts[:-1], pin=pin)
    except FileNotFoundError:
        return
    try:
        if unchanged is not None and not unchanged.check(folder, parts[-1], path=root.joinpath(*parts)):
            os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)  # FileNotFoundError: it is gone already
            raise unchanged.changed(root.joinpath(*parts))  # a link to nowhere, which was not there before
        os.unlink(parts[-1], dir_fd=folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        error.filename = os.fspath(root.joinpath(*parts))
        raise
    finally:
        os.close(folder)
