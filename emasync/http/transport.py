"""Sends one request to the EM's base URL and yields its response, over one `aiohttp.ClientSession`.

Here an `ApiRequest` becomes an HTTP request, and every exception of aiohttp becomes one of ours. Knows nothing of token
lifetimes, retries or files. Must not import auth, retry, limiter or pipeline.
"""

from __future__ import annotations

import asyncio
import ipaddress
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
from emasync.http.connector import (
    ConnectionUse,
    DownlinkConnector,
    StaleResponses,
    disable_silent_retry,
    trace_reuse,
)
from emasync.http.redaction import Redactor
from emasync.http.response import Response, reason_of
from emasync.http.upload import Body, Upload
from emasync.model import safe
from emasync.wire.error_mapping import error_for_response, scrub
from emasync.wire.requests import ApiRequest

_NOT_WHOLE = (204, 205, 206)  # no body or a part of one, which nobody asked for and must not pass for a whole one
_log = logging.getLogger("emasync")
_IDLE_S = 1.5  # servers of this API close idle connections after 2 s or more; we close ours before
_PRIVATE_NAMES = (".localhost", ".local", ".lan", ".internal", ".home.arpa", ".test")
_UNKNOWN = (
    "if this EM has an authority of its own, trust that: --ca FILE.pem, or in Python "
    "ssl_context=ssl.create_default_context(cafile='FILE.pem')"
)
_ADVICE = {  # by the codes of OpenSSL (X509_V_ERR_...)
    9: "it is not valid yet: check the clock of this machine",
    10: "whoever runs the EM must renew it; check the clock of this machine, too",
    18: _UNKNOWN,
    19: _UNKNOWN,
    20: _UNKNOWN,
    21: _UNKNOWN,
    62: "put the name that the certificate was made for into the base URL",
    64: "put the name that the certificate was made for into the base URL",
}


class Transport:
    """One `aiohttp.ClientSession` to one base URL; use it as an async context manager.

    A session that is passed in is used as it is and not closed; its connector then decides about connection reuse.
    Our own reuses connections for downlinks only, keeps no cookies and reads neither proxies nor netrc from the
    environment.

    aiohttp bounds what it keeps of a response's head: 8 KiB a line, 128 fields. Any number of 1xx responses, chunk
    extensions and trailers pass within the time-out of the response or of a stall, and are not kept.
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
        self.base_url: URL = check_base_url(base_url)
        self._timeouts = timeouts
        self._limits = limits
        self._session = session
        self._owned = session is None
        self._redactor = Redactor()
        self._connector: DownlinkConnector | None = None
        self._stale_responses = StaleResponses()
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
            disable_silent_retry(self._session)
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
        self, request: ApiRequest, *, token: str | None = None, body: Body | None = None
    ) -> AsyncIterator[Response]:
        """Send `request` once and yield its 2xx response; any other response raises its error before the block begins.

        Leaving the block early drops the connection. UnreachableError and TimedOutError tell whether the request may
        have arrived. An error raised by `body` itself passes through. Cancellation ends the connection at once and
        returns when the body has been closed.
        """
        if self._session is None:
            raise RuntimeError("the Client is closed; use it inside `async with Client(...) as em:`")
        secrets = self._redactor.register(request, token)
        upload = Upload(body, self._timeouts, long=request.long) if body is not None else None
        http: aiohttp.ClientResponse | None = None
        use = ConnectionUse()
        try:
            http = await self._request(request, token, upload, secrets, use)
            response = self._response(request, http, use)
            if not 200 <= http.status < 300 or http.status in _NOT_WHOLE:
                headers = {name.lower(): value for name, value in http.headers.items()}
                raise error_for_response(
                    request, http.status, headers=headers, body=await response.error_body(), secrets=secrets
                )
            if upload is not None and upload.sent < upload.size:
                raise ProtocolError(
                    f"{request}: the server answered {http.status} after {upload.sent} of {upload.size} bytes",
                    call=str(request),
                )
            yield response
        except EMError as error:
            self._redactor.redact_error(error)
            raise
        finally:
            if http is not None:
                http.close() if not http.content.at_eof() else http.release()
            if upload is not None:
                with anyio.CancelScope(shield=True):
                    await upload.wait_closed()

    def _response(self, request: ApiRequest, http: aiohttp.ClientResponse, use: ConnectionUse) -> Response:
        check = self._stale_responses.check
        return Response(
            request,
            http,
            timeouts=self._timeouts,
            limits=self._limits,
            redactor=self._redactor,
            check_facts=partial(check, request, reused=use.reused, connector=self._connector),
        )

    async def _request(
        self, request: ApiRequest, token: str | None, upload: Upload | None, secrets: Sequence[str], use: ConnectionUse
    ) -> aiohttp.ClientResponse:
        assert self._session is not None
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"emasync/{__version__}"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        failure: BaseException
        allowed = self._timeouts.long_answer_s if request.long else self._timeouts.answer_s
        scope = asyncio.timeout(self._timeouts.connect_s + (self._timeouts.stall_s if upload else allowed))
        try:
            async with scope:
                if upload is not None:
                    upload.scope = scope
                return await self._session.request(
                    request.method,
                    self.base_url.join(URL(request.path)),
                    params=dict(request.query),
                    headers=headers,
                    data=upload if upload is not None else (dict(request.form) if request.form is not None else None),
                    json=dict(request.json) if request.json is not None else None,
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
            failure = own or self._error_of(request, error, upload, allowed, secrets)
        finally:
            if upload is not None:
                upload.scope = None  # an early answer ends it while the body is still being written
        raise failure  # outside the handler: aiohttp's own exceptions carry the Authorization header

    def close_idle_connections(self) -> None:
        """Close the connections that wait for a next request, and keep hardly any: open files have run short. Has no
        effect on a session that was passed in."""
        if self._owned and self._connector is not None:
            self._connector.close_idle()

    def _error_of(
        self, request: ApiRequest, error: BaseException, upload: Upload | None, allowed: float, secrets: Sequence[str]
    ) -> EMError:
        """The error of ours that an exception of aiohttp, of a socket or of a time-out becomes."""
        where = f"{self.base_url.host}:{self.base_url.port}"
        why = safe(scrub(reason_of(error), secrets), limit=200)
        sent = upload.sent > 0 if upload is not None else True
        if (unconnected := self._connection_error(request, error, where, secrets)) is not None:
            return unconnected
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
            if upload is not None and not upload.complete:
                return TimedOutError(
                    f"{request}: the server took no more data after {upload.sent} of {upload.size} bytes",
                    call=str(request),
                    phase="send",
                    sent=sent,
                )
            return TimedOutError(
                f"{request}: no answer within {allowed:g} s", call=str(request), phase="answer", sent=True
            )
        if isinstance(error, aiohttp.ClientResponseError):
            return ProtocolError(f"{request}: the answer is not HTTP: {why}", call=str(request))
        return UnreachableError(f"{request}: the connection to {where} broke: {why}", call=str(request), sent=sent)

    def _connection_error(
        self, request: ApiRequest, error: BaseException, where: str, secrets: Sequence[str]
    ) -> EMError | None:
        """What `error` becomes if there was no connection, else None."""
        why = safe(scrub(reason_of(error), secrets), limit=200)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return TimedOutError(
                f"{request}: no connection to {where} in {self._timeouts.connect_s:g} s; check the URL and the network",
                call=str(request),
                phase="connect",
            )
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = safe(scrub(certificate_advice(error.certificate_error), secrets))
            return UnreachableError(f"{request}: no connection to {where}: {why}", call=str(request), permanent=True)
        if is_out_of_files(error):
            self.close_idle_connections()
            return UnreachableError(
                f"{request}: no connection to {where}: {why}; this process may open more after `ulimit -n`",
                call=str(request),
                errno=error.errno if isinstance(error, OSError) else None,
            )
        if isinstance(error, aiohttp.ClientConnectorError):
            return UnreachableError(
                f"{request}: cannot connect to {where}: {why}; check the URL, and that the EM is reserved and up",
                call=str(request),
            )
        return None


def check_base_url(text: str) -> URL:
    """The base URL with one trailing slash. ValueError for what cannot be one, or for credentials inside it."""
    try:
        url = URL(text.strip())
    except (ValueError, TypeError):
        raise ValueError("the base URL cannot be read; it looks like https://em.example.com/") from None
    if url.user is not None or url.password is not None:
        raise ValueError(
            "the base URL must not hold a user name or password: they would end up in logs; pass them apart"
        )
    if url.scheme not in ("http", "https") or not url.host:
        shown = "" if "@" in text else f" {text!r}"  # "client1:secret@host" is a URL of scheme client1
        raise ValueError(f"the base URL{shown} must begin with http:// or https:// and name a host")
    if url.raw_query_string or url.raw_fragment:
        raise ValueError(f"the base URL of {url.host} must not have a query or fragment")
    return url.with_path(f"{url.raw_path.removesuffix('/')}/", encoded=True)


def is_exposed(url: URL) -> bool:
    """Whether log-in and files would go unencrypted to a host that is not on this machine or a private network. No
    name is looked up: one without a dot, or with a private ending, counts as private."""
    host = (url.host or "").rstrip(".").lower()
    if url.scheme != "http":
        return False
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "." in host and not host.endswith(_PRIVATE_NAMES)
    return not (address.is_private or address.is_loopback or address.is_link_local)


def certificate_advice(error: Exception) -> str:
    """Why the certificate is not trusted, and what to do about it."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({error})"
    message = error.verify_message.rstrip(".")
    advice = _ADVICE.get(error.verify_code, "ask whoever runs the EM")
    return f"the certificate is not trusted ({message}): {advice}"
