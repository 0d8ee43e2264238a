"""A minimal HTTP client for tests of the simulator: sends what it is told and returns the response as it came."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from emasync.simulator import Simulator

USERS = {"client1": "secret", "client2": "other"}
BOUNDARY = "b0undary"


class RawResponse(NamedTuple):
    """An answer, read to its end."""

    status: int
    data: Any
    body: bytes
    headers: dict[str, str]


class RawClient:
    """Calls of one user; `token` None sends none."""

    def __init__(self, sim: Simulator, session: aiohttp.ClientSession, token: str | None = None) -> None:
        self.sim = sim
        self.session = session
        self.token = token

    async def call(self, method: str, path: str, **keywords: Any) -> RawResponse:
        """One request; `path` is joined to the base URL as it is."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= keywords.pop("headers", {})
        url = path if path.startswith("http") else self.sim.url + path
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **keywords) as response:
            body = await response.read()
            is_json = response.content_type == "application/json"
            return RawResponse(response.status, json.loads(body) if is_json else None, body, dict(response.headers))

    async def get(self, path: str, **params: str) -> RawResponse:
        """GET with a query."""
        return await self.call("GET", path, params=params)

    async def post(self, path: str, **form: str) -> RawResponse:
        """POST with a form."""
        return await self.call("POST", path, data=form)

    async def json(self, path: str, **fields: Any) -> RawResponse:
        """POST with JSON."""
        return await self.call("POST", path, json=fields)

    async def log_in(self, user: str = "client1") -> RawClient:
        """Another client with the user's token."""
        reply = await self.post("auth/", username=user, password=USERS[user])
        return RawClient(self.sim, self.session, reply.data["access"])

    async def uplink(self, files: dict[str, bytes], *, cut: int = 0, **fields: str) -> RawResponse:
        """A multipart uplink; `cut` leaves out that many bytes at its end (and says so in Content-Length)."""
        body = multipart(list(files.items()), **fields)
        body = body[: len(body) - cut]
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return await self.call("POST", "em/files/uplink", data=io.BytesIO(body), headers=kind)

    async def names(self) -> list[str]:
        """The names at the root of the volume, as listed."""
        return [entry["name"] for entry in (await self.get("em/files/list")).data["data"]]


def inside(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(item.name for item in folder.iterdir())


def multipart(files: list[tuple[str, bytes]], **fields: str) -> bytes:
    """A multipart body, written by hand."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    for name, data in files:
        parts.append(f'Content-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode() + data)
    mark = f"--{BOUNDARY}".encode()
    return b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


@asynccontextmanager
async def raw_client(sim: Simulator) -> AsyncIterator[RawClient]:
    """A client without a token; its connections end with the block."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield RawClient(sim, session)


@asynccontextmanager
async def simulator(user: str | None = "client1", **keywords: Any) -> AsyncIterator[tuple[Simulator, RawClient]]:
    """A simulator and a client that is logged in."""
    async with Simulator(USERS, **keywords) as sim, raw_client(sim) as raw:
        yield sim, raw if user is None else await raw.log_in(user)


async def exchange_bytes(sim: Simulator, request: bytes) -> bytes:
    """Send `request` on a fresh connection and return all that comes until the server closes."""
    host, port = sim.url.removeprefix("http://").split("/")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()
