"""Gathers chunks of any size into batches of one size.

Two buffers take turns: one is filled while the other is written and hashed. Fresh memory costs more than a copy, so
both are reused. Imports nothing of emasync.
"""

from __future__ import annotations

from collections.abc import Iterator

_LARGEST = 4 * 1024 * 1024
"""Blocks up to this size are to come from memory that was used before. glibc takes fresh pages for each block of more
than 128 KiB, as every piece off a socket is, until it has seen a larger one freed; then it keeps twice that much. Their
first touch was a fifth of the processor time of a large downlink."""


class ChunkBuffer:
    """Batches of `size` bytes; 0 hands every piece through as it is."""

    def __init__(self, size: int) -> None:
        self._size = size
        if size:
            bytes(_LARGEST)  # never touched; freed at once, which is what tells glibc
        self._filling = memoryview(bytearray(size))
        self._resting: memoryview | None = None
        self._filled = 0

    def add(self, data: bytes) -> Iterator[bytes | memoryview]:
        """Take in `data`; the batches that it fills. Each stays as it is until the next but one is asked for."""
        if not self._size:
            yield data
            return
        left = memoryview(data)
        while left:
            count = min(self._size - self._filled, len(left))
            self._filling[self._filled : self._filled + count] = left[:count]
            self._filled += count
            left = left[count:]
            if self._filled == self._size:
                full = self._filling
                self._filling = self._resting if self._resting is not None else memoryview(bytearray(self._size))
                self._resting, self._filled = full, 0
                yield full

    def remainder(self) -> memoryview:
        """What does not fill a batch; empty where nothing is left."""
        return self._filling[: self._filled]
