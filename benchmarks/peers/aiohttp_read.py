"""A limit, not a client: aiohttp reads the answers and drops them. Nothing is decoded, nothing is written."""

from __future__ import annotations

import asyncio

from benchmarks.job import Job, Watch
from benchmarks.peers.aiohttp_plain import logged_in
from benchmarks.peers.tasks import each


def down(job: Job, watch: Watch) -> None:
    asyncio.run(_down(job))


async def _down(job: Job) -> None:
    async with logged_in(job) as session:

        async def one(path: str) -> None:
            async with session.get("em/files/downlink", params={"filepath": path}) as reply:
                async for _ in reply.content.iter_any():
                    pass

        await each(one, job.paths, workers=job.workers)
