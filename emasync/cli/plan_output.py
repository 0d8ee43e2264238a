"""Plans of transfers: printed for ``--dry-run``, written to a file by ``--plan``, read from it by ``--apply``.

Sends nothing. Must not import http or transfer's engine.
"""

from __future__ import annotations

import secrets
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import click

from emasync.cli.exit_codes import ExitCode, code_of_items
from emasync.cli.options import CommandDecorator, declare, with_options
from emasync.cli.output import counted, escape_name, size
from emasync.cli.runner import CommandContext
from emasync.errors import EMError
from emasync.model import Overwrite, RemotePath, SyncAction, TransferReport, safe
from emasync.transfer.planning.plan import DownlinkPlan, RejectedFile, UplinkPlan, prefix
from emasync.transfer.planning.plan_file import dump_plan, load_plan

P = TypeVar("P", UplinkPlan, DownlinkPlan)
_COMMANDS = {UplinkPlan: "up", DownlinkPlan: "down"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """The options that write a plan to a file or carry out a plan from one, as given."""

    plan: str | None = declare(
        "--plan", metavar="FILE", help="write the plan to a file (- is standard output); move nothing"
    )
    apply: str | None = declare(
        "--apply", metavar="FILE", help="carry out a plan that --plan wrote (- is standard input)"
    )

    def check(self, paths: tuple[str, ...], *, what: str, dry_run: bool) -> None:
        """A usage error unless the files come from either `paths` (called `what`) or the plan of --apply."""
        if self.apply is not None and (paths or self.plan is not None or dry_run):
            raise click.UsageError(f"--apply takes all from its file: leave out {what}, --plan and --dry-run")
        if self.apply is None and not paths:
            raise click.UsageError(f"name {what}, or a plan with --apply FILE")


with_plan_options: CommandDecorator = with_options(PlanOptions, name="plan")
"""Give a command the options of `PlanOptions`, as its keyword `plan`."""


def save_plan(plan: UplinkPlan | DownlinkPlan, file: str) -> None:
    """Write `plan`, whole or not at all. Sources are written as absolute paths: it may be applied elsewhere."""
    if isinstance(plan, UplinkPlan):
        cwd = Path.cwd()
        calls = (
            replace(call, items=tuple(replace(item, directory=prefix(cwd / item.directory)) for item in call.items))
            for call in plan.calls
        )
        plan = replace(plan, calls=tuple(calls))
    text = dump_plan(plan)
    if file == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    target = Path(file)
    unfinished = target.with_name(f".emasync-{secrets.token_hex(8)}.plan")
    try:
        with unfinished.open("x", encoding="ascii") as new:  # "x" follows no link
            new.write(text)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def read_plan(file: str, kind: type[P]) -> P:
    """The plan in `file`. ValueError or OSError with what is wrong; a plan of the other direction is a ValueError."""
    try:
        plan = load_plan(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: {error}; make a new one with --plan") from None
    if not isinstance(plan, kind):
        raise ValueError(f"{file} is a plan of the other direction: emasync {_COMMANDS[type(plan)]} --apply {file}")
    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """What would be done with one file, and why. `bytes` is what a copy moves; `local_only`: not on the EM."""

    action: SyncAction
    path: RemotePath
    reason: str
    bytes: int
    local: Path
    local_only: bool = False


def copy_action(*, exists: bool, overwrite: Overwrite, where: str) -> tuple[SyncAction, str]:
    """What an uplink or downlink does with a file that `exists` at its target, or not."""
    if not exists:
        return "copy", "new"
    if overwrite == "replace":
        return "copy", "replaces a file"
    return ("keep" if overwrite == "skip" else "conflict"), f"a file of this name is {where}"


def print_plan(
    context: CommandContext,
    lines: Sequence[PlanLine],
    *,
    refused: Iterable[RejectedFile] = (),
    notes: Iterable[str] = (),
) -> ExitCode:
    """Print a plan; JSON has one `plan` line for each file. Returns the exit code that the transfer would fail with."""
    for note in notes:
        context.output.info(f"note: {note}")
    for line in lines:
        if context.output.as_json or line.action != "keep" or context.options.verbose:
            moved = f", {size(line.bytes)}" if line.action == "copy" else ""
            context.output.result(
                "plan",
                f"{line.action:8} {escape_name(line.local if line.local_only else line.path)}  ({line.reason}{moved})",
                action=line.action,
                path=line.path,
                local=str(line.local),
                reason=line.reason,
                bytes=line.bytes,
            )
    errors: list[BaseException] = []
    for file in refused:
        errors.append(file.error)
        reason = str(file.error)
        local = None if file.local is None else str(file.local)
        text = f"refuse   {escape_name(file.remote or local or '')}  ({reason})"
        context.output.result("plan", text, action="refuse", path=file.remote, local=local, reason=reason, bytes=0)
    items = len(lines) + len(errors)
    errors += [EMError(f"{safe(line.path)}: {line.reason}") for line in lines if line.action == "conflict"]
    if not context.output.as_json:
        context.output.result("plan", _sums(lines, refused=len(errors)))
    return code_of_items(errors, items=items)


def print_saved_plan(context: CommandContext, plan: UplinkPlan | DownlinkPlan, file: str) -> ExitCode:
    """Print where a plan was written and what is in it. Returns the exit code that applying it would have at least."""
    for note in plan.notes:
        context.output.info(f"note: {note}")
    for rejected in plan.refused:
        name = safe(rejected.remote or rejected.local or "")
        context.output.warn(f"refused: {name}: {rejected.error}")
    if file != "-":
        text = f"plan: {counted(plan.files)}, {size(plan.bytes)}, in {file}"
        context.output.result(
            "plan_file", text, file=file, files=plan.files, bytes=plan.bytes, refused=len(plan.refused)
        )
    return code_of_items([rejected.error for rejected in plan.refused], items=plan.files + len(plan.refused))


def print_sync_plan(
    context: CommandContext, report: TransferReport, *, local: Path, remote: str, deletes_here: bool
) -> ExitCode:
    """Print the plan of a sync, and which files it cannot move. A deletion is shown with the path of what would go."""
    folder = RemotePath(remote)
    lines = [
        PlanLine(
            action=decision.action,
            path=folder / decision.path,
            reason=decision.reason,
            bytes=decision.bytes,
            local=local / decision.path,
            local_only=deletes_here and decision.action == "delete",
        )
        for decision in report.plan
    ]
    refused = [
        RejectedFile(remote=failed.path, local=failed.local, error=as_em_error(failed.error))
        for failed in report.failed
    ]
    return print_plan(context, lines, refused=refused, notes=report.notes)


def as_em_error(error: Exception | None) -> EMError:
    """`error` as a `RejectedFile` takes it; errors of the local disk keep their text."""
    return error if isinstance(error, EMError) else EMError(str(error))


def _sums(lines: Sequence[PlanLine], *, refused: int) -> str:
    counts = Counter(line.action for line in lines)
    moved = sum(line.bytes for line in lines if line.action == "copy")
    parts = [f"dry run: {counted(counts['copy'])} to copy ({size(moved)})"]
    parts += [f"{counts['delete']} to delete"] if counts["delete"] else []
    parts += [f"{counts['keep']} to leave as they are"] if counts["keep"] else []
    parts += [f"{refused} with problems"] if refused else []
    return ", ".join(parts)
