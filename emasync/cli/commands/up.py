"""``emasync up`` (also ``uplink``): send files and folders to the volume, or plan that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import get_args

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.options import GlobalOptions, declare, with_global_options, with_options
from emasync.cli.plan_output import (
    PlanLine,
    PlanOptions,
    copy_action,
    print_plan,
    print_saved_plan,
    read_plan,
    save_plan,
    with_plan_options,
)
from emasync.cli.remote_selection import paths_or_globs, with_glob
from emasync.cli.runner import CommandContext, run_on_em
from emasync.cli.transfer_options import TransferOptions, with_transfer_options
from emasync.cli.transfer_runner import run_transfer
from emasync.model import Glob, Overwrite
from emasync.transfer.planning.plan import UplinkItem, UplinkPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkOptions:
    """The options of ``up`` of its own, as given."""

    to: str = declare("--to", default="", metavar="FOLDER", help="folder of the volume [its root]")
    overwrite: Overwrite | None = declare(  # noqa: RUF009 - a dataclass field
        "--overwrite", type=click.Choice(get_args(Overwrite)), help="files that are there already [replace]"
    )


@click.command("up")
@click.argument("sources", nargs=-1)
@with_options(UplinkOptions, name="uplink")
@with_glob
@with_plan_options
@with_global_options
@with_transfer_options
def up(  # noqa: PLR0913 - click: one parameter for each flag
    options: GlobalOptions,
    *,
    uplink: UplinkOptions,
    plan: PlanOptions,
    transfer: TransferOptions,
    sources: tuple[str, ...],
    glob: bool,
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
    plan.check(sources, what="SOURCES", dry_run=transfer.dry_run)
    if plan.apply is not None and (uplink.to or glob or transfer.include or transfer.exclude):
        raise click.UsageError("--apply takes all from its file: leave out --to, --glob, --include and --exclude")
    selected = paths_or_globs(sources, glob=glob)
    if plan.apply is not None:
        work = partial(_apply, file=plan.apply, uplink=uplink, transfer=transfer)
    elif transfer.dry_run or plan.plan is not None:
        work = partial(_plan, sources=selected, uplink=uplink, transfer=transfer, file=plan.plan)
    else:
        work = partial(_up, sources=selected, uplink=uplink, transfer=transfer)
    run_on_em(options, work, settings=transfer.settings(options))


async def _up(
    context: CommandContext, *, sources: list[str | Glob], uplink: UplinkOptions, transfer: TransferOptions
) -> ExitCode:
    start = partial(context.em.uplink, sources, uplink.to, overwrite=uplink.overwrite, **transfer.keywords)
    return await run_transfer(context, transfer, start, title="uplink")


async def _apply(context: CommandContext, *, file: str, uplink: UplinkOptions, transfer: TransferOptions) -> ExitCode:
    plan = read_plan(file, UplinkPlan)
    start = partial(context.em.apply, plan, overwrite=uplink.overwrite, **transfer.apply_keywords)
    return await run_transfer(context, transfer, start, title="uplink")


async def _plan(
    context: CommandContext,
    *,
    sources: list[str | Glob],
    uplink: UplinkOptions,
    transfer: TransferOptions,
    file: str | None,
) -> ExitCode:
    plan = await context.em.plan_uplink(sources, uplink.to, include=transfer.include, exclude=transfer.exclude)
    if file is not None:
        save_plan(plan, file)
        return print_saved_plan(context, plan, file)
    tree, overwrite = await context.em.files.list(), uplink.overwrite or "replace"

    def line(item: UplinkItem) -> PlanLine:
        action, reason = copy_action(exists=item.remote in tree, overwrite=overwrite, where="on the EM")
        return PlanLine(action=action, path=item.remote, reason=reason, bytes=item.fingerprint.size, local=item.local)

    return print_plan(context, [line(item) for item in plan.items], refused=plan.refused, notes=plan.notes)
