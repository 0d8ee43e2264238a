"""``emasync up`` (also ``uplink``): send files and folders to the volume, or plan that."""

from __future__ import annotations

from functools import partial
from typing import get_args

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.cli.plan_output import (
    PlanLine,
    check_plan_flags,
    copy_action,
    read_plan,
    save_plan,
    tell_plan,
    tell_saved,
    with_plan_flags,
)
from emasync.cli.remote_selection import paths_or_globs, with_glob
from emasync.cli.runner import CommandContext, run_on_em
from emasync.cli.transfer_options import TransferFlags, with_transfer_flags
from emasync.cli.transfer_runner import move
from emasync.model import Glob, Overwrite
from emasync.transfer.planning.plan import UplinkItem, UplinkPlan


@click.command("up")
@click.argument("sources", nargs=-1)
@option("--to", default="", metavar="FOLDER", help="folder of the volume [its root]")
@option("--overwrite", type=click.Choice(get_args(Overwrite)), help="files that are there already [replace]")
@with_glob
@with_plan_flags
@with_em
@with_transfer_flags
def up(
    asked: GlobalOptions,
    *,
    wishes: TransferFlags,
    sources: tuple[str, ...],
    to: str,
    overwrite: Overwrite | None,
    glob: bool,
    plan: str | None,
    apply: str | None,
) -> None:
    """Send files and folders to the volume, verified.

    A folder keeps its tree; with a slash at its end its contents are sent. In SOURCES only * and ** are wildcards,
    unless something has exactly that name; with --glob every source is a pattern, in which ? and [...] are wildcards
    too. The same command again, after an interruption, sends only what is not there. With --plan FILE nothing is sent:
    the plan can be looked at (JSON lines), kept, and carried out with --apply FILE; a source that changed since then
    fails. Exit code 6: some files failed; 12: what became of some is not known; all codes: `emasync --help`.

    \b
    emasync up Dockerfile src/ --to echo-test
    emasync up data --exclude '*.tmp' --dry-run
    emasync up data --to run-8 --plan run-8.plan && emasync up --apply run-8.plan
    """
    check_plan_flags(sources, what="SOURCES", plan=plan, apply=apply, dry_run=wishes.dry_run)
    if apply is not None and (to or glob or wishes.include or wishes.exclude):
        raise click.UsageError("--apply takes all from its file: leave out --to, --glob, --include and --exclude")
    wanted = paths_or_globs(sources, glob=glob)
    if apply is not None:
        verb = partial(_apply, wishes=wishes, file=apply, overwrite=overwrite)
    elif wishes.dry_run or plan is not None:
        verb = partial(_plan, wishes=wishes, sources=wanted, to=to, overwrite=overwrite or "replace", file=plan)
    else:
        verb = partial(_up, wishes=wishes, sources=wanted, to=to, overwrite=overwrite)
    run_on_em(asked, verb, settings=wishes.settings(asked))


async def _up(
    at: CommandContext, *, wishes: TransferFlags, sources: list[str | Glob], to: str, overwrite: Overwrite | None
) -> ExitCode:
    begin = partial(at.em.uplink, sources, to, overwrite=overwrite, **wishes.keywords)
    return await move(at, wishes, begin, title="uplink")


async def _apply(at: CommandContext, *, wishes: TransferFlags, file: str, overwrite: Overwrite | None) -> ExitCode:
    plan = read_plan(file, UplinkPlan)
    begin = partial(at.em.apply, plan, overwrite=overwrite, **wishes.moving)
    return await move(at, wishes, begin, title="uplink")


async def _plan(
    at: CommandContext,
    *,
    wishes: TransferFlags,
    sources: list[str | Glob],
    to: str,
    overwrite: Overwrite,
    file: str | None,
) -> ExitCode:
    plan = await at.em.plan_uplink(sources, to, include=wishes.include, exclude=wishes.exclude)
    if file is not None:
        save_plan(plan, file)
        return tell_saved(at, plan, file)
    tree = await at.em.files.list()

    def line(item: UplinkItem) -> PlanLine:
        there = item.remote in tree
        action, reason = copy_action(there=there, overwrite=overwrite, where="on the EM")
        return PlanLine(action=action, path=item.remote, reason=reason, bytes=item.fingerprint.size, local=item.local)

    lines = [line(item) for item in plan.items]
    return tell_plan(at, lines, refused=plan.refused, notes=plan.notes)
