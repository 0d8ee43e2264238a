"""``emasync jobs ls``: the transfers of the last 30 days, newest first.

Owns: the line of a job.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import finish
from emasync.cli.joblog import Record
from emasync.cli.jobs import job_log
from emasync.cli.options import option
from emasync.cli.out import Out


@click.command("ls")
@option("--json", "as_json", is_flag=True, help="results as JSON lines")
def jobs_ls(*, as_json: bool) -> None:
    """List the transfers of the last 30 days, newest first: id, begin, state, command.

    \b
    emasync jobs ls
    emasync jobs ls --json
    """
    out = Out(as_json=as_json, quiet=False)

    def work() -> ExitCode:
        records = job_log().all()
        for one in records:
            text = f"{one.id}  {begun(one)}  {state_text(one):16}  {one.command}"
            out.result("job", text, **job_fields(one))
        if not records:
            out.say("no transfers in the last 30 days")
        return ExitCode.DONE

    finish(out, work)


def begun(record: Record) -> str:
    """When it began, in local time."""
    return datetime.fromtimestamp(record.started).astimezone().strftime("%Y-%m-%d %H:%M")


def state_text(record: Record) -> str:
    """``failed (code 6)``."""
    return f"{record.state} (code {record.code})" if record.code and record.state == "failed" else record.state


def job_fields(record: Record) -> dict[str, Any]:
    """A job, as its JSON line has it."""
    return {**asdict(record), "command": record.command}
