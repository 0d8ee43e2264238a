"""``emasync pod wait``: the pod's end as an exit code.

Owns: nothing but the verb. May import watch and this room.
"""

from __future__ import annotations

from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import CommandContext, run_on_em
from emasync.cli.options import GlobalOptions, Seconds, option, with_em
from emasync.cli.pod_run_file import forget_run, recall_run
from emasync.cli.pod_show import status_fields, status_text, tell_awaited, with_interval
from emasync.errors import NotFoundError, PodFailedError
from emasync.model import PodPhase, PodStatus


@click.command("wait")
@with_em
@option("--timeout", type=Seconds(), help="give up after this long [never]; the pod goes on")
@with_interval
def pod_wait(asked: GlobalOptions, timeout: float | None, interval: float) -> None:
    """Wait for the pod's end, and print how it ended.

    That is the end of the run that `emasync pod run` on this machine asked for last, not of a run before it; without
    such a run, of whatever pod the EM shows. Exit code 0: it succeeded, 3: there is no pod, 5: the timeout came first,
    12: it vanished or cannot be told from the run before it, 21: it cannot start, 22: it ended badly.

    \b
    emasync pod wait
    emasync pod wait --timeout 10m && emasync down results/
    """
    run_on_em(asked, partial(_wait, timeout_s=timeout, interval_s=interval))


async def _wait(at: CommandContext, *, timeout_s: float | None, interval_s: float) -> ExitCode:
    at.resume = "emasync pod wait"
    run = await recall_run(at)
    if run is not None:
        tell_awaited(at.out, run)
    elif (await at.em.pods.status()).phase is PodPhase.NONE:
        raise NotFoundError("there is no pod to wait for; next: emasync pod run IMAGE")
    else:
        at.out.say("no run of this machine is remembered: waiting for the end of whatever pod the EM shows")
    watch = at.em.pods.watch(run, interval=interval_s)
    try:
        status = await watch.end(timeout_s=timeout_s)
    except PodFailedError as error:
        _tell(at, error.pod)
        if not watch.doubtful:
            await forget_run(at, run)
        raise
    _tell(at, status)
    await forget_run(at, run)
    return ExitCode.DONE


def _tell(at: CommandContext, status: PodStatus) -> None:
    at.out.result("pod", status_text(status), **status_fields(status))
