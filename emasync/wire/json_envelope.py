"""The seed generation's downlink answer, a JSON envelope around base64, read while it arrives.

Owns: finding `content` in any legal JSON, and believing nothing else of it unchecked. May import config and errors.
Collects everything but the content (bounded) and lets the JSON parser judge that text at the end, so the scanner has
to be exact for valid JSON only. Does no I/O; never holds the content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from emasync.config import Limits
from emasync.errors import ProtocolError
from emasync.wire.base64_decoder import Base64Decoder
from emasync.wire.json_reply import parse_json

_METADATA_LIMIT = 64 * 1024  # bytes of all that is not content, white space included
_LONGEST_SIZE = 20  # digits: 2^64 has as many

_STRUCTURE = re.compile(rb'["{}\[\]:,]')
_STRING_STOP = re.compile(rb'["\\]')
_UNICODE_ESCAPE = re.compile(rb"\\u([0-9A-Fa-f]{4})")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMetadata:
    """What the server claims of a file; None where it claims nothing.

    `filename` is for showing (through `safe`), never a path. `size` in bytes; `sha256` as 64 lower-case hex digits.
    """

    filename: str | None = None
    size: int | None = None
    sha256: str | None = None


class EnvelopeReader:
    """Reads ``{"filename", "content", "size", "hash"}`` in any key order and spelling JSON allows.

    Line breaks written as escapes inside `content` (MIME style) are dropped; any other character that is not base64 is
    refused. Such escapes may take as many bytes as the file so far, and `limits.overrun` more: an answer of nothing
    else comes to an end. Holds at most 64 KiB, at any size of file. After an error the reader is of no further use.
    """

    __slots__ = ("_base64", "_cut", "_dropped", "_frame", "_given", "_overrun")

    def __init__(self, limits: Limits) -> None:
        self._frame = _JsonScanner(max_depth=limits.json_depth)
        self._base64 = Base64Decoder()
        self._overrun = limits.overrun
        self._given = 0  # bytes of the file so far
        self._dropped = 0  # bytes of content that stand for nothing
        self._cut = b""  # an escape inside content that the last piece ended in: at most five characters

    def feed(self, data: bytes) -> bytes:
        """The file's bytes that `data` completes, perhaps none. ProtocolError as soon as it cannot become right."""
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            if self._frame.in_content:
                closing = data.find(b'"', at)
                end = closing if closing >= 0 else len(data)
                pieces.append(self._content(data, at, end=end, closed=closing >= 0))
                at = end + 1
            else:
                at = self._frame.scan(data, at)
        return b"".join(pieces)

    def finish(self) -> ResponseMetadata:
        """What the envelope said beside the content; ProtocolError if it is incomplete or was never valid JSON."""
        fields = self._frame.parsed()
        return ResponseMetadata(
            filename=_filename(fields.get("filename")),
            size=_size(fields.get("size")),
            sha256=_sha256(fields.get("hash")),
        )

    def _content(self, data: bytes, start: int, *, end: int, closed: bool) -> bytes:
        piece: bytes | memoryview = memoryview(data)[start:end]
        if self._cut or data.find(b"\\", start, end) >= 0:
            piece = self._unescape(self._cut + piece, closed=closed)
        decoded = self._base64.feed(piece)
        self._given += len(decoded)
        if self._dropped > self._given + self._overrun:
            raise ProtocolError(f"the content is {self._dropped} bytes of line breaks to {self._given} bytes of file")
        if closed:
            self._base64.finish()
            self._frame.close_content()
        return decoded

    def _unescape(self, text: bytes, *, closed: bool) -> bytes:
        """`text` without JSON escapes; an escape that is cut off at its end waits for the next piece."""
        self._cut = b""
        if not closed:
            last = text.rfind(b"\\", max(0, len(text) - 5))
            if last >= 0 and text[last + 1 : last + 2] in (b"", b"u"):
                text, self._cut = text[:last], text[last:]
        # No base64 character is written as two backslashes. Without them every backslash starts an escape, so the
        # replacements below cannot misread one another's results; \u goes first, lest a dropped \n completes one.
        if b"\\\\" not in text:
            if b"\\u" in text:
                escaped, length = text.count(b"\\u"), len(text)
                text = _UNICODE_ESCAPE.sub(_unicode_char, text)
                self._dropped += 6 * (length - len(text) - 5 * escaped)  # six bytes became one, or none
            length = len(text)
            text = text.replace(b"\\n", b"").replace(b"\\r", b"")
            self._dropped += length - len(text)
            text = text.replace(b"\\/", b"/")
        if b"\\" in text:
            _refuse_escape()
        return text


class _JsonScanner:
    """The envelope's text with an empty content: where in the JSON we are, and what was collected."""

    __slots__ = (
        "_content_due",
        "_depth",
        "_escaped",
        "_key_at",
        "_last",
        "_max_depth",
        "_seen",
        "_string",
        "_text",
        "in_content",
    )

    def __init__(self, *, max_depth: int) -> None:
        self._max_depth = max_depth
        self._text = bytearray()
        self._depth = 0
        self._last = b""  # the last of { } [ ] : , seen outside strings
        self._string = False
        self._escaped = False
        self._key_at = -1  # where in the text the key being read began; -1 inside any other string
        self._content_due = False  # its key was read, its value was not
        self._seen = False
        self.in_content = False

    def scan(self, data: bytes, at: int) -> int:
        """Takes in `data` from `at` to the next point of interest; returns where to go on."""
        if self._escaped:
            self._escaped = False
            return self._keep(data, at, at + 1)
        found = (_STRING_STOP if self._string else _STRUCTURE).search(data, at)
        if found is None:
            return self._keep(data, at, len(data))
        end = self._keep(data, at, found.end())
        char = found.group()
        if not self._string:
            self._structure(char)
        elif char == b"\\":
            self._escaped = True
        else:
            self._string = False
            if self._key_at >= 0:
                self._content_due = _means_content(bytes(self._text[self._key_at :]))
        return end

    def close_content(self) -> None:
        """The quote that ends the content was met."""
        self._text += b'"'
        self.in_content = False

    def parsed(self) -> Mapping[str, Any]:
        """The whole envelope but its content, checked."""
        if self.in_content or self._string or self._depth:
            raise ProtocolError("the answer ends in the middle of the envelope")
        fields = parse_json(bytes(self._text))
        if not isinstance(fields, dict):
            raise ProtocolError("the answer is not a JSON object")
        if not self._seen:
            said = fields.get("message") or fields.get("error") or fields.get("detail")
            raise ProtocolError("the envelope has no content", detail=said if isinstance(said, str) else None)
        return fields

    def _keep(self, data: bytes, start: int, end: int) -> int:
        if len(self._text) + end - start > _METADATA_LIMIT:
            raise ProtocolError(f"the envelope has more than {_METADATA_LIMIT} bytes beside the content")
        self._text += data[start:end]
        return end

    def _structure(self, char: bytes) -> None:
        if not self._depth and (self._last or char != b"{"):
            raise ProtocolError("the answer is not one JSON object")
        if self._content_due and char != b":":
            if char != b'"':
                raise ProtocolError("the envelope's content is not a string")
            self._open_content()
        elif char == b'"':
            self._string = True
            self._key_at = len(self._text) - 1 if self._depth == 1 and self._last in (b"{", b",") else -1
        else:
            self._nest(char)
            self._last = char

    def _nest(self, char: bytes) -> None:
        if char in b"{[":
            self._depth += 1
            if self._depth > self._max_depth:
                raise ProtocolError(f"the envelope is nested deeper than {self._max_depth} levels")
        elif char in b"}]":
            self._depth -= 1

    def _open_content(self) -> None:
        if self._seen:
            raise ProtocolError("the envelope has two contents")
        self._seen = self.in_content = True
        self._content_due = False


def _means_content(key: bytes) -> bool:
    return parse_json(key) == "content" if b"\\" in key else key == b'"content"'


def _unicode_char(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16)
    if code in _BASE64:
        return bytes((code,))
    if code not in (0x0A, 0x0D):
        _refuse_escape()
    return b""


def _refuse_escape() -> NoReturn:
    raise ProtocolError("the content holds a JSON escape that stands for no base64 character")


def _filename(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or any("\ud800" <= char <= "\udfff" for char in value):
        raise ProtocolError("the envelope's filename is not a text")
    return value


def _size(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_SIZE:
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ProtocolError("the envelope's size is not a number of bytes")


def _sha256(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ProtocolError("the envelope's hash is not a SHA-256 in hex")
    return value.lower()
