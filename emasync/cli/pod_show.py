"""How a pod's status is shown.

Owns: one form of a status for people and for scripts, and the flag for the time between two looks. May import model and
this package.
"""

from __future__ import annotations

from typing import Any

import click

from emasync.cli.options import Seconds, option
from emasync.cli.out import Out
from emasync.model import PodPhase, PodRun, PodStatus


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
        return "none: the EM shows no pod"
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


def tell_awaited(out: Out, run: PodRun) -> None:
    """Which run a verb waits for, and which status it does not take for that run's."""
    out.say(f"waiting for the end of {run.description}")
    if run.before is None:
        out.say("what ran before it could not be seen: an end that nothing else came before may be the earlier run's")
    elif run.before.ended:
        out.say(f"before it: {status_text(run.before)}; while the EM shows just that, it may be the earlier run's")
