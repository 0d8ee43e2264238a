"""An answer whose body is still on the connection.

Owns: reading it in pieces, as JSON or as an error's few bytes, and what counts as a stall or a cut.
May import wire, config, model and errors, and aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

from emasync.config import Limits, Timeouts
from emasync.errors import EMError, ProtocolError, TimedOutError, UnreachableError
from emasync.model import safe
from emasync.transport.secrets import Secrets
from emasync.wire.calls import Call
from emasync.wire.json_reply import Shrink, parse_text, utf8_decoder
from emasync.wire.replies import check_success


class Reply:
    """A 2xx answer whose body is still on the connection; valid inside the `send` block only."""

    def __init__(
        self,
        call: Call,
        response: aiohttp.ClientResponse,
        *,
        timeouts: Timeouts,
        limits: Limits,
        secrets: Secrets,
    ) -> None:
        self.call = call
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

    async def json(self, *, shrink: Shrink | None = None) -> Any:
        """The whole body as strict JSON, without the password or tokens it may repeat. ProtocolError when it is not
        JSON (an HTML page with 200), too large, or carries an ``error`` although the status is 200.

        `shrink` says what to keep of each object (as it is where it repeats a secret), so that a large answer takes
        less memory than all of its objects would.
        """
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise ProtocolError(f"{self.call}: the answer is compressed ({safe(encoding)}) although not asked to be")
        decode = utf8_decoder()
        text, hint, size = "", "", 0
        try:
            while chunk := await self.receive():
                if not size and chunk[:64].lstrip()[:1] == b"<":
                    hint = " (an HTML page: is the base URL right?)"
                size += len(chunk)
                if size > self._limits.json_reply:
                    raise ProtocolError(f"the answer is larger than {self._limits.json_reply} bytes")
                text += decode(chunk)  # grows in place: a listing of very many files is never in memory twice
            text += decode(b"", final=True)
            tells = self._secrets.repeated_in(self.call, text)
            value = parse_text(text, shrink=None if tells else shrink)
            self._secrets.learn_from(self.call, value)
            value = self._secrets.clean(value) if tells else value
            check_success(value)
            return value
        except ProtocolError as error:
            said = f" ({safe(error.detail, limit=200)})" if error.detail else ""
            text = f"{self.call}: {error}{said}{hint}"
            raise ProtocolError(text, call=str(self.call), detail=error.detail) from None

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
