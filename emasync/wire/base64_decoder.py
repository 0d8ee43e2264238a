"""Base64, strictly, in pieces of any size.

Owns: the standard alphabet, padding, and the up to three characters that wait for their quad.
May import errors only. Knows nothing of JSON or of what the bytes mean.
"""

from __future__ import annotations

import re

import pybase64

from emasync.errors import ProtocolError

_FOREIGN = re.compile(rb"[^A-Za-z0-9+/]")


class Base64Decoder:
    """Decodes base64 that arrives in pieces: standard alphabet, no white space, padding only at the very end.

    Non-zero bits behind the last byte (``QR==`` for ``QQ==``) are refused as well: one file has one encoding.
    After an error the stream is of no further use. Keeps up to three characters between calls, and a work buffer of
    the size of the largest piece (a kept buffer costs a tenth of the page faults of a fresh one for each piece).
    """

    __slots__ = ("_held", "_padded", "_taken", "_work")

    def __init__(self) -> None:
        self._held = b""
        self._padded = False
        self._taken = 0
        self._work = memoryview(bytearray())

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """The bytes that `data` completes; `data` itself is not kept.

        ProtocolError, with the offset of the offending character but never the character, when it is not base64.
        """
        view = self._after_held(data) if self._held else memoryview(data)
        whole = len(view) & ~3
        if self._padded and len(view):
            raise ProtocolError(f"the base64 content goes on after its padding, at character {self._taken}")
        decoded = self._decode(view[:whole]) if whole else b""
        self._held = bytes(view[whole:])
        return decoded

    def finish(self) -> None:
        """Says that no more comes; ProtocolError when the last quad is incomplete."""
        if self._held:
            raise ProtocolError(
                f"the base64 content ends inside a group of four, after {self._taken + len(self._held)} characters"
            )

    def _after_held(self, data: bytes | bytearray | memoryview) -> memoryview:
        kept, size = len(self._held), len(self._held) + len(data)
        if len(self._work) < size:
            self._work = memoryview(bytearray(size))
        self._work[:kept] = self._held
        self._work[kept:size] = data
        return self._work[:size]

    def _decode(self, quads: memoryview) -> bytes:
        try:
            # validate=True is the strict mode, and several times faster than the lax one
            decoded = pybase64.b64decode(quads, validate=True)
        except ValueError:
            found = _FOREIGN.search(quads)
            where = self._taken + (found.start() if found else 0)
            raise ProtocolError(f"the content is not base64 at character {where}") from None
        self._taken += len(quads)
        if len(decoded) * 4 != len(quads) * 3:
            self._padded = True
            if pybase64.b64encode(decoded[-(len(decoded) % 3) :]) != quads[-4:]:
                raise ProtocolError(f"the base64 content has stray bits before character {self._taken}")
        return decoded
