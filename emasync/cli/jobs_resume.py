"""``emasync jobs resume``: the recorded command again, in its folder, on its EM; its journal knows what is done.

Owns: how a record becomes a run.
"""

from __future__ import annotations

import os

import click

from emasync.cli.exit_codes import exit_code
from emasync.cli.joblog import Record
from emasync.cli.jobs import job_log
from emasync.cli.out import Out
from emasync.cli.resumable import Resumed, why_not_rebuilt, why_not_resumable
from emasync.cli.wishes import identity_variables


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
    out = Out(as_json="--json" in flags, quiet="-q" in flags)
    try:
        record = job_log().find(job)
        if record.state == "running":
            raise ValueError(f"{record.id} is still running (process {record.pid})")
        if (reason := why_not_rebuilt(record)) is not None:
            raise ValueError(f"{record.id} cannot be resumed: {reason}")
        if "--delete" in record.flags and (reason := why_not_resumable(job_log(), record)) is not None:
            # nothing was begun: perhaps since its deletions were not agreed to
            raise ValueError(f"{record.id} cannot be resumed: {reason}; to begin it anew: {record.command}")
        os.chdir(record.cwd)
    except (OSError, ValueError, LookupError) as error:
        out.error(error)
        out.exit(exit_code(error))
        raise SystemExit(int(exit_code(error))) from None
    _name_em(record)
    out.say(f"in {record.cwd}: {record.command}")
    context = click.get_current_context().find_root()
    root = command = context.command
    for word in record.words:
        command = command.get_command(context, word) or command if isinstance(command, click.Group) else command
    for variable in identity_variables(command):  # a flag given by the environment then is in the record
        os.environ.pop(variable, None)
    root.main(args=record.argv(flags), prog_name="emasync", obj=Resumed(job=record.id))


def _name_em(record: Record) -> None:
    """The EM of the record, whatever the environment says now."""
    os.environ["EMASYNC_URL"], os.environ["EMASYNC_USERNAME"] = record.url, record.username
    if record.volume is None:
        os.environ.pop("EMASYNC_VOLUME", None)
    else:
        os.environ["EMASYNC_VOLUME"] = record.volume
