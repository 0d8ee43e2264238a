"""Two origins: an EM that says back all it was told, in every place an answer has, and one that nobody may ask.

Owns: their bytes on the wire, and the canaries. No part of emasync is in it.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, quote

PASSWORD: Final = 'canary-pass/+word é&<1>"'
REFRESH: Final = "canary-refresh/token+7f3a"
ACCESS: Final = "canary-access.token-9b1c"
NETRC: Final = "canary-netrc-2d4e"


@dataclass
class Origin:
    """A server. `heads` are all requests it saw; `connections` counts those that came without one, too."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    connections: int = 0


@dataclass
class Echo(Origin):
    """The talkative EM. `mode` names one of `MODES`; `elsewhere` is where it redirects to."""

    mode: str = "400"
    elsewhere: str = ""
    told: list[str] = field(default_factory=list)  # passwords, and the tokens it gave out

    def everything(self) -> str:
        """All it was told, and the tokens it gave out, in several spellings."""
        known = self.told
        return " ".join([*known, *(quote(text, safe="") for text in known), *(json.dumps(text) for text in known)])


def _json(status: int, value: Any, *headers: str) -> bytes:
    return _answer(status, json.dumps(value).encode(), "Content-Type: application/json", *headers)


def _answer(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _refused(echo: Echo, status: int) -> bytes:
    said = echo.everything()
    known = echo.told
    body = {"error": said, "message": said, "detail": said, "log_tail": known, "code": said, "messages": known}
    return _json(
        status, body | {known[0]: known}, f"X-Echo: {quote(said)}", f"WWW-Authenticate: Bearer {quote(known[-1])}"
    )


def _lists(echo: Echo) -> bytes:
    known = echo.told
    files = [{"type": "file", "name": name.replace("/", "_"), "size": "1", "time": name, "hash": 1} for name in known]
    folders = [{"type": "directory", "name": name, "contents": files} for name in known]
    return _json(200, {"message": echo.everything(), "data": [*files, *folders]})


def _pods(echo: Echo) -> bytes:
    said = echo.everything()
    facts = {"exitCode": 3, "reason": said, "message": said, "startedAt": said, said: [said]}
    return _json(200, {"message": said, "data": {"state": {"terminated": facts}, said: said}})


def _redirect(echo: Echo) -> bytes:
    query = quote(echo.everything())
    return _answer(
        302, b"", f"Location: {echo.elsewhere}em/files/list?{query}", f"Set-Cookie: t={quote(echo.told[-1])}"
    )


MODES: Final[Mapping[str, Callable[[Echo], bytes]]] = {
    "400": lambda echo: _refused(echo, 400),
    "401": lambda echo: _refused(echo, 401),
    "403": lambda echo: _refused(echo, 403),
    "404": lambda echo: _refused(echo, 404),
    "413": lambda echo: _refused(echo, 413),
    "423": lambda echo: _refused(echo, 423),
    "500": lambda echo: _refused(echo, 500),
    "502 html": lambda echo: _answer(502, f"<html><title>{echo.everything()}</title></html>".encode()),
    "500 cut": lambda echo: _answer(500, b'{"message": "' + echo.everything().encode() * 3000),
    "200 html": lambda echo: _answer(200, f"<html>{echo.everything()}</html>".encode(), "Content-Type: text/html"),
    "200 twice": lambda echo: _answer(
        200, f'{{"{ACCESS}": 1, "{ACCESS}": 2}}'.encode(), "Content-Type: application/json"
    ),
    "200 lists": _lists,
    "200 pods": _pods,
    "200 names": lambda echo: _json(200, {"data": [*echo.told, {"name": ACCESS, "status": REFRESH}]}),
    "escaped": lambda echo: _answer(
        200,
        b'{"data": {"state": {"waiting": {"reason": "%s"}}}}' % b"".join(b"\\u%04x" % ord(char) for char in ACCESS),
        "Content-Type: application/json",
    ),
    "encoding": lambda echo: _answer(200, b"x", f"Content-Encoding: {ACCESS}", "Content-Type: application/json"),
    "retry after": lambda echo: _answer(503, b"", f"Retry-After: {ACCESS}"),
    "length": lambda echo: f"HTTP/1.1 200 OK\r\nContent-Length: {ACCESS}\r\n\r\n".encode(),
    "status line": lambda echo: f"HTTP/1.1 {echo.told[-1]} {echo.told[0]!r}\r\n\r\n".encode(),
    "junk": lambda echo: f"{echo.everything()}\r\n\r\n".encode(),
    "chunk": lambda echo: (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{ACCESS}\r\n".encode()
    ),
    "header": lambda echo: f"HTTP/1.1 200 OK\r\n{ACCESS} {REFRESH}\r\n\r\n".encode(),
    "envelope": lambda echo: _answer(200, f'{{"content": "{ACCESS}*"}}'.encode(), "Content-Type: application/json"),
    "redirect": _redirect,
    "hang up": lambda echo: b"",
}
"""How an ``em/`` call is answered."""

AUTH_MODES: Final = (
    "400",
    "401",
    "403",
    "404",
    "423",
    "500",
    "502 html",
    "200 html",
    "junk",
    "status line",
    "redirect",
)
"""Those of `MODES` in which a log-in is answered so, too (``auth 401`` and so on)."""


@asynccontextmanager
async def echoing(echo: Echo) -> AsyncIterator[Echo]:
    """Serve `echo` on 127.0.0.1."""

    async def script(head: str, body: bytes) -> bytes:
        path = head.split(" ")[1]
        if path.endswith(("/auth/", "/auth/refresh")):
            fields = parse_qs(body.decode("utf-8", "replace"))
            echo.told += [text for text in fields.get("password", []) if text not in echo.told]
            if echo.mode.startswith("auth "):
                return MODES[echo.mode.removeprefix("auth ")](echo)
            echo.told += [text for text in (ACCESS, REFRESH) if text not in echo.told]
            return _json(200, {"access": ACCESS, "refresh": REFRESH})
        return MODES[echo.mode](echo)

    async with _serving(echo, script):
        yield echo


@asynccontextmanager
async def forbidden() -> AsyncIterator[Origin]:
    """An origin that nobody may ask; it would answer everything with a token."""

    async def script(head: str, body: bytes) -> bytes:
        return _json(200, {"access": "elsewhere", "data": []})

    async with _serving(Origin(), script) as origin:
        yield origin


@asynccontextmanager
async def _serving(origin: Origin, script: Callable[[str, bytes], Any]) -> AsyncIterator[Origin]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        origin.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            origin.heads.append(head)
            lengths = [
                line.partition(":")[2] for line in head.split("\r\n") if line.lower().startswith("content-length:")
            ]
            body = await reader.readexactly(int(lengths[0])) if lengths else b""
            writer.write(await script(head, body))
            await writer.drain()
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    origin.url = f"http://{host}:{port}/"
    try:
        yield origin
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def proxies(url: str) -> dict[str, str]:
    """The environment of somebody whose every proxy is `url`."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    return dict.fromkeys(names, url) | {"NO_PROXY": "", "no_proxy": ""}


def stray(origin: Origin) -> list[str]:
    """What no request to the base origin may carry: log-in data of elsewhere, cookies."""
    basic = base64.b64encode(f"client1:{NETRC}".encode()).decode()
    wrong = (NETRC, basic, "\r\ncookie:", "authorization: basic")
    return [f"{text} in {head!r}" for head in origin.heads for text in wrong if text.lower() in head.lower()]
