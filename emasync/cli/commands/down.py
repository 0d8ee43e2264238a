"""``emasync down`` (also ``downlink``): download files and folders of the volume, or plan that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import click

from emasync.cli.commands.files import print_file
from emasync.cli.exit_codes import ExitCode
from emasync.cli.options import GlobalOptions, declare, with_global_options, with_options
from emasync.cli.plan_output import (
    PlanLine,
    PlanOptions,
    as_em_error,
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
from emasync.disk import is_there
from emasync.errors import EMError
from emasync.model import Glob, Overwrite
from emasync.transfer.planning.plan import DownlinkPlan, Order, RejectedFile
from emasync.transfer.planning.selection import needs_listing


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkOptions:
    """The options of ``down`` of its own, as given."""

    into: str = declare(
        "--into", default=".", metavar="FOLDER", help="local folder, made if missing; - is standard output [.]"
    )
    overwrite: Overwrite | None = declare(  # noqa: RUF009 - a dataclass field
        "--overwrite", type=click.Choice(get_args(Overwrite)), help="files that are here already [replace]"
    )
    order: Order = declare(  # noqa: RUF009
        "--order", type=click.Choice(get_args(Order)), default="largest", show_default=True, help="which come first"
    )

    @property
    def directory(self) -> Path:
        """Where the files go."""
        return Path(self.into)


@click.command("down")
@click.argument("paths", nargs=-1)
@with_options(DownlinkOptions, name="downlink")
@with_glob
@with_plan_options
@with_global_options
@with_transfer_options
def down(  # noqa: PLR0913 - click: one parameter for each flag
    options: GlobalOptions,
    *,
    downlink: DownlinkOptions,
    plan: PlanOptions,
    transfer: TransferOptions,
    paths: tuple[str, ...],
    glob: bool,
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
    plan.check(paths, what="PATHS", dry_run=transfer.dry_run)
    if plan.apply is not None:
        if downlink.into == "-" or glob or transfer.include or transfer.exclude:
            raise click.UsageError("--apply takes all from its file: leave out --include, --exclude, --glob, --into -")
        work = partial(_apply, file=plan.apply, downlink=downlink, transfer=transfer)
    elif downlink.into == "-" or paths[-1] == "-":
        run_on_em(replace(options, json=False), partial(print_file, path=_only_file(paths, glob=glob)))
    else:
        selected = paths_or_globs(paths, glob=glob)
        if transfer.dry_run or plan.plan is not None:
            work = partial(_plan, paths=selected, downlink=downlink, transfer=transfer, file=plan.plan)
        else:
            work = partial(_down, paths=selected, downlink=downlink, transfer=transfer)
    run_on_em(options, work, settings=transfer.settings(options))


def _only_file(paths: tuple[str, ...], *, glob: bool) -> str:
    files = paths[:-1] if paths[-1] == "-" else paths
    if glob or len(files) != 1 or needs_listing(files[0]):
        raise click.UsageError("standard output takes one file; name it, or give --into FOLDER")
    return files[0]


async def _down(
    context: CommandContext, *, paths: list[str | Glob], downlink: DownlinkOptions, transfer: TransferOptions
) -> ExitCode:
    keywords = {"overwrite": downlink.overwrite, "order": downlink.order, **transfer.keywords}
    start = partial(context.em.downlink, paths, downlink.directory, **keywords)
    return await run_transfer(context, transfer, start, title="downlink")


async def _apply(
    context: CommandContext, *, file: str, downlink: DownlinkOptions, transfer: TransferOptions
) -> ExitCode:
    plan = read_plan(file, DownlinkPlan)
    keywords = {"overwrite": downlink.overwrite, **transfer.apply_keywords}
    start = partial(context.em.apply, plan, downlink.directory, **keywords)
    return await run_transfer(context, transfer, start, title="downlink")


async def _plan(
    context: CommandContext,
    *,
    paths: list[str | Glob],
    downlink: DownlinkOptions,
    transfer: TransferOptions,
    file: str | None,
) -> ExitCode:
    plan = await context.em.plan_downlink(
        paths, order=downlink.order, include=transfer.include, exclude=transfer.exclude
    )
    if file is not None:
        save_plan(plan, file)
        return print_saved_plan(context, plan, file)
    lines: list[PlanLine] = []
    refused = list(plan.refused)
    for item in plan.items:
        local = downlink.directory / item.local
        try:
            exists = is_there(downlink.directory, item.local_path)
        except (EMError, OSError) as error:  # the transfer itself would fail alike for this file
            refused.append(RejectedFile(remote=item.remote, local=local, error=as_em_error(error)))
            continue
        action, reason = copy_action(exists=exists, overwrite=downlink.overwrite or "replace", where="here")
        lines.append(PlanLine(action=action, path=item.remote, reason=reason, bytes=item.bytes, local=local))
    return print_plan(context, lines, refused=refused, notes=plan.notes)
