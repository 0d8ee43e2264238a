"""``emasync jobs show``: one job, with what its journal says.

Owns: these lines. Reads the journal; a running transfer keeps it to itself.
"""

from __future__ import annotations

from pathlib import Path

import anyio
import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import finish
from emasync.cli.jobs import job_log
from emasync.cli.jobs_ls import begun, job_fields, state_text
from emasync.cli.options import option
from emasync.cli.out import Out
from emasync.cli.resumable import resume_command, why_not_resumable
from emasync.cli.show import size
from emasync.transfer.state.journal import open_journal
from emasync.transfer.state.schema import Tally


@click.command("show")
@click.argument("job")
@option("--json", "as_json", is_flag=True, help="results as JSON lines")
def jobs_show(*, job: str, as_json: bool) -> None:
    """Show a job: its command, where and on which EM it ran, how it ended, and how far it came.

    JOB is an id of `jobs ls`, or how it begins.

    \b
    emasync jobs show 3f9c
    emasync jobs show 3f9c --json
    """
    out = Out(as_json=as_json, quiet=False)
    finish(out, lambda: _show(out, job))


def _show(out: Out, job: str) -> ExitCode:
    log = job_log()
    record = log.find(job)
    journal = log.journal(record.id)
    tallies: list[Tally] = []
    held = record.state == "running"
    if journal.exists() and not held:
        try:
            tallies = anyio.run(_tallies, journal)
        except BlockingIOError:
            held = True
    files = [{"state": str(one.state), "files": one.files, "bytes": one.bytes} for one in tallies]
    volume = f", volume {record.volume}" if record.volume else ""
    lines = [
        f"job      {record.id}",
        f"command  {record.command}",
        f"in       {record.cwd}",
        f"EM       {record.url} as {record.username}{volume}",
        f"began    {begun(record)}",
        f"state    {state_text(record)}",
        *(f"files    {one.files} {one.state}, {size(one.bytes)}" for one in tallies),
    ]
    if held:
        lines.append("files    being moved now: the running transfer has the journal")
    elif record.state != "done":
        reason = why_not_resumable(log, record)
        lines.append(f"next     {resume_command(record) if reason is None else f'nothing to resume: {reason}'}")
    out.result("job", lines, **job_fields(record), journal=files)
    return ExitCode.DONE


async def _tallies(journal: Path) -> list[Tally]:
    async with open_journal(journal) as opened:
        return await opened.summary()
