"""``emasync jobs rm``: forget transfers.

Owns: which ones must not be forgotten.
"""

from __future__ import annotations

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import finish
from emasync.cli.jobs import job_log
from emasync.cli.options import option
from emasync.cli.out import Out


@click.command("rm")
@click.argument("jobs", nargs=-1)
@option("--done", is_flag=True, help="all that are done")
@option("--json", "as_json", is_flag=True, help="results as JSON lines")
def jobs_rm(*, jobs: tuple[str, ...], done: bool, as_json: bool) -> None:
    """Forget transfers and their journals; what they have moved stays. A running one is refused.

    \b
    emasync jobs rm 3f9c
    emasync jobs rm --done
    """
    if not jobs and not done:
        raise click.UsageError("name a job, or give --done; `emasync jobs ls` shows them")
    out = Out(as_json=as_json, quiet=False)

    def work() -> ExitCode:
        log = job_log()
        found = {one.id: one for one in map(log.find, jobs)}
        found |= {one.id: one for one in log.all() if done and one.state == "done"}
        if running := [one.id for one in found.values() if one.state == "running"]:
            raise ValueError(f"still running: {', '.join(running)}; end it first, nothing was forgotten")
        for one in found.values():
            log.remove(one)
            out.result("forgotten", f"forgotten: {one.id}", id=one.id)
        return ExitCode.DONE

    finish(out, work)
