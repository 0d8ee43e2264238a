"""Which folders a set of files needs: a file that stands in the place of one of them cannot be.

Owns: that question. Imports nothing. Pure; what to do about a collision is for the planners to decide.
"""

from __future__ import annotations

from collections.abc import Iterable


def folders_above(paths: Iterable[str]) -> dict[str, str]:
    """Every folder that one of `paths` (in normal form) needs, with the first path that needs it; the root is none."""
    needed: dict[str, str] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in needed:  # known folders have known parents: linear in the number of folders
            needed[folder] = path
            folder = folder.rpartition("/")[0]
    return needed
