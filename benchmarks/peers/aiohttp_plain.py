"""aiohttp as its documentation shows it: ``await r.json()`` down, ``FormData`` up, one call a file."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.job import Job, Watch, flush
from benchmarks.peers.tasks import each


def down(job: Job, watch: Watch) -> None:
    asyncio.run(_down(job, watch, listed=False))


def down_planned(job: Job, watch: Watch) -> None:
    """Logged in before the clock starts."""
    asyncio.run(_down(job, watch, listed=True))


def up(job: Job, watch: Watch) -> None:
    asyncio.run(_up(job))


async def _down(job: Job, watch: Watch, *, listed: bool) -> None:
    async with logged_in(job) as session:
        if listed:
            watch.begin()

        async def one(path: str) -> None:
            async with session.get("em/files/downlink", params={"filepath": path}) as reply:
                data = await reply.json()
            local = Path(job.into, Path(path).name)
            local.write_bytes(base64.b64decode(data["content"]))
            if job.fsync:
                flush(str(local))

        await each(one, job.paths, workers=job.workers)
    if job.fsync:
        flush(job.into)


async def _up(job: Job) -> None:
    async with logged_in(job) as session:

        async def one(path: str) -> None:
            with Path(path).open("rb") as file:
                form = aiohttp.FormData()
                form.add_field("dest_path", job.dest)
                form.add_field("files", file, filename=Path(path).name)
                async with session.post("em/files/uplink", data=form) as reply:
                    reply.raise_for_status()

        await each(one, job.sources, workers=job.workers)


@asynccontextmanager
async def logged_in(job: Job) -> AsyncIterator[aiohttp.ClientSession]:
    """A session without a total time-out, as large files need, that carries the token."""
    connector, timeout = aiohttp.TCPConnector(limit=job.workers), aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(job.url, connector=connector, timeout=timeout, raise_for_status=True) as session:
        form = {"username": "client1", "password": "secret"}
        async with session.post("auth/", data=form) as reply:
            session.headers["Authorization"] = f"Bearer {(await reply.json())['access']}"
        yield session
