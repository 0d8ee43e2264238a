"""A downlink answer in either of its forms behind one reader, and the proof of what it gave.

Owns: telling the JSON envelope from the raw stream by the response's headers, and comparing claims with facts.
May import model, config and errors. Knows nothing of sockets or disks, and never makes a path of a server's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import unquote_to_bytes

from emasync.config import Limits
from emasync.errors import IntegrityError, ProtocolError
from emasync.model import Verified
from emasync.wire.json_envelope import EnvelopeReader, ResponseMetadata

__all__ = ["ResponseMetadata", "DownlinkReader", "EnvelopeReader", "RawReader", "open_reader", "verify"]

_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)\s*', re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}")


class DownlinkReader(Protocol):
    """Turns the body of one 200 into the bytes of the file."""

    def feed(self, data: bytes) -> bytes:
        """The file's bytes that `data` completes, perhaps none; ProtocolError if the body is not what it should be."""
        ...

    def finish(self) -> ResponseMetadata:
        """To be called at the end of the body: what the server claims of the file. Raises if the body is not whole."""
        ...


class RawReader:
    """The later generations' form: the body is the file. `size` is what Content-Length promised, in bytes."""

    __slots__ = ("_facts", "_received")

    def __init__(self, *, size: int | None = None, filename: str | None = None) -> None:
        self._facts = ResponseMetadata(size=size, filename=filename)
        self._received = 0

    def feed(self, data: bytes) -> bytes:
        """`data` itself."""
        self._received += len(data)
        return data

    def finish(self) -> ResponseMetadata:
        """Size and name as announced; IntegrityError if another number of bytes came."""
        _same(self._facts.size, self._received, what="the announced size")
        return self._facts


def open_reader(headers: Mapping[str, str], limits: Limits) -> DownlinkReader:
    """The reader for an answer of status 200 with these headers (names in any case).

    JSON is the envelope, unless it is an attachment: then it is a file that happens to be JSON. ProtocolError for an
    HTML page (which no EM sends for a file) and for a compressed body, neither of which was asked for.
    """
    known = {name.lower(): value.strip() for name, value in headers.items()}
    if known.get("content-encoding", "").lower() not in ("", "identity"):
        raise ProtocolError("the answer is compressed, though that was not asked for")
    disposition = known.get("content-disposition", "")
    if disposition.partition(";")[0].strip().lower() != "attachment":
        media_type = known.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "application/json" or media_type.endswith("+json"):
            return EnvelopeReader(limits)
        if media_type in ("text/html", "application/xhtml+xml"):
            raise ProtocolError("the answer is an HTML page where a file should be; is the base URL that of an EM?")
    return RawReader(size=_content_length(known.get("content-length")), filename=_attachment_name(disposition))


def verify(  # noqa: PLR0913 - what arrived and what was listed, compared one by one
    facts: ResponseMetadata,
    *,
    size: int,
    sha256: str,
    listed_size: int | None,
    listed_tag: int | None,
    tag: int | None,
) -> Verified:
    """The strongest proof that the received bytes are the file; IntegrityError if any claim contradicts them.

    `size` (bytes), `sha256` (hex) and `tag` are of the bytes that arrived; `tag` is None where it was not computed or
    is not to be trusted on this server. `listed_size` and `listed_tag` come from a listing, None where unknown.
    """
    _same(facts.size, size, what="the answer's size")
    _same(listed_size, size, what="the listed size")
    _same(facts.sha256, sha256.lower(), what="the answer's SHA-256")
    if tag is not None:
        _same(listed_tag, tag, what="the listed content tag")
    if facts.sha256 is not None:
        return Verified.SHA256
    if tag is not None and listed_tag is not None:
        return Verified.TAG
    return Verified.NONE if facts.size is None and listed_size is None else Verified.SIZE


def _same(expected: int | str | None, actual: int | str, *, what: str) -> None:
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
    name = _extended(parameters.get("filename*", "")) or _plain(parameters.get("filename", ""))
    # header bytes that are not UTF-8 reach us as lone surrogates
    return name if not rest and name and not any("\ud800" <= char <= "\udfff" for char in name) else None


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _extended(value: str) -> str | None:
    charset, _, quoted = value.partition("'")
    _, apostrophe, encoded = quoted.partition("'")
    if not apostrophe or charset.lower() not in ("utf-8", "iso-8859-1"):
        return None
    try:
        return unquote_to_bytes(encoded).decode(charset)
    except ValueError:
        return None
