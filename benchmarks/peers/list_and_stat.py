"""The least that a sync which finds nothing to do can be: one listing, one stat a file, sizes compared."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.job import Job, Watch
from benchmarks.peers.aiohttp_plain import logged_in


def sync(job: Job, watch: Watch) -> None:
    asyncio.run(_sync(job))


async def _sync(job: Job) -> None:
    async with logged_in(job) as session, session.get("em/files/list") as reply:
        listing = await reply.json()
    folder = next(entry for entry in listing["data"] if entry["name"] == job.folder)
    for entry in folder["contents"]:
        if Path(job.sources[0], entry["name"]).stat().st_size != int(entry["size"]):
            raise RuntimeError(f"{entry['name']} differs")
