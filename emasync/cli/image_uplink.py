"""Sending what an image is made of, with progress on stderr.

Owns: following such an uplink. May import this room and transfer's report.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from emasync.cli.job import CommandContext
from emasync.cli.progress import Follower, progress
from emasync.cli.show import size
from emasync.model import TransferReport


async def uplink_all(
    at: CommandContext, sources: Sequence[str], dest: str, *, exclude: Sequence[str] = ()
) -> TransferReport:
    """Send `sources` to the folder `dest`; every file arrives, or the first one's own error is raised."""
    with progress(at.asked.progress, "uplink", quiet=at.out.quiet, as_json=at.out.as_json) as follower:
        report = await _followed(at, sources, dest, exclude=exclude, follower=follower)
    report.raise_for_failures()
    at.out.say(f"sent {len(report.done)} files, {size(report.bytes)}, to {dest or 'the root of the volume'}")
    return report


async def _followed(
    at: CommandContext, sources: Sequence[str], dest: str, *, exclude: Sequence[str], follower: Follower
) -> TransferReport:
    report, failed = TransferReport(), None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_tick, follower)
        try:
            report = await at.em.uplink(sources, dest, exclude=exclude, on_event=follower.take)
        except Exception as error:  # noqa: BLE001 - raised below: the task group would wrap it
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return report


async def _tick(follower: Follower) -> None:
    while True:
        follower.tick()
        await anyio.sleep(follower.every_s)
