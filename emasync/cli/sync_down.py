"""``emasync sync down``: make a local folder equal to one of the volume.

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


@click.command("down")
@click.argument("remote")
@click.argument("local", type=click.Path(path_type=Path, file_okay=False))
@option("--delete", is_flag=True, help="delete what is only here; never if anything failed")
@option("--max-delete", type=click.IntRange(0), help="delete nothing if it would be more files than this")
@with_em
@with_wishes
def sync_down(
    asked: Asked,
    *,
    wishes: Wishes,
    remote: str,
    local: Path,
    delete: bool,
    max_delete: int | None,
) -> None:
    """Make the folder LOCAL, made if missing, equal to the folder REMOTE of the volume; "" or / is all of it.

    One listing tells what differs, by content. What a .emignore file here names is left alone, as with .gitignore.

    \b
    emasync sync down campaign-7/results results --dry-run
    emasync sync down campaign-7 . --delete --max-delete 10 --exclude .git
    """
    verb = partial(_sync_down, wishes=wishes, local=local, remote=remote, delete=delete, max_delete=max_delete)
    run_on_em(asked, verb, settings=wishes.settings(asked))


async def _sync_down(
    at: At, *, wishes: Wishes, local: Path, remote: str, delete: bool, max_delete: int | None
) -> ExitCode:
    begin = partial(at.em.sync_down, remote, local, delete=delete, max_delete=max_delete, **wishes.keywords)
    if wishes.dry_run:
        report = await begin(dry_run=True)
        return tell_decisions(at, report, local=local, remote=remote)
    return await move(at, wishes, begin, title="sync down")
