"""``emasync sync up``: make a folder of the volume equal to a local one.

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
