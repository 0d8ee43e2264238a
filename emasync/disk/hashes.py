"""`Hashes`: what is computed of the bytes of a file while they pass.

Owns: SHA-256 and the EM's content tag, side by side. May import wire (the tag's definition). Does no I/O.
Knows nothing of where the bytes come from; is called in a file thread, because hashing is the slowest part of a copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from emasync.wire.content_tag import new_md5, tag_of_digest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Hashes:
    """Both by default. MD5, which the content tag is made of, takes twice the time of SHA-256 where the processor has
    instructions for the latter: leave out (`with_tag` False) what nobody will compare."""

    __slots__ = ("_md5", "_sha256")

    def __init__(self, *, with_sha256: bool = True, with_tag: bool = True) -> None:
        self._sha256 = hashlib.sha256() if with_sha256 else None
        self._md5 = new_md5() if with_tag else None

    def update(self, data: ReadableBuffer) -> None:
        """Add `data`; other threads run meanwhile."""
        if self._sha256 is not None:
            self._sha256.update(data)
        if self._md5 is not None:
            self._md5.update(data)

    def updates(self) -> list[Callable[[ReadableBuffer], None]]:
        """The parts of `update`, which may run side by side for the same data: the slowest first."""
        return [hash_.update for hash_ in (self._md5, self._sha256) if hash_ is not None]

    @property
    def sha256(self) -> str | None:
        """Hex, of all bytes so far; None if it was left out."""
        return None if self._sha256 is None else self._sha256.hexdigest()

    @property
    def tag(self) -> int | None:
        """The content tag as the EM lists it; None if it was left out."""
        return None if self._md5 is None else tag_of_digest(self._md5.digest())
