"""emasync itself, through its public API, with the settings that a user gets; fsync and workers as the job says.

Its runs pay for what the others leave out: the listing before a downlink and after an uplink, SHA-256 and content tag
of every byte, and files that appear whole under their final names or not at all.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.job import Job, Watch
from emasync import Client, Limits, Settings
from emasync.model import TransferReport

_NO_LIMIT = 1 << 40  # the seed generation takes 500 MB a call; the sizes here are the later ones'


def down(job: Job, watch: Watch) -> None:
    """Log in, list, downlink."""

    async def work() -> TransferReport:
        async with _client(job) as em:
            return await em.downlink(f"{job.folder}/" if job.folder else job.paths, into=job.into)

    _check(asyncio.run(work()), len(job.paths))


def down_planned(job: Job, watch: Watch) -> None:
    """Downlink what was listed before the clock starts: nothing but the transfer."""

    async def work() -> TransferReport:
        async with _client(job) as em:
            plan = await em.plan_downlink(f"{job.folder}/")
            watch.begin()
            return await em.apply(plan, into=job.into)

    _check(asyncio.run(work()), len(job.paths))


def up(job: Job, watch: Watch) -> None:
    """Log in, uplink, list."""

    async def work() -> TransferReport:
        async with _client(job) as em:
            return await em.uplink(job.sources, dest=job.dest)

    _check(asyncio.run(work()), len(job.sources))


def sync_up(job: Job, watch: Watch) -> None:
    """Make `folder` of the volume equal to the local folder `sources`."""

    async def work() -> TransferReport:
        async with _client(job) as em:
            return await em.sync_up(job.sources[0], job.folder)

    _check(asyncio.run(work()), 0)


def sync_down(job: Job, watch: Watch) -> None:
    """Make the local folder `sources` equal to `folder` of the volume."""

    async def work() -> TransferReport:
        async with _client(job) as em:
            return await em.sync_down(job.folder, job.sources[0])

    _check(asyncio.run(work()), 0)


def _client(job: Job) -> Client:
    settings = Settings(
        workers=job.workers,
        durable=job.fsync,
        limits=Limits(uplink_call=_NO_LIMIT),
        state_dir=Path(job.state) if job.state else None,
    )
    return Client(job.url, username="client1", password="secret", settings=settings)


def _check(report: TransferReport, moved: int) -> None:
    report.raise_for_failures()
    if len(report.done) != moved:
        raise RuntimeError(f"{len(report.done)} files were moved, not {moved}: {report.notes}")
