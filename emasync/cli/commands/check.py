"""``emasync check``: compare a local folder with a folder of the volume, file by file. Changes neither."""

from __future__ import annotations

from collections import Counter
from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.options import GlobalOptions, option, with_global_options
from emasync.cli.output import escape_name
from emasync.cli.runner import CommandContext, run_on_em
from emasync.model import SyncDecision, SyncReason

_SIGNS = {
    "=": "the same",
    "-": "only on the EM",
    "+": "only here",
    "*": "different",
    "!": "not comparable",
}


@click.command("check")
@click.argument("local", type=click.Path())
@click.argument("remote")
@option("--include", multiple=True, metavar="PATTERN", help="only these (gitignore pattern); may be given again")
@option("--exclude", multiple=True, metavar="PATTERN", help="not these, whatever --include says; may be given again")
@with_global_options
def check(
    options: GlobalOptions, *, local: str, remote: str, include: tuple[str, ...], exclude: tuple[str, ...]
) -> None:
    """Compare the folder LOCAL with the folder REMOTE of the volume, by content where the EM gives checksums.

    \b
    =  the same       -  only on the EM     +  only here
    *  different      !  cannot be compared: same size and no checksum, not listed, or not a file that can be sent
    Exit code 0 if all files are the same, 1 if not, 3 if LOCAL or REMOTE is not there, 2 if one is a file.

    \b
    emasync check results campaign-7/results
    emasync check . campaign-7 --exclude .git | grep -v '^='
    """
    run_on_em(options, partial(_check, local=local, remote=remote, include=include, exclude=exclude))


async def _check(
    context: CommandContext, *, local: str, remote: str, include: tuple[str, ...], exclude: tuple[str, ...]
) -> ExitCode:
    report = await context.em.sync_up(
        local,
        remote,
        dry_run=True,
        delete=True,
        allow_empty_source=True,
        missing_ok=False,
        verify="content",
        include=include,
        exclude=exclude,
    )
    counts: Counter[str] = Counter()
    for decision in report.plan:
        counts[sign := _sign(decision)] += 1
        reason = _SIGNS[sign] if sign in "=-+" else decision.reason
        context.output.result(
            "check", f"{sign} {escape_name(decision.path)}", sign=sign, path=decision.path, reason=reason
        )
    for failed in report.failed:
        counts["!"] += 1
        reason = str(failed.error)
        context.output.result(
            "check",
            f"! {escape_name(failed.path or failed.local)}  ({reason})",
            sign="!",
            path=failed.path,
            reason=reason,
        )
    for note in report.notes:
        context.output.info(f"note: {note}")
    totals = ", ".join(f"{counts[sign]} {text}" for sign, text in _SIGNS.items() if counts[sign])
    filtered = ", filters applied" if include or exclude else ""
    context.output.info(totals or f"no files on either side{filtered}")
    return ExitCode.DONE if counts.total() == counts["="] else ExitCode.FAILED


def _sign(decision: SyncDecision) -> str:
    if not decision.compared:
        return "!"
    if decision.action == "delete":
        return "-"
    if decision.reason == SyncReason.NEW:
        return "+"
    return "=" if decision.action == "keep" else "*"
