"""Plans of transfers: printed for ``--dry-run``, written to a file by ``--plan``, read from it by ``--apply``.

May import model and transfer's planning; sends nothing.
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
from emasync.cli.options import F, option
from emasync.cli.output import escape_name, size
from emasync.cli.runner import CommandContext
from emasync.cli.summary import counted
from emasync.errors import EMError
from emasync.model import Overwrite, RemotePath, SyncAction, TransferReport, safe
from emasync.transfer.planning.plan import DownlinkPlan, RejectedFile, UplinkPlan, prefix
from emasync.transfer.planning.plan_file import dump_plan, load_plan

P = TypeVar("P", UplinkPlan, DownlinkPlan)
_VERBS = {UplinkPlan: "up", DownlinkPlan: "down"}


def with_plan_flags(function: F) -> F:
    """Give a verb ``--plan`` and ``--apply``, as its keywords `plan` and `apply`: a path or None."""
    flags = (
        option("--plan", metavar="FILE", help="write the plan to a file (- is standard output); move nothing"),
        option("--apply", metavar="FILE", help="carry out a plan that --plan wrote (- is standard input)"),
    )
    for decorate in reversed(flags):
        function = decorate(function)
    return function


def check_plan_flags(asked: tuple[str, ...], *, what: str, plan: str | None, apply: str | None, dry_run: bool) -> None:
    """A usage error unless there is one thing to do: move what is named, or what a plan names."""
    if apply is not None and (asked or plan is not None or dry_run):
        raise click.UsageError(f"--apply takes all from its file: leave out {what}, --plan and --dry-run")
    if apply is None and not asked:
        raise click.UsageError(f"name {what}, or a plan with --apply FILE")


def save_plan(plan: UplinkPlan | DownlinkPlan, file: str) -> None:
    """Write `plan`, whole or not at all. Sources are written as absolute paths: it may be applied elsewhere."""
    if isinstance(plan, UplinkPlan):
        here = Path.cwd()
        calls = (
            replace(call, items=tuple(replace(item, directory=prefix(here / item.directory)) for item in call.items))
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
        raise ValueError(f"{file} is a plan of the other direction: emasync {_VERBS[type(plan)]} --apply {file}")
    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """What would be done with one file, and why. `bytes` is what a copy moves; `local_only`: it is here only."""

    action: SyncAction
    path: RemotePath
    reason: str
    bytes: int
    local: Path
    local_only: bool = False


def copy_action(*, there: bool, overwrite: Overwrite, where: str) -> tuple[SyncAction, str]:
    """What an uplink or downlink does with a file whose name is taken, or not."""
    if not there:
        return "copy", "new"
    if overwrite == "replace":
        return "copy", "replaces a file"
    return ("keep" if overwrite == "skip" else "conflict"), f"a file of this name is {where}"


def tell_plan(
    at: CommandContext, lines: Sequence[PlanLine], *, refused: Iterable[RejectedFile] = (), notes: Iterable[str] = ()
) -> ExitCode:
    """Print a plan; JSON has a `plan` line for each file and nothing else. The code is what the run would fail with."""
    for note in notes:
        at.out.say(f"note: {note}")
    for line in lines:
        if at.out.as_json or line.action != "keep" or at.asked.verbose:
            moved = f", {size(line.bytes)}" if line.action == "copy" else ""
            at.out.result(
                "plan",
                f"{line.action:8} {escape_name(line.local if line.local_only else line.path)}  ({line.reason}{moved})",
                action=line.action,
                path=line.path,
                local=str(line.local),
                reason=line.reason,
                bytes=line.bytes,
            )
    errors: list[BaseException] = []
    for one in refused:
        errors.append(one.error)
        reason = str(one.error)
        local = None if one.local is None else str(one.local)
        text = f"refuse   {escape_name(one.remote or local or '')}  ({reason})"
        at.out.result("plan", text, action="refuse", path=one.remote, local=local, reason=reason, bytes=0)
    items = len(lines) + len(errors)
    errors += [EMError(f"{safe(line.path)}: {line.reason}") for line in lines if line.action == "conflict"]
    if not at.out.as_json:
        at.out.result("plan", _sums(lines, refused=sum(1 for _ in errors)))
    return code_of_items(errors, items=items)


def tell_saved(at: CommandContext, plan: UplinkPlan | DownlinkPlan, file: str) -> ExitCode:
    """Say where a plan went and what is in it. The code is what carrying it out would fail with."""
    for note in plan.notes:
        at.out.say(f"note: {note}")
    for one in plan.refused:
        at.out.warn(f"refused: {safe(one.remote or one.local or '')}: {one.error}")
    if file != "-":
        text = f"plan: {counted(plan.files)}, {size(plan.bytes)}, in {file}"
        at.out.result("plan_file", text, file=file, files=plan.files, bytes=plan.bytes, refused=len(plan.refused))
    return code_of_items([one.error for one in plan.refused], items=plan.files + len(plan.refused))


def tell_decisions(
    at: CommandContext, report: TransferReport, *, local: Path, remote: str, deletes_here: bool
) -> ExitCode:
    """Print the plan of a sync, and which files it cannot move. A deletion is shown with the path of what would go."""
    there = RemotePath(remote)
    lines = [
        PlanLine(
            action=one.action,
            path=there / one.path,
            reason=one.reason,
            bytes=one.bytes,
            local=local / one.path,
            local_only=deletes_here and one.action == "delete",
        )
        for one in report.plan
    ]
    refused = [RejectedFile(remote=one.path, local=one.local, error=as_em_error(one.error)) for one in report.failed]
    return tell_plan(at, lines, refused=refused, notes=report.notes)


def as_em_error(error: Exception | None) -> EMError:
    """`error` as a plan's refusals have it: those of the local disk keep their words."""
    return error if isinstance(error, EMError) else EMError(str(error))


def _sums(lines: Sequence[PlanLine], *, refused: int) -> str:
    counts = Counter(line.action for line in lines)
    moved = sum(line.bytes for line in lines if line.action == "copy")
    parts = [f"dry run: {counted(counts['copy'])} to copy ({size(moved)})"]
    parts += [f"{counts['delete']} to delete"] if counts["delete"] else []
    parts += [f"{counts['keep']} to leave as they are"] if counts["keep"] else []
    parts += [f"{refused} with problems"] if refused else []
    return ", ".join(parts)
