"""Decoding the downlink response of the seed generation, a JSON envelope around base64, while it arrives.

`_JsonScanner` finds `content` in any legal JSON. It collects everything else (bounded), and the JSON parser validates
that text at the end, so the scanner must be exact for valid JSON only. Does no I/O; never holds the content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from emasync.config import Limits
from emasync.errors import ProtocolError
from emasync.wire.base64_decoder import Base64Decoder
from emasync.wire.json_parser import parse_json

_METADATA_LIMIT = 64 * 1024  # bytes of all but the content, white space included
_MAX_SIZE_DIGITS = 20  # as many as 2^64 has

_STRUCTURE = re.compile(rb'["{}\[\]:,]')
_STRING_STOP = re.compile(rb'["\\]')
_UNICODE_ESCAPE = re.compile(rb"\\u([0-9A-Fa-f]{4})")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMetadata:
    """What a downlink response claims of its file; None where it claims nothing.

    `filename` is for display (through `safe`), never a path. `size` in bytes; `sha256` as 64 lower-case hex digits.
    """

    filename: str | None = None
    size: int | None = None
    sha256: str | None = None


class EnvelopeDecoder:
    """Decodes ``{"filename", "content", "size", "hash"}`` in any key order and spelling that JSON allows.

    Line breaks that are written as escapes in `content` (MIME style) are dropped; any other character that is not
    base64 is an error. The dropped escapes may take as many bytes as the file so far, and `limits.overrun` more, so
    that a response of nothing else ends. Holds at most 64 KiB, at any size of file. Unusable after an error.
    """

    __slots__ = ("_base64", "_cut_escape", "_decoded_bytes", "_dropped_bytes", "_overrun", "_scanner")

    def __init__(self, limits: Limits) -> None:
        self._scanner = _JsonScanner(max_depth=limits.json_depth)
        self._base64 = Base64Decoder()
        self._overrun = limits.overrun
        self._decoded_bytes = 0  # of the file so far
        self._dropped_bytes = 0  # of content, that decode to nothing
        self._cut_escape = b""  # the beginning, at most five characters, of an escape that the last piece cut

    def feed(self, data: bytes) -> bytes:
        """The bytes of the file that `data` completes, perhaps none. ProtocolError as soon as the body is malformed."""
        pieces: list[bytes] = []
        position = 0
        while position < len(data):
            if self._scanner.in_content:
                closing = data.find(b'"', position)
                end = closing if closing >= 0 else len(data)
                pieces.append(self._content(data, position, end=end, closed=closing >= 0))
                position = end + 1
            else:
                position = self._scanner.scan(data, position)
        return b"".join(pieces)

    def finish(self) -> ResponseMetadata:
        """The envelope's other fields; ProtocolError if it is incomplete or was never valid JSON."""
        fields = self._scanner.parse()
        return ResponseMetadata(
            filename=_filename(fields.get("filename")),
            size=_size(fields.get("size")),
            sha256=_sha256(fields.get("hash")),
        )

    def _content(self, data: bytes, start: int, *, end: int, closed: bool) -> bytes:
        piece: bytes | memoryview = memoryview(data)[start:end]
        if self._cut_escape or data.find(b"\\", start, end) >= 0:
            piece = self._unescape(self._cut_escape + piece, closed=closed)
        decoded = self._base64.feed(piece)
        self._decoded_bytes += len(decoded)
        if self._dropped_bytes > self._decoded_bytes + self._overrun:
            raise ProtocolError(
                f"the content is {self._dropped_bytes} bytes of line breaks to {self._decoded_bytes} bytes of file"
            )
        if closed:
            self._base64.finish()
            self._scanner.close_content()
        return decoded

    def _unescape(self, text: bytes, *, closed: bool) -> bytes:
        """`text` without JSON escapes; an escape that is cut at its end is kept for the next piece."""
        self._cut_escape = b""
        if not closed:
            last = text.rfind(b"\\", max(0, len(text) - 5))
            if last >= 0 and text[last + 1 : last + 2] in (b"", b"u"):
                text, self._cut_escape = text[:last], text[last:]
        # No base64 character is written as two backslashes. Without them every backslash starts an escape, so the
        # replacements below cannot misread one another's results; \u goes first, lest a dropped \n completes one.
        if b"\\\\" not in text:
            if b"\\u" in text:
                escaped, length = text.count(b"\\u"), len(text)
                text = _UNICODE_ESCAPE.sub(_unicode_char, text)
                self._dropped_bytes += 6 * (length - len(text) - 5 * escaped)  # six bytes became one, or none
            length = len(text)
            text = text.replace(b"\\n", b"").replace(b"\\r", b"")
            self._dropped_bytes += length - len(text)
            text = text.replace(b"\\/", b"/")
        if b"\\" in text:
            _refuse_escape()
        return text


class _JsonScanner:
    """Follows the structure of the envelope, and collects its text with an empty content."""

    __slots__ = (
        "_content_expected",
        "_depth",
        "_escaped",
        "_has_content",
        "_in_string",
        "_key_start",
        "_last_token",
        "_max_depth",
        "_text",
        "in_content",
    )

    def __init__(self, *, max_depth: int) -> None:
        self._max_depth = max_depth
        self._text = bytearray()
        self._depth = 0
        self._last_token = b""  # the last of { } [ ] : , outside strings
        self._in_string = False
        self._escaped = False
        self._key_start = -1  # where the key that is being read begins in the text; -1 in any other string
        self._content_expected = False  # its key was read, its value has not begun
        self._has_content = False
        self.in_content = False

    def scan(self, data: bytes, position: int) -> int:
        """Scan `data` from `position` to the next character of the structure; returns where to go on."""
        if self._escaped:
            self._escaped = False
            return self._keep(data, position, position + 1)
        found = (_STRING_STOP if self._in_string else _STRUCTURE).search(data, position)
        if found is None:
            return self._keep(data, position, len(data))
        end = self._keep(data, position, found.end())
        char = found.group()
        if not self._in_string:
            self._process_structure(char)
        elif char == b"\\":
            self._escaped = True
        else:
            self._in_string = False
            if self._key_start >= 0:
                self._content_expected = _is_content_key(bytes(self._text[self._key_start :]))
        return end

    def close_content(self) -> None:
        """Go on after the quote that ends the content."""
        self._text += b'"'
        self.in_content = False

    def parse(self) -> Mapping[str, Any]:
        """All fields of the envelope, with an empty content; ProtocolError if it is incomplete or not valid."""
        if self.in_content or self._in_string or self._depth:
            raise ProtocolError("the answer ends in the middle of the envelope")
        fields = parse_json(bytes(self._text))
        if not isinstance(fields, dict):
            raise ProtocolError("the answer is not a JSON object")
        if not self._has_content:
            message = fields.get("message") or fields.get("error") or fields.get("detail")
            raise ProtocolError("the envelope has no content", detail=message if isinstance(message, str) else None)
        return fields

    def _keep(self, data: bytes, start: int, end: int) -> int:
        if len(self._text) + end - start > _METADATA_LIMIT:
            raise ProtocolError(f"the envelope has more than {_METADATA_LIMIT} bytes beside the content")
        self._text += data[start:end]
        return end

    def _process_structure(self, char: bytes) -> None:
        if not self._depth and (self._last_token or char != b"{"):
            raise ProtocolError("the answer is not one JSON object")
        if self._content_expected and char != b":":
            if char != b'"':
                raise ProtocolError("the envelope's content is not a string")
            self._open_content()
        elif char == b'"':
            self._in_string = True
            self._key_start = len(self._text) - 1 if self._depth == 1 and self._last_token in (b"{", b",") else -1
        else:
            self._update_depth(char)
            self._last_token = char

    def _update_depth(self, char: bytes) -> None:
        if char in b"{[":
            self._depth += 1
            if self._depth > self._max_depth:
                raise ProtocolError(f"the envelope is nested deeper than {self._max_depth} levels")
        elif char in b"}]":
            self._depth -= 1

    def _open_content(self) -> None:
        if self._has_content:
            raise ProtocolError("the envelope has two contents")
        self._has_content = self.in_content = True
        self._content_expected = False


def _is_content_key(key: bytes) -> bool:
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
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_SIZE_DIGITS:
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
