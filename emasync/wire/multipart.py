"""The multipart body of an uplink, with a length that is known before the first byte is sent.

An EM takes a body without Content-Length as empty. Makes the bytes around the files, never their contents, and checks
which file names survive the server's parser. Does no I/O.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from emasync.errors import UnsafePathError
from emasync.model import safe

_FILE_FIELD = "files"
_MAX_NAME_BYTES = 255  # what the usual file systems take, on both sides
_BOUNDARY = re.compile(r"[0-9A-Za-z'+_.-]{1,70}")  # of what RFC 2046 allows, all that Content-Type takes unquoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of an uplink request: its name on the EM, and exactly how many bytes follow its head."""

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipart:
    """A body to send: for each file `head(index)` and then its bytes, after the last file `tail`.

    `length` is the exact total in bytes, files included, for Content-Length; `content_type` names the boundary.
    """

    content_type: str
    length: int
    tail: bytes
    heads: tuple[bytes, ...] = field(repr=False)

    def head(self, index: int) -> bytes:
        """The bytes before those of file `index`; the form fields are part of ``head(0)``."""
        return self.heads[index]


def multipart(fields: Mapping[str, str], parts: Sequence[Part], *, boundary: str) -> Multipart:
    """The body of one uplink request; `boundary` as from `new_boundary`.

    UnsafePathError for a name that the server would change, or a field that is not valid UTF-8. ValueError for no
    parts at all, a negative size or a boundary that HTTP does not allow.
    """
    if not parts:
        raise ValueError("an uplink needs at least one file")
    if not _BOUNDARY.fullmatch(boundary):
        raise ValueError("a boundary has 1 to 70 characters that a header takes unquoted")
    heads: list[bytes] = []
    for part in parts:
        if part.size < 0:
            raise ValueError(f"the size of {part.name!r} is negative")
        if problem := name_problem(part.name):
            raise UnsafePathError(f"{safe(part.name)}: {problem}", name=part.name, reason=problem)
        heads.append(_file_head(part.name, boundary))
    first = b"".join(_field(name, value, boundary) for name, value in fields.items())
    # the line break before a boundary belongs to the boundary; the first one has nothing before it
    heads[0] = (first + heads[0]).removeprefix(b"\r\n")
    tail = f"\r\n--{boundary}--\r\n".encode()
    return Multipart(
        content_type=f"multipart/form-data; boundary={boundary}",
        length=sum(map(len, heads)) + sum(part.size for part in parts) + len(tail),
        tail=tail,
        heads=tuple(heads),
    )


def part_overhead(name: str) -> int:
    """An upper bound, whatever the boundary, of the bytes that a file called `name` adds beside its own."""
    return len(_file_head("", "-" * 70)) + 2 * len(name.encode("utf-8", "surrogatepass"))


def new_boundary(rand: Callable[[int], bytes] = os.urandom) -> str:
    """A boundary of 128 random bits, so that no file holds it. `rand` gives that many random bytes."""
    return f"emasync-{rand(16).hex()}"


def arrival_name(name: str) -> str | None:
    """The name under which the server would store a part sent as `name`; None if it would drop the file silently.

    The EM API is built on Django, whose parser replaces HTML entities by characters, drops everything up to the last
    slash or backslash, and drops each character that is not printable.
    """
    base = html.unescape(name).rpartition("/")[2].rpartition("\\")[2]
    stored = base if base.isprintable() else "".join(char for char in base if char.isprintable())
    return None if stored in ("", ".", "..") else stored


def name_problem(name: str) -> str | None:
    """Why a file called `name` would not be stored under that name, as a message; None if it would."""
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "the name is not valid UTF-8"
    if length > _MAX_NAME_BYTES:
        return f"the name has {length} bytes in UTF-8, more than {_MAX_NAME_BYTES}"
    arrives = arrival_name(name)
    if arrives is None:
        return "the EM would drop a file of this name"
    return None if arrives == name else f"the EM would store it as {safe(arrives)}"


def _disposition(boundary: str, name: str) -> str:
    return f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'


def _file_head(name: str, boundary: str) -> bytes:
    disposition = f'{_disposition(boundary, _FILE_FIELD)}; filename="{_quoted(name)}"'
    return f"{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()


def _field(name: str, value: str, boundary: str) -> bytes:
    if not name.isprintable():
        raise ValueError(f"{name!r} is no name for a form field")
    try:
        return f"{_disposition(boundary, name)}\r\n\r\n{value}".encode()
    except UnicodeEncodeError:
        raise UnsafePathError(f"{name} is not valid UTF-8: {safe(value)}", name=value, reason="not UTF-8") from None


def _quoted(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
