"""``emasync sync up`` and ``sync down``: make a folder on one side equal to a folder on the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.main import LazyGroup
from emasync.cli.options import (
    CommandDecorator,
    GlobalOptions,
    client_keywords,
    declare,
    with_global_options,
    with_options,
)
from emasync.cli.output import confirm, is_interactive, size
from emasync.cli.plan_output import print_sync_plan
from emasync.cli.runner import CommandContext, run_on_em
from emasync.cli.transfer_options import TransferOptions, with_transfer_options
from emasync.cli.transfer_runner import Confirm, run_transfer
from emasync.model import SyncSummary, safe

_COMMANDS = {
    "down": ("sync:sync_down", "make a local folder equal to one of the volume"),
    "up": ("sync:sync_up", "make a folder of the volume equal to a local one"),
}


@click.command("sync", cls=LazyGroup, lazy_commands=_COMMANDS)
def sync() -> None:
    """Make one side equal to the other; only what differs moves.

    \b
    emasync sync up results campaign-7/results
    emasync sync down campaign-7 ./campaign-7 --delete --dry-run
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionOptions:
    """The options of a sync that deletes, as given. `yes` answers the question, and agrees to nothing else."""

    delete: bool = declare(
        "--delete",
        is_flag=True,
        help="delete what only the target has; never if anything failed",
        keyword="delete",
    )
    max_delete: int | None = declare(
        "--max-delete",
        type=click.IntRange(0),
        help="delete nothing if it would be more files than this",
        keyword="max_delete",
    )
    allow_empty_source: bool = declare(
        "--allow-empty-source",
        is_flag=True,
        help="with --delete: empty the target where the source has no files",
        keyword="allow_empty_source",
    )
    yes: bool = declare(
        "-y",
        "--yes",
        is_flag=True,
        help="do not ask before deleting; an empty source still needs its own flag",
    )

    def check_remote(self, remote: str) -> None:
        """A usage error for an empty REMOTE beside --delete: a shell makes that of an unset variable."""
        if self.delete and not remote:
            raise click.UsageError("an empty REMOTE is the whole volume; with --delete write / for it")

    def question(self, options: GlobalOptions, *, local: str, remote: str) -> Confirm | None:
        """A function that asks at the terminal about these two folders; None where nobody is to be asked."""
        if not self.delete or self.yes or options.json or not is_interactive():
            return None

        async def ask(summary: SyncSummary) -> bool:
            return await confirm(deletion_question(summary, local=local, remote=remote))

        return ask


with_deletion_options: CommandDecorator = with_options(DeletionOptions, name="deletion")
"""Give a sync the options of `DeletionOptions`, as its keyword `deletion`."""


@click.command("up")
@click.argument("local", type=click.Path())
@click.argument("remote")
@with_deletion_options
@with_global_options
@with_transfer_options
def sync_up(
    options: GlobalOptions,
    *,
    transfer: TransferOptions,
    local: str,
    remote: str,
    deletion: DeletionOptions,
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
    work = partial(_sync_up, transfer=transfer, local=local, remote=remote, deletion=deletion)
    run_on_em(options, work, settings=transfer.settings(options))


async def _sync_up(
    context: CommandContext, *, transfer: TransferOptions, local: str, remote: str, deletion: DeletionOptions
) -> ExitCode:
    start = partial(context.em.sync_up, local, remote, **client_keywords(deletion), **transfer.keywords)
    if transfer.dry_run:
        report = await start(dry_run=True)
        return print_sync_plan(context, report, local=Path(local), remote=remote, deletes_here=False)
    return await run_transfer(
        context,
        transfer,
        start,
        title="sync up",
        confirm=deletion.question(context.options, local=local, remote=remote),
    )


@click.command("down")
@click.argument("remote")
@click.argument("local", type=click.Path())
@with_deletion_options
@with_global_options
@with_transfer_options
def sync_down(
    options: GlobalOptions,
    *,
    transfer: TransferOptions,
    remote: str,
    local: str,
    deletion: DeletionOptions,
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
    work = partial(_sync_down, transfer=transfer, local=local, remote=remote, deletion=deletion)
    run_on_em(options, work, settings=transfer.settings(options))


async def _sync_down(
    context: CommandContext, *, transfer: TransferOptions, local: str, remote: str, deletion: DeletionOptions
) -> ExitCode:
    start = partial(context.em.sync_down, remote, local, **client_keywords(deletion), **transfer.keywords)
    if transfer.dry_run:
        report = await start(dry_run=True)
        return print_sync_plan(context, report, local=Path(local), remote=remote, deletes_here=True)
    return await run_transfer(
        context,
        transfer,
        start,
        title="sync down",
        confirm=deletion.question(context.options, local=local, remote=remote),
    )


def deletion_question(summary: SyncSummary, *, local: str, remote: str) -> str:
    """What a sync that deletes is about to do, on either side, as a question."""
    local_side, remote_side = f"this machine ({safe(local)})", f"the EM ({safe(remote) or '/'})"
    target, source = (remote_side, local_side) if summary.side == "remote" else (local_side, remote_side)
    source_text = f"{summary.source_files:,} files ({size(summary.source_bytes)}) on {source}"
    target_text = f"{summary.target_files:,} ({size(summary.target_bytes)}) on {target}"
    left = f" ({summary.source_excluded:,} left out by filters)" if summary.source_excluded else ""
    where = "the EM" if summary.side == "remote" else "this machine"
    warning = f"The source is EMPTY{left}: " if summary.empties else ""
    copy = f"Copy {summary.copy_files:,} files ({size(summary.copy_bytes)})"
    delete = f"delete {summary.delete_files:,} ({size(summary.delete_bytes)}) on {where}"
    return f"{warning}{source_text}, {target_text}. {copy} and {delete}?"
