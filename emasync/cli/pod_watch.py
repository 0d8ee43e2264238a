"""``emasync pod watch``: every change of the pod, until its end.

Owns: nothing but the verb. May import watch and this room.
"""

from __future__ import annotations

from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import At, run_on_em
from emasync.cli.options import Asked, with_em
from emasync.cli.pod_show import status_fields, status_text, with_interval
from emasync.model import PodPhase
from emasync.watch import judged


@click.command("watch")
@with_em
@with_interval
def pod_watch(asked: Asked, interval: float) -> None:
    """Print the pod's status now and whenever it changes, until it has ended or can never start.

    Where there is no pod it waits for one. Exit code 21: it cannot start, 22: it ended badly. Ctrl-C leaves the pod
    alone.

    \b
    emasync pod watch
    emasync pod watch --interval 10s --json
    """
    run_on_em(asked, partial(_watch, interval_s=interval))


async def _watch(at: At, *, interval_s: float) -> ExitCode:
    at.resume = "emasync pod watch"
    async for status in at.em.pods.watch(interval=interval_s):
        at.out.result("pod", status_text(status), **status_fields(status))
        if status.phase is PodPhase.NONE:
            at.out.say("waiting for one; next: emasync pod run IMAGE")
        if status.ended:
            judged(status)
    return ExitCode.DONE
