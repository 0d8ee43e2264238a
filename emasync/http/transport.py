"""One request out, one answer in, over one session.

Owns: how a `ApiRequest` becomes a request, and the border where aiohttp's exceptions become ours.
May import wire, config, model and errors, and aiohttp.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType

import aiohttp
import anyio
from yarl import URL

from emasync._version import __version__
from emasync.config import Limits, Timeouts
from emasync.errors import EMError, ProtocolError, TimedOutError, UnreachableError, is_out_of_files
from emasync.http.base_url import check_base_url, is_exposed
from emasync.http.certificate import refused_because
from emasync.http.connector import DownlinkConnector, Use, trace_reuse
from emasync.http.redaction import Secrets
from emasync.http.response import Response, reason_of
from emasync.http.stale import StaleAnswers
from emasync.http.upload import Body, Upload
from emasync.model import safe
from emasync.wire.error_mapping import error_for_response, scrub
from emasync.wire.requests import ApiRequest

_NOT_WHOLE = (204, 205, 206)  # no body, or a part of one: what nobody asked for must not pass for a whole answer
_log = logging.getLogger("emasync")
_IDLE_S = 1.5  # servers of this API close idle connections after 2 s or more; ours are gone before


class Transport:
    """One `aiohttp.ClientSession` to one base URL; use it as an async context manager.

    A session that is handed in is used as it is and not closed; its connector then decides about connection reuse.
    Our own reuses a connection for downlinks only, keeps no cookies and reads neither proxies nor netrc from the
    environment. `requests` counts what was sent.

    aiohttp bounds what it keeps of an answer's head: 8 KiB a line, 128 fields. Any number of 1xx answers, extensions of
    chunks and trailers pass within the time-out of the answer or of a stall, and are not kept.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeouts: Timeouts,
        limits: Limits,
        session: aiohttp.ClientSession | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.base_url = check_base_url(base_url)
        self.requests = 0
        self._timeouts = timeouts
        self._limits = limits
        self._session = session
        self._owned = session is None
        self._secrets = Secrets()
        self._connector: DownlinkConnector | None = None
        self._stale = StaleAnswers()
        self._ssl: ssl.SSLContext | bool = ssl_context if ssl_context is not None else True

    async def __aenter__(self) -> Transport:
        if is_exposed(self.base_url):
            host = safe(self.base_url.host)
            _log.warning("http:// to %s is not encrypted: everybody on the way can read the password; use https", host)
        if self._session is None:
            self._connector = DownlinkConnector(limit=0, keepalive_timeout=_IDLE_S)
            self._session = aiohttp.ClientSession(
                connector=self._connector,
                trace_configs=[trace_reuse()],
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
            )
            # aiohttp would send a GET again by itself when a pooled connection breaks: past the gate, and uncounted.
            self._session._retry_connection = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None and self._owned:
            with anyio.CancelScope(shield=True):
                await session.close()

    @asynccontextmanager
    async def send(
        self, call: ApiRequest, *, token: str | None = None, body: Body | None = None
    ) -> AsyncIterator[Response]:
        """Send `call` once and yield its 2xx answer; any other answer raises its error before the block is entered.

        Leaving the block early drops the connection. UnreachableError and TimedOutError say whether the request may
        have arrived. An error raised by `body` itself passes through. Cancellation ends the connection at once and
        returns when the body has been closed.
        """
        if self._session is None:
            raise RuntimeError("the Client is closed; use it inside `async with Client(...) as em:`")
        secrets = self._secrets.of(call, token)
        upload = Upload(body, self._timeouts, long=call.long) if body is not None else None
        response: aiohttp.ClientResponse | None = None
        use = Use()
        try:
            response = await self._request(call, token, upload, secrets, use)
            reply = Response(
                call,
                response,
                timeouts=self._timeouts,
                limits=self._limits,
                secrets=self._secrets,
                check_facts=partial(self._stale.check, call, reused=use.reused, connector=self._connector),
            )
            if not 200 <= response.status < 300 or response.status in _NOT_WHOLE:
                headers = {name.lower(): value for name, value in response.headers.items()}
                raise error_for_response(
                    call, response.status, headers=headers, body=await reply.error_body(), secrets=secrets
                )
            if upload is not None and upload.sent < upload.size:
                raise ProtocolError(
                    f"{call}: the server answered {response.status} after {upload.sent} of {upload.size} bytes",
                    call=str(call),
                )
            yield reply
        except EMError as error:
            self._secrets.redact(error)
            raise
        finally:
            if response is not None:
                response.close() if not response.content.at_eof() else response.release()
            if upload is not None:
                with anyio.CancelScope(shield=True):
                    await upload.settled()

    async def _request(
        self, call: ApiRequest, token: str | None, upload: Upload | None, secrets: Sequence[str], use: Use
    ) -> aiohttp.ClientResponse:
        assert self._session is not None
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"emasync/{__version__}"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        failure: BaseException
        self.requests += 1
        allowed = self._timeouts.long_answer_s if call.long else self._timeouts.answer_s
        scope = asyncio.timeout(self._timeouts.connect_s + (self._timeouts.stall_s if upload else allowed))
        try:
            async with scope:
                if upload is not None:
                    upload.scope = scope
                return await self._session.request(
                    call.method,
                    self.base_url.join(URL(call.path)),
                    params=dict(call.query),
                    headers=headers,
                    data=upload if upload is not None else (dict(call.form) if call.form is not None else None),
                    json=dict(call.json) if call.json is not None else None,
                    allow_redirects=False,
                    raise_for_status=False,
                    ssl=self._ssl,
                    trace_request_ctx=use,
                    timeout=aiohttp.ClientTimeout(
                        total=None, connect=self._timeouts.connect_s, sock_connect=self._timeouts.connect_s
                    ),
                )
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            own = upload.failure if upload is not None else None
            failure = own or self._mapped(call, error, upload, allowed, secrets)
        finally:
            if upload is not None:
                upload.scope = None  # an early answer ends it while the body is still being written
        raise failure  # outside the handler: aiohttp's own exceptions carry the Authorization header

    def save_files(self) -> None:
        """Close connections that wait for a next call, and keep hardly any: open files have run short. A session that
        was handed in is left alone."""
        if self._owned and self._connector is not None:
            self._connector.save_files()

    def _mapped(
        self, call: ApiRequest, error: BaseException, upload: Upload | None, allowed: float, secrets: Sequence[str]
    ) -> EMError:
        where = f"{self.base_url.host}:{self.base_url.port}"
        why = safe(scrub(reason_of(error), secrets), limit=200)
        sent = upload.sent > 0 if upload is not None else True
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return TimedOutError(
                f"{call}: no connection to {where} in {self._timeouts.connect_s:g} s; check the URL and the network",
                call=str(call),
                phase="connect",
            )
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = safe(scrub(refused_because(error.certificate_error), secrets))
            return UnreachableError(f"{call}: no connection to {where}: {why}", call=str(call), permanent=True)
        if is_out_of_files(error):
            self.save_files()
            return UnreachableError(
                f"{call}: no connection to {where}: {why}; this process may open more after `ulimit -n`",
                call=str(call),
                errno=error.errno if isinstance(error, OSError) else None,
            )
        if isinstance(error, aiohttp.ClientConnectorError):
            return UnreachableError(
                f"{call}: cannot connect to {where}: {why}; check the URL, and that the EM is reserved and up",
                call=str(call),
            )
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
            if upload is not None and not upload.complete:
                return TimedOutError(
                    f"{call}: the server took no more data after {upload.sent} of {upload.size} bytes",
                    call=str(call),
                    phase="send",
                    sent=sent,
                )
            return TimedOutError(f"{call}: no answer within {allowed:g} s", call=str(call), phase="answer", sent=True)
        if isinstance(error, aiohttp.ClientResponseError):
            return ProtocolError(f"{call}: the answer is not HTTP: {why}", call=str(call))
        return UnreachableError(f"{call}: the connection to {where} broke: {why}", call=str(call), sent=sent)
