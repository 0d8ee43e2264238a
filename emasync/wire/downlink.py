"""Decoding a downlink response, a JSON envelope or a raw body, and verifying the bytes that it gave.

The response's headers decide which of the two it is. A file name that a server sends is never used as a path. Does no
I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import unquote_to_bytes

from emasync.config import Limits
from emasync.errors import IntegrityError, ProtocolError
from emasync.model import Verified
from emasync.wire.json_envelope import EnvelopeDecoder, ResponseMetadata

__all__ = ["ResponseMetadata", "DownlinkDecoder", "EnvelopeDecoder", "RawDecoder", "open_decoder", "verify"]

_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)\s*', re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}")


class DownlinkDecoder(Protocol):
    """Turns the body of one response with status 200 into the bytes of the file."""

    def feed(self, data: bytes) -> bytes:
        """The bytes of the file that `data` completes, perhaps none; ProtocolError if the body is malformed."""
        ...

    def finish(self) -> ResponseMetadata:
        """The server's claims of the file; to be called at the end of the body. Raises if the body is incomplete."""
        ...


class RawDecoder:
    """The raw form of the later generations: the body is the file. `size` is its Content-Length in bytes."""

    __slots__ = ("_metadata", "_received")

    def __init__(self, *, size: int | None = None, filename: str | None = None) -> None:
        self._metadata = ResponseMetadata(size=size, filename=filename)
        self._received = 0

    def feed(self, data: bytes) -> bytes:
        """`data` itself."""
        self._received += len(data)
        return data

    def finish(self) -> ResponseMetadata:
        """The announced size and name; IntegrityError if another number of bytes came."""
        _require_equal(self._metadata.size, self._received, what="the announced size")
        return self._metadata


def open_decoder(headers: Mapping[str, str], limits: Limits) -> DownlinkDecoder:
    """The decoder for a response with status 200 and these headers (names in any case).

    JSON is the envelope, unless it is an attachment: then the file itself is JSON. ProtocolError for an HTML page (no
    EM sends a file as one) and for a compressed body, because none was asked for.
    """
    by_name = {name.lower(): value.strip() for name, value in headers.items()}
    if by_name.get("content-encoding", "").lower() not in ("", "identity"):
        raise ProtocolError("the answer is compressed, though that was not asked for")
    disposition = by_name.get("content-disposition", "")
    if disposition.partition(";")[0].strip().lower() != "attachment":
        media_type = by_name.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "application/json" or media_type.endswith("+json"):
            return EnvelopeDecoder(limits)
        if media_type in ("text/html", "application/xhtml+xml"):
            raise ProtocolError("the answer is an HTML page where a file should be; is the base URL that of an EM?")
    return RawDecoder(size=_content_length(by_name.get("content-length")), filename=_attachment_name(disposition))


def verify(  # noqa: PLR0913 - what arrived and what was listed, compared one by one
    claims: ResponseMetadata,
    *,
    size: int,
    sha256: str,
    listed_size: int | None,
    listed_tag: int | None,
    tag: int | None,
) -> Verified:
    """The strongest check that the received bytes passed; IntegrityError if they differ from any claim.

    `size` (bytes), `sha256` (hex) and `tag` are those of the received bytes; `tag` is None where it was not computed or
    this server's tags are not to be compared. `listed_size` and `listed_tag` come from a listing, None where unknown.
    """
    _require_equal(claims.size, size, what="the answer's size")
    _require_equal(listed_size, size, what="the listed size")
    _require_equal(claims.sha256, sha256.lower(), what="the answer's SHA-256")
    if tag is not None:
        _require_equal(listed_tag, tag, what="the listed content tag")
    if claims.sha256 is not None:
        return Verified.SHA256
    if tag is not None and listed_tag is not None:
        return Verified.TAG
    return Verified.NONE if claims.size is None and listed_size is None else Verified.SIZE


def _require_equal(expected: int | str | None, actual: int | str, *, what: str) -> None:
    if expected is not None and expected != actual:
        raise IntegrityError(
            f"the received file does not match {what}: expected {expected}, got {actual}",
            expected=str(expected),
            actual=str(actual),
        )


def _content_length(value: str | None) -> int | None:
    if value is None:
        return None
    if not _NUMBER.fullmatch(value):
        raise ProtocolError("the answer's Content-Length is not a number")
    return int(value)


def _attachment_name(disposition: str) -> str | None:
    """The name in a Content-Disposition (RFC 6266); ``filename*`` wins. None if there is none that can be read."""
    _, semicolon, rest = disposition.partition(";")
    rest = semicolon + rest
    parameters: dict[str, str] = {}
    while rest and (found := _PARAMETER.match(rest)):
        parameters.setdefault(found[1].lower(), found[2])
        rest = rest[found.end() :]
    name = _decode_extended(parameters.get("filename*", "")) or _unquoted(parameters.get("filename", ""))
    # header bytes that are not UTF-8 arrive as lone surrogates
    return name if not rest and name and not any("\ud800" <= char <= "\udfff" for char in name) else None


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _decode_extended(value: str) -> str | None:
    charset, _, quoted = value.partition("'")
    _, apostrophe, encoded = quoted.partition("'")
    if not apostrophe or charset.lower() not in ("utf-8", "iso-8859-1"):
        return None
    try:
        return unquote_to_bytes(encoded).decode(charset)
    except ValueError:
        return None
