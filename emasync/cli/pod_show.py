"""How a pod's status is shown, and what a verb does until the pod has ended.

Owns: one form of a status for people and for scripts. May import watch and this room.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import click

from emasync.cli.options import Seconds, option
from emasync.client import Client
from emasync.model import PodPhase, PodStatus

STALE_LOOKS = 5
"""How often a new pod is looked at, an interval apart, before the old one's dead end counts as its own."""


class _Interval(Seconds):
    """A duration of more than nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = super().convert(value, param, ctx)
        if not found:
            self.fail("there must be some time between two looks; write 2s", param, ctx)
        return found


with_interval = option("--interval", type=_Interval(), default="2s", show_default=True, help="between two looks")
"""Give a verb the flag ``--interval``, in seconds."""


def status_text(status: PodStatus) -> str:
    """One line: ``terminated: Error, exit code 3, 12 s``."""
    if status.phase is PodPhase.NONE:
        return "none: no pod has been run here"
    facts = [status.reason] if status.reason else []
    if status.exit_code is not None:
        facts.append(f"exit code {status.exit_code}")
    if status.started_at and status.finished_at:
        facts.append(f"{(status.finished_at - status.started_at).total_seconds():.0f} s")
    elif status.started_at:
        facts.append(f"since {status.started_at.isoformat()}")
    if status.message:
        facts.append(status.message)
    return f"{status.phase}: {', '.join(facts)}" if facts else str(status.phase)


def status_fields(status: PodStatus) -> dict[str, Any]:
    """The same for scripts; times in ISO 8601."""
    return {
        "phase": str(status.phase),
        "reason": status.reason,
        "message": status.message,
        "started_at": status.started_at and status.started_at.isoformat(),
        "finished_at": status.finished_at and status.finished_at.isoformat(),
        "exit_code": status.exit_code,
        "dead_end": status.dead_end,
        "ended": status.ended,
    }


async def changes_since(em: Client, before: PodStatus, *, interval_s: float) -> AsyncIterator[PodStatus]:
    """The changes of a pod that has just been run in place of the one that was at `before`.

    A server may show the old pod for a moment. But where that one could never start, the new one may well come to the
    very same status, and waiting for a change would be waiting for ever: after a few looks it counts as the new one's.
    """
    after = None if before.phase is PodPhase.NONE else before
    if before.dead_end:
        for _ in range(STALE_LOOKS):
            if await em.pods.status() != before:
                break
            await anyio.sleep(interval_s)
        after = None
    async for status in em.pods.watch(interval=interval_s, after=after):
        yield status
