"""``emasync sync up``: make a folder of the volume equal to a local one.

Owns: its flags and its help.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import At, run_on_em
from emasync.cli.moving import move
from emasync.cli.options import Asked, option, with_em
from emasync.cli.plan_lines import tell_decisions
from emasync.cli.wishes import Wishes, with_wishes


@click.command("up")
@click.argument("local", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("remote")
@option("--delete", is_flag=True, help="delete what is only on the EM; never if anything failed")
@option("--max-delete", type=click.IntRange(0), help="delete nothing if it would be more files than this")
@with_em
@with_wishes
def sync_up(
    asked: Asked,
    *,
    wishes: Wishes,
    local: Path,
    remote: str,
    delete: bool,
    max_delete: int | None,
) -> None:
    """Make the folder REMOTE of the volume equal to the folder LOCAL; "" or / is the whole volume.

    One listing tells what differs, by content. A .emignore file in a folder names what is left out, as .gitignore does.

    \b
    emasync sync up results campaign-7/results --dry-run
    emasync sync up . campaign-7 --delete --max-delete 10 --exclude .git
    """
    verb = partial(_sync_up, wishes=wishes, local=local, remote=remote, delete=delete, max_delete=max_delete)
    run_on_em(asked, verb, settings=wishes.settings(asked))


async def _sync_up(
    at: At, *, wishes: Wishes, local: Path, remote: str, delete: bool, max_delete: int | None
) -> ExitCode:
    begin = partial(at.em.sync_up, local, remote, delete=delete, max_delete=max_delete, **wishes.keywords)
    if wishes.dry_run:
        report = await begin(dry_run=True)
        return tell_decisions(at, report, local=local, remote=remote)
    return await move(at, wishes, begin, title="sync up")
