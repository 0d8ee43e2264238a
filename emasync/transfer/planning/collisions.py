"""Which folders a set of files needs: a file that stands in the place of one of them cannot be.

Owns: that question, and which of very many texts there may be twice. Imports nothing. Pure; what to do about a
collision is for the planners to decide.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise


def folders_above(paths: Iterable[str]) -> dict[str, str]:
    """Every folder that one of `paths` (in normal form) needs, with the first path that needs it; the root is none."""
    needed: dict[str, str] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in needed:  # known folders have known parents: linear in the number of folders
            needed[folder] = path
            folder = folder.rpartition("/")[0]
    return needed


class Hashes:
    """The hashes of very many texts, 8 bytes each: only texts of equal hashes have to be compared."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def passing(self, texts: Iterable[str]) -> Iterator[str]:
        """`texts` again, each noted as it passes."""
        for text in texts:
            self._hashes.append(hash(text))
            yield text

    def suspects(self, others: Iterable[str] = ()) -> Iterator[int]:
        """The positions of the texts that may be there twice, or may be among `others`."""
        ordered = sorted(self._hashes)
        telling = {one for one, other in pairwise(ordered) if one == other} | {hash(other) for other in others}
        return (position for position, one in enumerate(self._hashes) if one in telling)
