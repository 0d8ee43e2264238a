"""An answer whose body is still on the connection.

Owns: reading it in pieces, as JSON or as an error's few bytes, and what counts as a stall or a cut.
May import wire, config, model and errors, and aiohttp.
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
from emasync.errors import EMError, ProtocolError, TimedOutError, UnreachableError
from emasync.http.redaction import Secrets
from emasync.model import FileTree, safe
from emasync.wire.json_envelope import ResponseMetadata
from emasync.wire.json_parser import parse_text, utf8_decoder
from emasync.wire.listing import ListingParser
from emasync.wire.requests import ApiRequest
from emasync.wire.responses import check_success

_PIECE: Final = 64 * 1024  # bytes of an answer that are parsed before other tasks have their turn


@dataclass(slots=True)
class _Parsing:
    """The body of an answer as far as it was read: its bytes, their bound, and what its beginning looks like."""

    limit: int
    size: int = 0
    hint: str = ""


class Response:
    """A 2xx answer whose body is still on the connection; valid inside the `send` block only."""

    def __init__(
        self,
        call: ApiRequest,
        response: aiohttp.ClientResponse,
        *,
        timeouts: Timeouts,
        limits: Limits,
        secrets: Secrets,
        check_facts: Callable[[ResponseMetadata], None],
    ) -> None:
        self.call = call
        self.check_facts = check_facts
        """To be called with what a downlink's answer says of its file: UnreachableError if it is the answer to an
        earlier request."""
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._timeouts = timeouts
        self._limits = limits
        self._secrets = secrets
        self._moved = 0
        self._waited_s = 0.0

    async def receive(self) -> bytes:
        """The next piece of the body, up to a few 100 KiB; empty at its end. A stall, a drip or a cut raises; a body
        that is shorter than its Content-Length, or lacks its last chunk, is a cut."""
        clock = asyncio.get_running_loop().time
        began = clock()
        chunk = await self._read()
        self._moved += len(chunk)
        self._waited_s += clock() - began  # only waiting counts, not the time the reader takes for what it got
        if self._waited_s >= self._timeouts.low_speed_window_s:
            if chunk and self._moved < self._waited_s * self._timeouts.low_speed_bytes_s:
                raise self._stalled(f"only {self._moved} bytes in {self._waited_s:.0f} s")
            self._moved, self._waited_s = 0, 0.0
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
            self._secrets.learn_from(self.call, value)
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
                for start in range(0, len(chunk), _PIECE):
                    reader.feed(chunk[start : start + _PIECE])
                    await anyio.lowlevel.checkpoint()
            for tree in reader.finish():
                if tree is not None:
                    return tree
                await anyio.lowlevel.checkpoint()
        raise AssertionError("a listing is read to its end, or an error")

    async def _next(self, parsing: _Parsing) -> bytes:
        """`receive`, within the bound of what is parsed."""
        chunk = await self.receive()
        if not parsing.size and chunk[:64].lstrip()[:1] == b"<":
            parsing.hint = " (an HTML page: is the base URL right?)"
        parsing.size += len(chunk)
        if parsing.size > parsing.limit:
            raise ProtocolError(f"the answer is larger than {parsing.limit} bytes")
        return chunk

    @contextmanager
    def _parsing(self, limit: int) -> Iterator[_Parsing]:
        """The parsers' own errors say what is wrong with a text; here they also say with which."""
        parsing = _Parsing(limit=limit)
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise ProtocolError(f"{self.call}: the answer is compressed ({safe(encoding)}) although not asked to be")
        try:
            yield parsing
        except ProtocolError as error:
            said = f" ({safe(error.detail, limit=200)})" if error.detail else ""
            text = f"{self.call}: {error}{said}{parsing.hint}"
            raise ProtocolError(text, call=str(self.call), detail=error.detail) from None

    def _redacted(self, text: str, value: Any) -> Any:
        """`value`, which was parsed from `text`, without secrets."""
        return self._secrets.clean(value) if self._secrets.repeated_in(self.call, text) else value

    async def error_body(self) -> bytes:
        """Up to the limit of an error's body; what cannot be read of it is left out, the status says enough."""
        body = b""
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                while len(body) < self._limits.error_reply and (chunk := await self._read()):
                    body += chunk
        except (EMError, TimeoutError):
            pass
        return body[: self._limits.error_reply]

    async def _read(self) -> bytes:
        failure: EMError
        try:
            async with asyncio.timeout(self._timeouts.stall_s):
                return await self._response.content.readany()
        except TimeoutError:
            failure = self._stalled(f"nothing for {self._timeouts.stall_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            why = safe(reason_of(error), limit=200)
            failure = self._cut(why)
        except RuntimeError as error:  # aiohttp's stream, when its parser gave up the connection between two reads
            failure = self._cut(safe(str(error), limit=200))
        raise failure

    def _cut(self, why: str) -> UnreachableError:
        return UnreachableError(f"{self.call}: the answer was cut: {why}", call=str(self.call), sent=True)

    def _stalled(self, what: str) -> TimedOutError:
        return TimedOutError(
            f"{self.call}: the answer stalled: {what}", call=str(self.call), phase="receive", sent=True
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
