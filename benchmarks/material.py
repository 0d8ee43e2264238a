"""The files that are moved: the same bytes in every process that asks for them, no two files alike.

Owns: their content, and the answer to a downlink as the EM encodes it. May import emasync's content tag only.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pybase64

from emasync.wire.content_tag import new_md5, tag_of_digest

MIB = 1 << 20
_PIECE = 3 * MIB  # a multiple of three: each piece encodes to base64 without padding


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What a file's bytes are: size, SHA-256 in hex, and content tag."""

    size: int
    sha256: str
    tag: int


def small_name(index: int) -> str:
    """The base name of small file number `index`."""
    return f"f{index:05}.bin"


def small(index: int, size: int) -> bytes:
    """The content of small file number `index`."""
    return random.Random(index).randbytes(size)


def pieces(size: int) -> Iterator[bytes]:
    """A large file's content, 3 MiB at a time. Each piece is the one before, turned: made faster than drawn anew."""
    base = random.Random(size).randbytes(_PIECE)
    for number in range(-(-size // _PIECE)):
        turn = number * 7919 % _PIECE
        yield (base[turn:] + base[:turn])[: size - number * _PIECE]


def write_large(path: Path, size: int) -> Digest:
    """Write the large file of `size` bytes to `path`."""
    sha256, md5 = hashlib.sha256(), new_md5()
    with path.open("wb") as file:
        for piece in pieces(size):
            sha256.update(piece)
            md5.update(piece)
            file.write(piece)
    return Digest(size=size, sha256=sha256.hexdigest(), tag=tag_of_digest(md5.digest()))


def write_answer(path: Path, size: int) -> Digest:
    """Write the answer to a downlink of the large file of `size` bytes, encoded as JSON, to `path`."""
    sha256, md5 = hashlib.sha256(), new_md5()
    with path.open("wb") as file:
        file.write(b'{"filename": "big.bin", "content": "')
        for piece in pieces(size):
            sha256.update(piece)
            md5.update(piece)
            file.write(pybase64.b64encode(piece))
        file.write(f'", "size": {size}, "hash": "{sha256.hexdigest()}"}}'.encode())
    return Digest(size=size, sha256=sha256.hexdigest(), tag=tag_of_digest(md5.digest()))


def small_answer(name: str, data: bytes) -> bytes:
    """The answer to a downlink of `data`, as JSON."""
    content = pybase64.b64encode(data).decode()
    sha256 = hashlib.sha256(data).hexdigest()
    return json.dumps({"filename": name, "content": content, "size": len(data), "hash": sha256}).encode()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file on disk, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
