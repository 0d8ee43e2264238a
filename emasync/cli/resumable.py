"""Whether a job can be gone on with, and the command that does it; and the mark of a run that `jobs resume` has begun.

Owns: what is asked of a record and its journal before anything is offered. May import the journal and joblog.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from emasync.cli.joblog import JobStore, Record
from emasync.model import safe
from emasync.transfer.state.journal import unfinished

_APPLY = "--apply="


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The click object of a command that ``jobs resume`` runs again: it must have its journal."""

    job: str


def is_resumed() -> bool:
    """Whether the command that runs now was begun by ``jobs resume``."""
    return isinstance(click.get_current_context().find_root().obj, Resumed)


def resume_command(record: Record) -> str:
    """What to type to go on."""
    return f"emasync jobs resume {record.id}"


def why_not_rebuilt(record: Record) -> str | None:
    """Why the command of a record cannot be run again; None if it can."""
    if not Path(record.cwd).is_dir():
        return f"its folder {safe(record.cwd)} is gone"
    for flag in record.flags:
        if flag == f"{_APPLY}-":
            return "its plan came from standard input"
        if flag.startswith(_APPLY) and not Path(record.cwd, flag.removeprefix(_APPLY)).is_file():
            return f"its plan {safe(flag.removeprefix(_APPLY))} is gone"
    return None


def why_not_resumable(log: JobStore, record: Record) -> str | None:
    """Why there is nothing to go on with; None if there is. Opens the journal, so no run may hold it."""
    if (reason := why_not_rebuilt(record)) is not None:
        return reason
    try:
        count = unfinished(log.journal(record.id))
    except (OSError, ValueError) as error:
        return f"its journal cannot be read: {safe(error)}"
    return None if count else "its journal holds no unfinished file"
