"""What identifies a local file: `Fingerprint` of its stat result, and `Hashes` of its bytes. Does no I/O.

A fingerprint is packed, because a transfer of very many files holds one for each. Hashes are computed in file threads:
hashing is the slowest part of a copy. Must not import anything of emasync but the definition of the content tag (wire).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, ClassVar

from emasync.wire.content_tag import new_md5, tag_of_digest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_FACTS = ("size", "mtime_ns", "ctime_ns", "inode", "device")
_WIDTHS = (0, 8, 10, 10, 9, 9)  # bytes of each, after the first: times fit beyond the year 2262, inodes use 64 bits
_SLICES = {name: slice(*ends) for name, ends in zip(_FACTS, pairwise(accumulate(_WIDTHS)), strict=True)}


class Fingerprint(bytes):
    """Size, times, inode and device of a file; equal fingerprints mean that the file was not changed.

    It consists of the bytes of these numbers, so it compares and hashes as they do, in a third of the memory. Times are
    in nanoseconds. ValueError for a number that no file can have.
    """

    __slots__ = ()
    WIDTH: ClassVar[int] = sum(_WIDTHS)

    def __new__(cls, *, size: int, mtime_ns: int, ctime_ns: int, inode: int, device: int) -> Fingerprint:
        try:
            packed = (
                number.to_bytes(width, "little", signed=True)
                for number, width in zip((size, mtime_ns, ctime_ns, inode, device), _WIDTHS[1:], strict=True)
            )
            return super().__new__(cls, b"".join(packed))
        except OverflowError:
            raise ValueError("no file has such a size, time, inode or device") from None

    @classmethod
    def of(cls, found: os.stat_result) -> Fingerprint:
        """The fingerprint of the file that was looked at."""
        return cls(
            size=found.st_size,
            mtime_ns=found.st_mtime_ns,
            ctime_ns=found.st_ctime_ns,
            inode=found.st_ino,
            device=found.st_dev,
        )

    @classmethod
    def packed(cls, data: bytes) -> Fingerprint:
        """The fingerprint that consists of the bytes `data`."""
        return super().__new__(cls, data)

    @staticmethod
    def size_in(data: bytearray, begin: int) -> int:
        """The file size in the fingerprint whose bytes begin at `begin` in `data`."""
        return int.from_bytes(data[begin : begin + _WIDTHS[1]], "little", signed=True)

    def _fact(self, name: str) -> int:
        return int.from_bytes(self[_SLICES[name]], "little", signed=True)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._fact("size")

    @property
    def mtime_ns(self) -> int:
        """When the content was last changed, according to the file system."""
        return self._fact("mtime_ns")

    @property
    def ctime_ns(self) -> int:
        """When the content or the metadata was last changed."""
        return self._fact("ctime_ns")

    @property
    def inode(self) -> int:
        """The file's number on its device; 0 where files have none."""
        return self._fact("inode")

    @property
    def device(self) -> int:
        """The number of the file system that holds the file."""
        return self._fact("device")

    def facts(self) -> dict[str, int]:
        """All numbers by name, as the constructor takes them."""
        return {name: self._fact(name) for name in _FACTS}

    def changes(self, later: Fingerprint) -> str:
        """How `later` differs, as the rest of a sentence; "" if it is equal."""
        if self == later:
            return ""
        if self.size != later.size:
            return f"its size went from {self.size} to {later.size} bytes"
        changed = [name for name in _FACTS if self._fact(name) != later._fact(name)]
        return f"its {' and '.join(changed)} changed"

    def __repr__(self) -> str:
        return f"Fingerprint({', '.join(f'{name}={number}' for name, number in self.facts().items())})"


class Hashes:
    """SHA-256 and the EM's content tag of bytes that are fed piece by piece.

    The content tag is made of MD5, which takes twice the time of SHA-256 on processors with instructions for the
    latter: leave out (`with_tag=False`) what will not be compared.
    """

    __slots__ = ("_md5", "_sha256")

    def __init__(self, *, with_sha256: bool = True, with_tag: bool = True) -> None:
        self._sha256 = hashlib.sha256() if with_sha256 else None
        self._md5 = new_md5() if with_tag else None

    def update(self, data: ReadableBuffer) -> None:
        """Add `data`; the interpreter lock is released meanwhile."""
        if self._sha256 is not None:
            self._sha256.update(data)
        if self._md5 is not None:
            self._md5.update(data)

    def updates(self) -> list[Callable[[ReadableBuffer], None]]:
        """The parts of `update`, which may run in parallel for the same data: the slowest first."""
        return [hash_.update for hash_ in (self._md5, self._sha256) if hash_ is not None]

    @property
    def sha256(self) -> str | None:
        """Hex, of all bytes so far; None if it was left out."""
        return None if self._sha256 is None else self._sha256.hexdigest()

    @property
    def tag(self) -> int | None:
        """The content tag as the EM lists it; None if it was left out."""
        return None if self._md5 is None else tag_of_digest(self._md5.digest())
