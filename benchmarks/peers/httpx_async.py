"""httpx's AsyncClient with one pool of connections and as many tasks as workers."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import httpx

from benchmarks.job import Job, Watch, flush
from benchmarks.peers.tasks import each


def down(job: Job, watch: Watch) -> None:
    asyncio.run(_down(job))


async def _down(job: Job) -> None:
    limits = httpx.Limits(max_connections=job.workers, max_keepalive_connections=job.workers)
    async with httpx.AsyncClient(base_url=job.url, limits=limits, timeout=None) as client:
        reply = await client.post("auth/", data={"username": "client1", "password": "secret"})
        client.headers["Authorization"] = f"Bearer {reply.json()['access']}"

        async def one(path: str) -> None:
            answer = await client.get("em/files/downlink", params={"filepath": path})
            answer.raise_for_status()
            local = Path(job.into, Path(path).name)
            local.write_bytes(base64.b64decode(answer.json()["content"]))
            if job.fsync:
                flush(str(local))

        await each(one, job.paths, workers=job.workers)
    if job.fsync:
        flush(job.into)
