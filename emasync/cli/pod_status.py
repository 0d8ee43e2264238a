"""``emasync pod status``: one look at the pod.

Owns: nothing but the verb. May import this room.
"""

from __future__ import annotations

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import CommandContext, run_on_em
from emasync.cli.options import GlobalOptions, with_em


@click.command("status")
@with_em
def pod_status(asked: GlobalOptions) -> None:
    """How the pod fares now. The exit code is 0 however it fares; `emasync pod wait` judges.

    \b
    emasync pod status
    emasync pod status --volume pod-a --json | jq -r 'select(.type == "pod").phase'
    """
    run_on_em(asked, _status)


async def _status(at: CommandContext) -> ExitCode:
    from emasync.cli.pod_show import status_fields, status_text

    status = await at.em.pods.status()
    at.out.result("pod", status_text(status), **status_fields(status))
    return ExitCode.DONE
