"""`FileFacts`: what the file system says of a local file without reading it.

Owns: the four facts that tell whether a file is still the one it was. May import nothing of emasync.
Knows neither how they are obtained nor who remembers them.
"""

from __future__ import annotations

from typing import Protocol


class FileFacts(Protocol):
    """Any value with these four, such as the fingerprint that `emasync.disk` takes. Times in nanoseconds."""

    @property
    def size(self) -> int: ...
    @property
    def mtime_ns(self) -> int: ...
    @property
    def ctime_ns(self) -> int: ...
    @property
    def inode(self) -> int: ...


def signed64(number: int) -> int:
    """`number` as a database integer holds it: inodes are unsigned and on some file systems use the 64th bit, and so do
    times in nanoseconds from the year 2262 on."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)
