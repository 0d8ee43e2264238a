"""``emasync down`` (also ``downlink``): download files and folders of the volume, or plan that."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import click

from emasync.cli.commands.files import print_file
from emasync.cli.exit_codes import ExitCode
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.cli.plan_output import (
    PlanLine,
    as_em_error,
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
from emasync.disk import is_there
from emasync.errors import EMError
from emasync.model import Glob, Overwrite
from emasync.transfer.planning.plan import DownlinkPlan, Order, RejectedFile
from emasync.transfer.planning.selection import needs_listing


@click.command("down")
@click.argument("paths", nargs=-1)
@option("--into", default=".", metavar="FOLDER", help="local folder, made if missing; - is standard output [.]")
@option("--overwrite", type=click.Choice(get_args(Overwrite)), help="files that are here already [replace]")
@option("--order", type=click.Choice(get_args(Order)), default="largest", show_default=True, help="which come first")
@with_glob
@with_plan_flags
@with_em
@with_transfer_flags
def down(
    asked: GlobalOptions,
    *,
    wishes: TransferFlags,
    paths: tuple[str, ...],
    into: str,
    overwrite: Overwrite | None,
    order: Order,
    glob: bool,
    plan: str | None,
    apply: str | None,
) -> None:
    """Bring files and folders of the volume here, verified.

    A folder keeps its tree; with a slash at its end its contents come. In PATHS only * and ** are wildcards (quote
    them), unless something has exactly that name; with --glob every path is a pattern, in which ? and [...] are
    wildcards too. Every file appears whole or not at all. The same command again, after an interruption, fetches only
    what is missing. When standard output is closed by whoever reads it, the transfer ends with code 1 and can be
    resumed. With --plan FILE nothing comes: the plan can be looked at (JSON lines), kept, and carried out with --apply
    FILE. Exit code 6: some files failed; all codes: `emasync --help`.

    \b
    emasync down results/ 'logs/*.log' --into out
    emasync down results/frame.png - | display
    emasync down results/ --plan results.plan && emasync down --apply results.plan --into out
    """
    check_plan_flags(paths, what="PATHS", plan=plan, apply=apply, dry_run=wishes.dry_run)
    if apply is not None:
        if into == "-" or glob or wishes.include or wishes.exclude:
            raise click.UsageError("--apply takes all from its file: leave out --include, --exclude, --glob, --into -")
        verb = partial(_apply, wishes=wishes, file=apply, into=Path(into), overwrite=overwrite)
    elif into == "-" or paths[-1] == "-":
        run_on_em(replace(asked, json=False), partial(print_file, path=_only_file(paths, glob=glob)))
    elif wishes.dry_run or plan is not None:
        taken = overwrite or "replace"
        wanted = paths_or_globs(paths, glob=glob)
        verb = partial(_plan, wishes=wishes, paths=wanted, into=Path(into), overwrite=taken, order=order, file=plan)
    else:
        wanted = paths_or_globs(paths, glob=glob)
        verb = partial(_down, wishes=wishes, paths=wanted, into=Path(into), overwrite=overwrite, order=order)
    run_on_em(asked, verb, settings=wishes.settings(asked))


def _only_file(paths: tuple[str, ...], *, glob: bool) -> str:
    files = paths[:-1] if paths[-1] == "-" else paths
    if glob or len(files) != 1 or needs_listing(files[0]):
        raise click.UsageError("standard output takes one file; name it, or give --into FOLDER")
    return files[0]


async def _down(
    at: CommandContext,
    *,
    wishes: TransferFlags,
    paths: list[str | Glob],
    into: Path,
    overwrite: Overwrite | None,
    order: Order,
) -> ExitCode:
    begin = partial(at.em.downlink, paths, into, overwrite=overwrite, order=order, **wishes.keywords)
    return await move(at, wishes, begin, title="downlink")


async def _apply(
    at: CommandContext, *, wishes: TransferFlags, file: str, into: Path, overwrite: Overwrite | None
) -> ExitCode:
    plan = read_plan(file, DownlinkPlan)
    begin = partial(at.em.apply, plan, into, overwrite=overwrite, **wishes.moving)
    return await move(at, wishes, begin, title="downlink")


async def _plan(
    at: CommandContext,
    *,
    wishes: TransferFlags,
    paths: list[str | Glob],
    into: Path,
    overwrite: Overwrite,
    order: Order,
    file: str | None,
) -> ExitCode:
    plan = await at.em.plan_downlink(paths, order=order, include=wishes.include, exclude=wishes.exclude)
    if file is not None:
        save_plan(plan, file)
        return tell_saved(at, plan, file)

    lines: list[PlanLine] = []
    refused = list(plan.refused)
    for item in plan.items:
        local = into / item.local
        try:
            here = is_there(into, item.local_path)
        except (EMError, OSError) as error:  # the run would say the same of this file
            refused.append(RejectedFile(remote=item.remote, local=local, error=as_em_error(error)))
            continue
        action, reason = copy_action(there=here, overwrite=overwrite, where="here")
        lines.append(PlanLine(action=action, path=item.remote, reason=reason, bytes=item.bytes, local=local))
    return tell_plan(at, lines, refused=refused, notes=plan.notes)
