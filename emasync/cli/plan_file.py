"""Plans in files: ``--plan FILE`` writes what would be done, ``--apply FILE`` does it another day.

Owns: these two flags and the file's I/O. May import model and the saved plan's format.
"""

from __future__ import annotations

import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click

from emasync.cli.options import F, option
from emasync.transfer.planning.plan import DownlinkPlan, UplinkPlan, prefix
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
