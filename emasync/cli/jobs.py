"""``emasync jobs``: the group of `ls`, `show`, `resume` and `rm`.

Owns: their names, and where the records are.
"""

from __future__ import annotations

import click

from emasync.cli.joblog import JobStore
from emasync.cli.verbs import LazyGroup
from emasync.config import default_state_dir

_VERBS = {
    "ls": ("jobs_ls", "list the transfers of the last 30 days"),
    "resume": ("jobs_resume", "go on with one that was interrupted, or failed"),
    "rm": ("jobs_rm", "forget transfers and their journals"),
    "show": ("jobs_show", "show one, with what its journal says"),
}


@click.command("jobs", cls=LazyGroup, verbs=_VERBS)
def jobs() -> None:
    """Transfers of this machine, and what became of them.

    \b
    emasync jobs ls
    emasync jobs resume 3f9c
    """


def job_log() -> JobStore:
    """The records of this user. ValueError where none are kept."""
    folder = default_state_dir()
    if folder is None:
        raise ValueError("no jobs are kept: EMASYNC_STATE_DIR is empty; unset it, or let it name a folder")
    return JobStore(folder / "jobs")
