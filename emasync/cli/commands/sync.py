"""``emasync sync up`` and ``sync down``: make a folder on one side equal to a folder on the other."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.lazy_group import LazyGroup
from emasync.cli.options import F, GlobalOptions, option, with_em
from emasync.cli.output import ask, can_ask, size
from emasync.cli.plan_output import tell_decisions
from emasync.cli.runner import CommandContext, run_on_em
from emasync.cli.transfer_options import TransferFlags, with_transfer_flags
from emasync.cli.transfer_runner import move
from emasync.model import SyncSummary, safe

_VERBS = {
    "down": ("sync:sync_down", "make a local folder equal to one of the volume"),
    "up": ("sync:sync_up", "make a folder of the volume equal to a local one"),
}


@click.command("sync", cls=LazyGroup, verbs=_VERBS)
def sync() -> None:
    """Make one side equal to the other; only what differs moves.

    \b
    emasync sync up results campaign-7/results
    emasync sync down campaign-7 ./campaign-7 --delete --dry-run
    """


class _Keywords(TypedDict):
    delete: bool
    max_delete: int | None
    allow_empty_source: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionFlags:
    """As given. `yes` answers the question, and agrees to nothing else."""

    delete: bool = False
    max_delete: int | None = None
    allow_empty_source: bool = False
    yes: bool = False

    @property
    def keywords(self) -> _Keywords:
        """For `Client.sync_up` and `Client.sync_down`."""
        return _Keywords(delete=self.delete, max_delete=self.max_delete, allow_empty_source=self.allow_empty_source)

    def check_remote(self, remote: str) -> None:
        """A usage error for an empty REMOTE beside --delete: a shell makes that of an unset variable."""
        if self.delete and not remote:
            raise click.UsageError("an empty REMOTE is the whole volume; with --delete write / for it")

    def question(
        self, asked: GlobalOptions, *, local: str, remote: str
    ) -> Callable[[SyncSummary], Awaitable[bool]] | None:
        """Asks at the terminal about these two folders; None where nobody is to be asked."""
        if not self.delete or self.yes or asked.json or not can_ask():
            return None

        async def confirm(summary: SyncSummary) -> bool:
            return await ask(deletion_question(summary, local=local, remote=remote))

        return confirm


_FLAGS = (
    option("--delete", is_flag=True, help="delete what only the target has; never if anything failed"),
    option("--max-delete", type=click.IntRange(0), help="delete nothing if it would be more files than this"),
    option("--allow-empty-source", is_flag=True, help="with --delete: empty the target where the source has no files"),
    option("-y", "--yes", is_flag=True, help="do not ask before deleting; an empty source still needs its own flag"),
)
_NAMES = tuple(DeletionFlags.__dataclass_fields__)


def with_deletion_flags(function: F) -> F:
    """Give a sync these flags, as its keyword `deletion`."""

    @functools.wraps(function)
    def called(*args: Any, **values: Any) -> Any:
        deletion = DeletionFlags(**{name: values.pop(name) for name in _NAMES})
        return function(*args, deletion=deletion, **values)

    for decorate in reversed(_FLAGS):
        called = decorate(called)
    return called  # type: ignore[return-value]


@click.command("up")
@click.argument("local", type=click.Path())
@click.argument("remote")
@with_deletion_flags
@with_em
@with_transfer_flags
def sync_up(
    asked: GlobalOptions,
    *,
    wishes: TransferFlags,
    local: str,
    remote: str,
    deletion: DeletionFlags,
) -> None:
    """Make the folder REMOTE of the volume equal to the folder LOCAL; "" or / is the whole volume (with
    --delete only /).

    One listing tells what differs, by content. A .emignore file in a folder names what is left out, as .gitignore does.

    At a terminal --delete asks once, before anything moves. Where the source has no files nothing is deleted without
    --allow-empty-source, or a yes.

    \b
    emasync sync up results campaign-7/results --dry-run
    emasync sync up . campaign-7 --delete --max-delete 10 --exclude .git
    """
    deletion.check_remote(remote)
    verb = partial(_sync_up, wishes=wishes, local=local, remote=remote, deletion=deletion)
    run_on_em(asked, verb, settings=wishes.settings(asked))


async def _sync_up(
    at: CommandContext, *, wishes: TransferFlags, local: str, remote: str, deletion: DeletionFlags
) -> ExitCode:
    begin = partial(at.em.sync_up, local, remote, **deletion.keywords, **wishes.keywords)
    if wishes.dry_run:
        report = await begin(dry_run=True)
        return tell_decisions(at, report, local=Path(local), remote=remote, deletes_here=False)
    return await move(
        at, wishes, begin, title="sync up", confirm=deletion.question(at.asked, local=local, remote=remote)
    )


@click.command("down")
@click.argument("remote")
@click.argument("local", type=click.Path())
@with_deletion_flags
@with_em
@with_transfer_flags
def sync_down(
    asked: GlobalOptions,
    *,
    wishes: TransferFlags,
    remote: str,
    local: str,
    deletion: DeletionFlags,
) -> None:
    """Make the folder LOCAL, made if missing, equal to the folder REMOTE of the volume; "" or / is
    all of it (with --delete only /).

    One listing tells what differs, by content. What a .emignore file here names is left alone, as with .gitignore.

    At a terminal --delete asks once, before anything moves. Where the source has no files nothing is deleted without
    --allow-empty-source, or a yes.

    \b
    emasync sync down campaign-7/results results --dry-run
    emasync sync down campaign-7 . --delete --max-delete 10 --exclude .git
    """
    deletion.check_remote(remote)
    verb = partial(_sync_down, wishes=wishes, local=local, remote=remote, deletion=deletion)
    run_on_em(asked, verb, settings=wishes.settings(asked))


async def _sync_down(
    at: CommandContext, *, wishes: TransferFlags, local: str, remote: str, deletion: DeletionFlags
) -> ExitCode:
    begin = partial(at.em.sync_down, remote, local, **deletion.keywords, **wishes.keywords)
    if wishes.dry_run:
        report = await begin(dry_run=True)
        return tell_decisions(at, report, local=Path(local), remote=remote, deletes_here=True)
    return await move(
        at, wishes, begin, title="sync down", confirm=deletion.question(at.asked, local=local, remote=remote)
    )


def deletion_question(summary: SyncSummary, *, local: str, remote: str) -> str:
    """What a sync that deletes is about to do, on either side, as a question."""
    mine, theirs = f"this machine ({safe(local)})", f"the EM ({safe(remote) or '/'})"
    here, there = (theirs, mine) if summary.side == "remote" else (mine, theirs)
    holds = f"{summary.source_files:,} files ({size(summary.source_bytes)}) on {there}"
    held = f"{summary.target_files:,} ({size(summary.target_bytes)}) on {here}"
    left = f" ({summary.source_excluded:,} left out by filters)" if summary.source_excluded else ""
    where = "the EM" if summary.side == "remote" else "this machine"
    warning = f"The source is EMPTY{left}: " if summary.empties else ""
    return (
        f"{warning}{holds}, {held}. Copy {summary.copy_files:,} files ({size(summary.copy_bytes)}) and delete "
        f"{summary.delete_files:,} ({size(summary.delete_bytes)}) on {where}?"
    )
