"""``emasync pod watch``: every change of the pod, until its end.

Owns: nothing but the verb. May import watch and this room.
"""

from __future__ import annotations

from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import CommandContext, run_on_em
from emasync.cli.options import GlobalOptions, with_em
from emasync.cli.pod_run_file import forget_run, recall_run
from emasync.cli.pod_show import status_fields, status_text, tell_awaited, with_interval
from emasync.model import PodPhase


@click.command("watch")
@with_em
@with_interval
def pod_watch(asked: GlobalOptions, interval: float) -> None:
    """Print the pod's status now and whenever it changes, until it has ended or can never start.

    That is the pod of the run that `emasync pod run` on this machine asked for last; without such a run, whatever pod
    the EM shows. Where there is no pod it waits for one. Exit code 12: it vanished, or cannot be told from the run
    before it, 21: it cannot start, 22: it ended badly. Ctrl-C leaves the pod alone.

    \b
    emasync pod watch
    emasync pod watch --interval 10s --json
    """
    run_on_em(asked, partial(_watch, interval_s=interval))


async def _watch(at: CommandContext, *, interval_s: float) -> ExitCode:
    at.resume = "emasync pod watch"
    run = await recall_run(at)
    if run is not None:
        tell_awaited(at.out, run)
    watch = at.em.pods.watch(run, interval=interval_s)
    seen = False
    async for status in watch:
        at.out.result("pod", status_text(status), **status_fields(status))
        if status.phase is PodPhase.NONE and not seen:
            at.out.say("waiting for one; next: emasync pod run IMAGE")
        seen = seen or status.phase is not PodPhase.NONE
    if not watch.doubtful:
        await forget_run(at, run)
    watch.result()
    return ExitCode.DONE
