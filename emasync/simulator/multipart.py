"""multipart/form-data as Django reads it: in pieces, forgiving, keeping base names only.

Pure: bytes in, events out, bounded memory. An unfinished last part is dropped without an error, as on the real server.
Must not import anything of the simulator.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

_MAX_HEADERS = 16 * 1024
_PARAM = re.compile(rb';\s*([\w!#$%&\'*+.^`|~-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.DOTALL)


class MultipartError(ValueError):
    """The body is not multipart/form-data with the boundary of its content type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartBegin:
    """A part starts. `filename` None: a plain field. An empty one: a file whose name the server does not keep."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartData:
    """The next bytes of the part."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEnd:
    """The part is complete."""


PartEvent = PartBegin | PartData | PartEnd


class MultipartParser:
    """Turns a body, fed in chunks, into events. Keeps at most one chunk plus 16 KiB in memory."""

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # so that the first boundary looks like the others
        self._state = "preamble"  # then: mark, headers, body ... end

    def feed(self, data: bytes) -> Iterator[PartEvent]:
        """The events that `data` completes; MultipartError when a part's header makes no sense."""
        self._buffer += data
        while (step := self._step()) is not None:
            yield from step

    def _step(self) -> list[PartEvent] | None:
        """One step through the buffer; None when it needs more bytes, or has come to the end."""
        match self._state:
            case "preamble" | "body":
                return self._seek_mark(inside=self._state == "body")
            case "mark":
                return self._after_mark()
            case "headers":
                return self._headers()
        self._buffer.clear()
        return None

    def _seek_mark(self, *, inside: bool) -> list[PartEvent] | None:
        at = self._buffer.find(self._mark)
        safe = at if at >= 0 else max(0, len(self._buffer) - len(self._mark) + 1)
        events: list[PartEvent] = []
        if inside and safe:
            with memoryview(self._buffer) as view:  # one copy, not two
                events.append(PartData(data=bytes(view[:safe])))
        del self._buffer[: safe if at < 0 else safe + len(self._mark)]
        if at >= 0:
            self._state = "mark"
            return [*events, PartEnd()] if inside else events
        return events or None

    def _after_mark(self) -> list[PartEvent] | None:
        if len(self._buffer) < 2:
            return None
        if self._buffer.startswith(b"--"):
            self._state = "end"
        elif self._buffer.startswith(b"\r\n"):
            self._state = "headers"
        else:
            raise MultipartError("unexpected bytes after a boundary")
        return []

    def _headers(self) -> list[PartEvent] | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEADERS:
                raise MultipartError("a part's headers do not end")
            return None
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        self._state = "body"
        return [_begin(lines)]


def _begin(lines: list[bytes]) -> PartBegin:
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            params = {key.lower(): _value(key, raw) for key, raw in _PARAM.findall(value)}
            if b"name" in params:
                filename = params.get(b"filename*", params.get(b"filename"))
                return PartBegin(name=params[b"name"], filename=None if filename is None else stored_name(filename))
    raise MultipartError("a part without a name")


def _value(key: bytes, raw: bytes) -> str:
    text = raw.strip().decode("utf-8", "replace")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].replace("\\\\", "\\").replace('\\"', '"')
    if key.endswith(b"*") and text.count("'") >= 2:
        charset, _, encoded = text.split("'", 2)
        try:
            text = unquote(encoded, encoding=charset or "utf-8", errors="replace")
        except (LookupError, UnicodeError):  # no such character set
            raise MultipartError("a parameter in an unknown character set") from None
    return text


def stored_name(filename: str) -> str:
    """The name under which Django stores a part's file; empty when nothing usable is left: the file is skipped."""
    name = html.unescape(filename)
    name = name.rsplit("/", 1)[-1].rsplit("\\", 1)[-1]
    name = "".join(char for char in name if char.isprintable())
    return "" if name in {"", ".", ".."} else name


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart/form-data content type; None for any other type."""
    kind, _, params = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        return None
    pairs = _PARAM.findall(b";" + params.encode("latin-1", "replace"))
    found = {key.lower(): _value(key, raw) for key, raw in pairs if key.lower() == b"boundary"}
    boundary = found.get(b"boundary")
    return boundary.encode("latin-1", "replace") if boundary else None
