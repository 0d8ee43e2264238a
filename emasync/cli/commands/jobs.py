"""``emasync jobs``: list, show, resume and forget the transfers that were started on this machine."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import click

from emasync.cli.exit_codes import ExitCode, exit_code
from emasync.cli.job_store import JobRecord, JobStore, Resumed, resume_command, why_not_repeatable, why_not_resumable
from emasync.cli.main import LazyGroup
from emasync.cli.options import option
from emasync.cli.output import Output, size
from emasync.cli.runner import run_and_exit
from emasync.cli.transfer_options import identity_variables
from emasync.config import default_state_dir
from emasync.transfer.state.journal import open_journal
from emasync.transfer.state.schema import JournalTotal

_COMMANDS = {
    "ls": ("jobs:jobs_ls", "list the transfers of the last 30 days"),
    "resume": ("jobs:jobs_resume", "go on with one that was interrupted, or failed"),
    "rm": ("jobs:jobs_rm", "forget transfers and their journals"),
    "show": ("jobs:jobs_show", "show one, with what its journal says"),
}


@click.command("jobs", cls=LazyGroup, lazy_commands=_COMMANDS)
def jobs() -> None:
    """Transfers of this machine, and what became of them.

    \b
    emasync jobs ls
    emasync jobs resume 3f9c
    """


def job_store() -> JobStore:
    """The store of this user's jobs. ValueError where no jobs are recorded."""
    folder = default_state_dir()
    if folder is None:
        raise ValueError("no jobs are kept: EMASYNC_STATE_DIR is empty; unset it, or let it name a folder")
    return JobStore(folder / "jobs")


@click.command("ls")
@option("--json", "as_json", is_flag=True, help="results as JSON lines")
def jobs_ls(*, as_json: bool) -> None:
    """List the transfers of the last 30 days, newest first: id, begin, state, command.

    \b
    emasync jobs ls
    emasync jobs ls --json
    """
    output = Output(as_json=as_json, quiet=False)

    def work() -> ExitCode:
        records = job_store().all()
        for record in records:
            text = f"{record.id}  {begun(record)}  {state_text(record):16}  {record.command}"
            output.result("job", text, **job_fields(record))
        if not records:
            output.info("no transfers in the last 30 days")
        return ExitCode.DONE

    run_and_exit(output, work)


def begun(record: JobRecord) -> str:
    """When the job began, in local time."""
    return datetime.fromtimestamp(record.started).astimezone().strftime("%Y-%m-%d %H:%M")


def state_text(record: JobRecord) -> str:
    """``failed (code 6)``."""
    return f"{record.state} (code {record.code})" if record.code and record.state == "failed" else record.state


def job_fields(record: JobRecord) -> dict[str, Any]:
    """A job, as its JSON line has it."""
    return {**asdict(record), "command": record.command}


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
    output = Output(as_json=as_json, quiet=False)
    run_and_exit(output, lambda: _show(output, job))


def _show(output: Output, job: str) -> ExitCode:
    store = job_store()
    record = store.find(job)
    journal = store.journal(record.id)
    totals: list[JournalTotal] = []
    held = record.state == "running"
    if journal.exists() and not held:
        try:
            totals = anyio.run(_read_totals, journal)
        except BlockingIOError:
            held = True
    files = [{"state": str(total.state), "files": total.files, "bytes": total.bytes} for total in totals]
    volume = f", volume {record.volume}" if record.volume else ""
    lines = [
        f"job      {record.id}",
        f"command  {record.command}",
        f"in       {record.cwd}",
        f"EM       {record.url} as {record.username}{volume}",
        f"began    {begun(record)}",
        f"state    {state_text(record)}",
        *(f"files    {total.files} {total.state}, {size(total.bytes)}" for total in totals),
    ]
    if held:
        lines.append("files    being moved now: the running transfer has the journal")
    elif record.state != "done":
        reason = why_not_resumable(store, record)
        lines.append(f"next     {resume_command(record) if reason is None else f'nothing to resume: {reason}'}")
    output.result("job", lines, **job_fields(record), journal=files)
    return ExitCode.DONE


async def _read_totals(journal: Path) -> list[JournalTotal]:
    async with open_journal(journal) as opened:
        return await opened.summary()


@click.command("resume", context_settings={"ignore_unknown_options": True})
@click.argument("job")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def jobs_resume(*, job: str, flags: tuple[str, ...]) -> None:
    """Go on with a transfer that was interrupted or failed: only what is not proved to be there is moved.

    JOB is an id of `jobs ls`, or how it begins; FLAGS are added to its command. It runs in the folder, and on the EM,
    that it ran on; the password comes from where it came from before.

    \b
    emasync jobs resume 3f9c
    emasync jobs resume 3f9c --workers 2 --json
    """
    output = Output(as_json="--json" in flags, quiet="-q" in flags)
    try:
        record = job_store().find(job)
        if record.state == "running":
            raise ValueError(f"{record.id} is still running (process {record.pid})")
        if (reason := why_not_repeatable(record)) is not None:
            raise ValueError(f"{record.id} cannot be resumed: {reason}")
        if "--delete" in record.flags and (reason := why_not_resumable(job_store(), record)) is not None:
            # a sync that moved nothing, perhaps because its deletions were not confirmed, starts anew
            raise ValueError(f"{record.id} cannot be resumed: {reason}; to begin it anew: {record.command}")
        os.chdir(record.cwd)
    except (OSError, ValueError, LookupError) as error:
        output.error(error)
        output.exit(exit_code(error))
        raise SystemExit(int(exit_code(error))) from None
    _name_em(record)
    output.info(f"in {record.cwd}: {record.command}")
    context = click.get_current_context().find_root()
    root = command = context.command
    for word in record.words:
        command = command.get_command(context, word) or command if isinstance(command, click.Group) else command
    for variable in identity_variables(command):  # the record has the options that the environment gave
        os.environ.pop(variable, None)
    root.main(args=record.argv(flags), prog_name="emasync", obj=Resumed(job=record.id))


def _name_em(record: JobRecord) -> None:
    """Point the environment at the EM and the user of the record."""
    os.environ["EMASYNC_URL"], os.environ["EMASYNC_USERNAME"] = record.url, record.username
    if record.volume is None:
        os.environ.pop("EMASYNC_VOLUME", None)
    else:
        os.environ["EMASYNC_VOLUME"] = record.volume


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
    output = Output(as_json=as_json, quiet=False)

    def work() -> ExitCode:
        store = job_store()
        found = {record.id: record for record in map(store.find, jobs)}
        found |= {record.id: record for record in store.all() if done and record.state == "done"}
        if running := [record.id for record in found.values() if record.state == "running"]:
            raise ValueError(f"still running: {', '.join(running)}; end it first, nothing was forgotten")
        for record in found.values():
            store.remove(record)
            output.result("forgotten", f"forgotten: {record.id}", id=record.id)
        return ExitCode.DONE

    run_and_exit(output, work)
