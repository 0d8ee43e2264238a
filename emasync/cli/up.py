"""``emasync up``: local files and folders to the volume. (Also ``uplink``.)

Owns: its flags, and its plan when only that is asked for.
"""

from __future__ import annotations

from functools import partial
from typing import get_args

import anyio
import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import At, run_on_em
from emasync.cli.moving import move
from emasync.cli.options import Asked, option, with_em
from emasync.cli.plan_lines import PlanLine, copy_action, tell_plan
from emasync.cli.wishes import Wishes, with_wishes
from emasync.model import Overwrite
from emasync.transfer.filters import Filters
from emasync.transfer.packing import plan_uplink
from emasync.transfer.plan import UplinkItem
from emasync.transfer.sources import scan


@click.command("up")
@click.argument("sources", nargs=-1, required=True)
@option("--to", default="", metavar="FOLDER", help="folder of the volume [its root]")
@option("--overwrite", type=click.Choice(get_args(Overwrite)), help="files that are there already [replace]")
@with_em
@with_wishes
def up(asked: Asked, *, wishes: Wishes, sources: tuple[str, ...], to: str, overwrite: Overwrite | None) -> None:
    """Send files and folders to the volume, verified.

    A folder keeps its tree; with a slash at its end its contents are sent. Globs are understood. The same command
    again, after an interruption, sends only what is not there.

    \b
    emasync up Dockerfile src/ --to echo-test
    emasync up data --exclude '*.tmp' --dry-run
    """
    verb = partial(_up, wishes=wishes, sources=sources, to=to, overwrite=overwrite)
    run_on_em(asked, verb, settings=wishes.settings(asked))


async def _up(at: At, *, wishes: Wishes, sources: tuple[str, ...], to: str, overwrite: Overwrite | None) -> ExitCode:
    if wishes.dry_run:
        return await _plan(at, wishes, sources, to=to, overwrite=overwrite or "replace")
    begin = partial(at.em.uplink, list(sources), to, overwrite=overwrite, **wishes.keywords)
    return await move(at, wishes, begin, title="uplink")


async def _plan(at: At, wishes: Wishes, sources: tuple[str, ...], *, to: str, overwrite: Overwrite) -> ExitCode:
    filters = Filters(include=wishes.include, exclude=wishes.exclude)
    found = await anyio.to_thread.run_sync(lambda: scan(sources, filters=filters))
    plan = plan_uplink(found.found, dest=to, refused=found.refused, notes=found.notes, limits=at.em.settings.limits)
    tree = await at.em.files.list()

    def line(item: UplinkItem) -> PlanLine:
        there = item.remote in tree
        action, reason = copy_action(there=there, overwrite=overwrite, where="on the EM")
        return PlanLine(action=action, path=item.remote, reason=reason, bytes=item.fingerprint.size, local=item.local)

    lines = [line(item) for item in plan.items]
    return tell_plan(at, lines, refused=plan.refused, notes=plan.notes)
