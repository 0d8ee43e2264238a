"""Strict base64 decoding in pieces of any size: standard alphabet, padding only at the end.

Must not import anything but errors; knows nothing of JSON.
"""

from __future__ import annotations

import re

import pybase64

from emasync.errors import ProtocolError

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


class Base64Decoder:
    """Decodes base64 that arrives in pieces: standard alphabet, no white space, padding only at the very end.

    Non-zero bits behind the last byte (``QR==`` for ``QQ==``) are refused as well: one file has one encoding.
    Unusable after an error. Keeps up to three characters between calls, and a buffer of the size of the largest piece
    (reusing it causes a tenth of the page faults of a new one for each piece).
    """

    __slots__ = ("_buffer", "_padded", "_position", "_remainder")

    def __init__(self) -> None:
        self._remainder = b""
        self._padded = False
        self._position = 0
        self._buffer = memoryview(bytearray())

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """The bytes that `data` completes; `data` may be reused afterwards.

        ProtocolError if it is not base64, with the offset of the wrong character but never the character itself.
        """
        view = self._prepend_remainder(data) if self._remainder else memoryview(data)
        complete = len(view) & ~3
        if self._padded and len(view):
            raise ProtocolError(f"the base64 content goes on after its padding, at character {self._position}")
        decoded = self._decode(view[:complete]) if complete else b""
        self._remainder = bytes(view[complete:])
        return decoded

    def finish(self) -> None:
        """To be called at the end; ProtocolError if the last group of four characters is incomplete."""
        if self._remainder:
            received = self._position + len(self._remainder)
            raise ProtocolError(f"the base64 content ends inside a group of four, after {received} characters")

    def _prepend_remainder(self, data: bytes | bytearray | memoryview) -> memoryview:
        kept, size = len(self._remainder), len(self._remainder) + len(data)
        if len(self._buffer) < size:
            self._buffer = memoryview(bytearray(size))
        self._buffer[:kept] = self._remainder
        self._buffer[kept:size] = data
        return self._buffer[:size]

    def _decode(self, quads: memoryview) -> bytes:
        try:
            # validate=True is the strict mode, and several times faster than the lax one
            decoded = pybase64.b64decode(quads, validate=True)
        except ValueError:
            found = _NOT_BASE64.search(quads)
            position = self._position + (found.start() if found else 0)
            raise ProtocolError(f"the content is not base64 at character {position}") from None
        self._position += len(quads)
        if len(decoded) * 4 != len(quads) * 3:
            self._padded = True
            if pybase64.b64encode(decoded[-(len(decoded) % 3) :]) != quads[-4:]:
                raise ProtocolError(f"the base64 content has stray bits before character {self._position}")
        return decoded
