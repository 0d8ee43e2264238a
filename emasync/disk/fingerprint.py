"""`Fingerprint`: what tells that a local file was not touched.

Owns: which facts count, and keeping them small: a transfer of very many files holds one for each. Imports nothing.
"""

from __future__ import annotations

import os
from itertools import accumulate, pairwise
from typing import ClassVar

_FACTS = ("size", "mtime_ns", "ctime_ns", "inode", "device")
_PLACES = (0, 8, 10, 10, 9, 9)  # bytes of each, after the first: times fit beyond the year 2262, inodes use 64 bits
_SLICES = {name: slice(*ends) for name, ends in zip(_FACTS, pairwise(accumulate(_PLACES)), strict=True)}


class Fingerprint(bytes):
    """`size` in bytes, times in nanoseconds. It is the bytes of these numbers, so it compares and hashes as they do, in
    a third of the memory. ValueError for a number that no file can have."""

    __slots__ = ()
    WIDTH: ClassVar[int] = sum(_PLACES)

    def __new__(cls, *, size: int, mtime_ns: int, ctime_ns: int, inode: int, device: int) -> Fingerprint:
        try:
            packed = (
                number.to_bytes(room, "little", signed=True)
                for number, room in zip((size, mtime_ns, ctime_ns, inode, device), _PLACES[1:], strict=True)
            )
            return super().__new__(cls, b"".join(packed))
        except OverflowError:
            raise ValueError("no file has such a size, time, inode or device") from None

    @classmethod
    def of(cls, found: os.stat_result) -> Fingerprint:
        """The fingerprint in a stat result."""
        return cls(
            size=found.st_size,
            mtime_ns=found.st_mtime_ns,
            ctime_ns=found.st_ctime_ns,
            inode=found.st_ino,
            device=found.st_dev,
        )

    @classmethod
    def packed(cls, data: bytes) -> Fingerprint:
        """The fingerprint of which these are the bytes."""
        return super().__new__(cls, data)

    @staticmethod
    def size_in(data: bytearray, begin: int) -> int:
        """The size in the fingerprint whose bytes begin there."""
        return int.from_bytes(data[begin : begin + _PLACES[1]], "little", signed=True)

    def _fact(self, name: str) -> int:
        return int.from_bytes(self[_SLICES[name]], "little", signed=True)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._fact("size")

    @property
    def mtime_ns(self) -> int:
        """When the content was changed, as the file system says."""
        return self._fact("mtime_ns")

    @property
    def ctime_ns(self) -> int:
        """When anything was changed."""
        return self._fact("ctime_ns")

    @property
    def inode(self) -> int:
        """The file's number on its device; 0 where files have none."""
        return self._fact("inode")

    @property
    def device(self) -> int:
        """The file system it lies on."""
        return self._fact("device")

    def facts(self) -> dict[str, int]:
        """All of it by name, as `__new__` takes it."""
        return {name: self._fact(name) for name in _FACTS}

    def changes(self, later: Fingerprint) -> str:
        """What `later` has different, for people; "" if nothing."""
        if self == later:
            return ""
        if self.size != later.size:
            return f"its size went from {self.size} to {later.size} bytes"
        changed = [name for name in _FACTS if self._fact(name) != later._fact(name)]
        return f"its {' and '.join(changed)} changed"

    def __repr__(self) -> str:
        return f"Fingerprint({', '.join(f'{name}={number}' for name, number in self.facts().items())})"
