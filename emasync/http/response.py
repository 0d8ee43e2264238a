"""A response whose body is still on the connection: read in chunks, as JSON, as a listing or as a file.

What counts as a stall or a cut is decided here. Must not import transport, auth or pipeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import anyio.lowlevel

from emasync.config import Limits, Timeouts
from emasync.errors import EMError, IntegrityError, ProtocolError, TimedOutError, UnreachableError
from emasync.http.redaction import Redactor
from emasync.model import FileTree, safe
from emasync.wire.downlink import ResponseMetadata, open_decoder, verify
from emasync.wire.json_parser import parse_text, utf8_decoder
from emasync.wire.listing import ListingParser
from emasync.wire.requests import ApiRequest
from emasync.wire.responses import check_success

_SLICE: Final = 64 * 1024  # bytes of a listing that are parsed before other tasks run


@dataclass(slots=True)
class _Parsing:
    """A body as far as it was read: its bytes, their limit, and what its beginning looks like."""

    limit: int
    size: int = 0
    hint: str = ""


class Response:
    """A 2xx response whose body is still on the connection; valid inside the block that it was opened by only."""

    def __init__(  # noqa: PLR0913 - what the transport knows of the response
        self,
        request: ApiRequest,
        response: aiohttp.ClientResponse,
        *,
        timeouts: Timeouts,
        limits: Limits,
        redactor: Redactor,
        check_facts: Callable[[ResponseMetadata], None],
    ) -> None:
        self.request = request
        self.check_facts = check_facts
        """To be called with what a downlink's response claims of its file: UnreachableError if it is the response to an
        earlier request."""
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._timeouts = timeouts
        self._limits = limits
        self._redactor = redactor
        self._received = 0
        self._waited_s = 0.0

    async def receive(self) -> bytes:
        """The next chunk of the body, up to a few 100 KiB; empty at its end.

        TimedOutError for a body that stalls or drips, UnreachableError for one that is cut: shorter than its
        Content-Length, or without its last chunk.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        failure: EMError | None = None
        try:
            async with asyncio.timeout(self._timeouts.stall_s):
                chunk = await self._response.content.readany()
        except TimeoutError:
            failure = self._stalled(f"nothing for {self._timeouts.stall_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            failure = self._cut(reason_of(error))
        except RuntimeError as error:  # aiohttp's stream, when its parser gave up the connection between two reads
            failure = self._cut(str(error))
        if failure is not None:
            raise failure  # outside of the handlers: aiohttp's own exceptions carry the Authorization header
        self._received += len(chunk)
        self._waited_s += clock() - began  # only waiting counts, not the time that the reader takes
        if self._waited_s >= self._timeouts.low_speed_window_s:
            if chunk and self._received < self._waited_s * self._timeouts.low_speed_bytes_s:
                raise self._stalled(f"only {self._received} bytes in {self._waited_s:.0f} s")
            self._received, self._waited_s = 0, 0.0
        return chunk

    async def json(self) -> Any:
        """The whole body as strict JSON, without the password or tokens it may repeat. ProtocolError when it is not
        JSON (an HTML page with 200), larger than `Limits.json_reply`, or carries an ``error`` although the status is
        200. At that size it is parsed in some ten milliseconds, and in a few tens of MiB at worst."""
        decode, text = utf8_decoder(), ""
        with self._parsing(self._limits.json_reply) as parsing:
            while chunk := await self._next(parsing):
                text += decode(chunk)
            text += decode(b"", final=True)
            value = parse_text(text)
            self._redactor.register_response(self.request, value)
            value = self._redacted(text, value)
            check_success(value)
            return value

    async def listing(self, *, only: Collection[str] | None = None) -> FileTree:
        """The whole body as a listing, parsed while it arrives, without the password or tokens it may repeat: other
        tasks and signal handlers run between two pieces. ProtocolError as for `json`, with `Limits.listing_reply`.
        With `only`, just these files of it are kept, and all folders."""
        reader = ListingParser(self._limits, only=only, redact=self._redacted)
        with self._parsing(self._limits.listing_reply) as parsing:
            while chunk := await self._next(parsing):
                for start in range(0, len(chunk), _SLICE):
                    reader.feed(chunk[start : start + _SLICE])
                    await anyio.lowlevel.checkpoint()
            for tree in reader.finish():
                if tree is not None:
                    return tree
                await anyio.lowlevel.checkpoint()
        raise AssertionError("a listing is read to its end, or an error")

    async def _next(self, parsing: _Parsing) -> bytes:
        """`receive`, within the limit of what is parsed."""
        chunk = await self.receive()
        if not parsing.size and chunk[:64].lstrip()[:1] == b"<":
            parsing.hint = " (an HTML page: is the base URL right?)"
        parsing.size += len(chunk)
        if parsing.size > parsing.limit:
            raise ProtocolError(f"the answer is larger than {parsing.limit} bytes")
        return chunk

    @contextmanager
    def _parsing(self, limit: int) -> Iterator[_Parsing]:
        """Has the parsers' errors name the request whose response they are about."""
        parsing = _Parsing(limit=limit)
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise ProtocolError(f"{self.request}: the answer is compressed ({safe(encoding)}) although not asked to be")
        try:
            yield parsing
        except ProtocolError as error:
            said = f" ({safe(error.detail, limit=200)})" if error.detail else ""
            text = f"{self.request}: {error}{said}{parsing.hint}"
            raise ProtocolError(text, call=str(self.request), detail=error.detail) from None

    def _redacted(self, text: str, value: Any) -> Any:
        """`value`, which was parsed from `text`, without secrets."""
        return self._redactor.redact(value) if self._redactor.is_repeated_in(self.request, text) else value

    async def error_body(self) -> bytes:
        """The body of an error, up to its limit; what cannot be read is left out, since the status says enough."""
        body = b""
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                while len(body) < self._limits.error_reply and (chunk := await self.receive()):
                    body += chunk
        except (EMError, TimeoutError):
            pass
        return body[: self._limits.error_reply]

    def _cut(self, why: str) -> UnreachableError:
        return UnreachableError(
            f"{self.request}: the answer was cut: {safe(why, limit=200)}", call=str(self.request), sent=True
        )

    def _stalled(self, what: str) -> TimedOutError:
        return TimedOutError(
            f"{self.request}: the answer stalled: {what}", call=str(self.request), phase="receive", sent=True
        )


class FileContent:
    """The decoded bytes of one downlink, as they arrive. After the end `facts` are the server's claims (size, SHA-256)
    and `size` is what came. Only the form of the body is verified: that it is whole and well-formed.

    `expected_size` (from a listing) bounds it: IntegrityError once it runs past that by more than `Limits.overrun`.
    Without it, it may be of any size; what is held beside the file's bytes is bounded in any case (`EnvelopeDecoder`).
    """

    __slots__ = ("_bound", "_decoder", "_response", "facts", "size")

    def __init__(self, response: Response, limits: Limits, *, expected_size: int | None = None) -> None:
        self._response = response
        self._decoder = open_decoder(response.headers, limits)
        self._bound = None if expected_size is None else expected_size + limits.overrun
        self.size: int = 0
        self.facts: ResponseMetadata = ResponseMetadata()

    async def receive(self) -> bytes:
        """The next chunk of the file, never empty before the end; then empty, and `facts` are known."""
        while chunk := await self._response.receive():
            if data := self._decoder.feed(chunk):
                self.size += len(data)
                if self._bound is not None and self.size > self._bound:
                    raise self._overrun(self._bound)
                return data
        self.facts = self._decoder.finish()
        self._response.check_facts(self.facts)
        return b""

    def verify(self, sha256: str) -> None:
        """Compare what came, of this SHA-256 (hex), with the server's claims; IntegrityError if they differ."""
        verify(self.facts, size=self.size, sha256=sha256, listed_size=None, listed_tag=None, tag=None)

    def _overrun(self, bound: int) -> IntegrityError:
        request = self._response.request
        return IntegrityError(
            f"{request} ({request.subject}): the answer runs past {bound} bytes, more than the listed size allows",
            expected=f"at most {bound}",
            actual=f"more than {self.size}",
        )


def reason_of(error: BaseException) -> str:
    """What an exception of aiohttp says, without the request it carries."""
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        return str(error.os_error.strerror)
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return str(error) or type(error).__name__
