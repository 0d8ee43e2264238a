"""``emasync sync down``: make a local folder equal to one of the volume.

Owns: its flags and its help.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from emasync.cli.deletion_flags import DeletionFlags, with_deletion_flags
from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import CommandContext, run_on_em
from emasync.cli.moving import move
from emasync.cli.options import GlobalOptions, with_em
from emasync.cli.plan_lines import tell_decisions
from emasync.cli.wishes import TransferFlags, with_transfer_flags


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
