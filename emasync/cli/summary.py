"""What is printed when a transfer has ended: the totals on stdout, failures on stderr, and the exit code.

May import model, output and exit_codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from emasync.cli.exit_codes import ExitCode, code_of_items
from emasync.cli.output import Out, size
from emasync.model import Direction, Outcome, TransferReport, safe

_LISTED = 50  # files named on stderr, of each kind; --report and --json have all


def tell_report(out: Out, report: TransferReport, *, verbose: bool) -> None:
    """The end of a transfer; `verbose` names every file that was skipped."""
    _list(out, "failed", report.failed)
    _list(out, "unknown", report.unknown)
    _tell_skipped(out, report.skipped, verbose=verbose)
    if (advice := report.advice) is not None:
        out.say(f"advice: {advice}")
    out.result(
        "summary",
        summary_text(report),
        ok=report.ok,
        files={name: len(getattr(report, name)) for name in ("done", "skipped", "failed", "unknown")},
        deleted=len(report.deleted),
        bytes=report.bytes,
        seconds=round(report.seconds, 3),
        bytes_per_second=round(report.throughput),
        requests=report.requests,
        verified=_verified(report),
        busy_seconds=round(report.busy_seconds, 3),
        wasted_bytes=report.wasted_bytes,
        resent_bytes=report.resent_bytes,
        failed_bytes=report.failed_bytes,
        advice=report.advice,
        notes=list(report.notes),
    )


def report_code(report: TransferReport) -> ExitCode:
    """The code that says how a transfer went, by the rule for several items."""
    failures = (outcome.error or OSError() for outcome in report.failed)
    return code_of_items(failures, items=len(report.outcomes), unknown=bool(report.unknown))


def summary_text(report: TransferReport) -> str:
    """One line: ``37 files, 12.3 MB in 4.1 s (3.0 MB/s), 9 requests, verified by tag``."""
    took = f"in {report.seconds:.1f} s"
    moved = len(report.done) - len(report.deleted)
    parts = [f"{counted(moved)}, {size(report.bytes)} {took} ({size(report.throughput)}/s)"]
    if report.deleted:
        where = "on the EM" if report.deleted[0].direction is Direction.UPLINK else "here"
        parts.append(f"{len(report.deleted)} deleted {where}")
    for name in ("skipped", "failed", "unknown"):
        if count := len(getattr(report, name)):
            parts.append(f"{count} {name}")
    parts.append(f"{report.requests} requests")
    if verified := _verified(report):
        parts.append(f"verified by {', '.join(verified)}")
    if report.busy_seconds >= 0.5:
        parts.append(f"waited {report.busy_seconds:.0f} s for the EM")
    if report.resent_bytes:
        parts.append(f"{size(report.resent_bytes)} moved again")
    if report.failed_bytes:
        parts.append(f"{size(report.failed_bytes)} moved for files that are not done")
    return ", ".join(parts)


def counted(number: int) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {'file' if number == 1 else 'files'}"


def _verified(report: TransferReport) -> list[str]:
    return sorted({str(outcome.verified) for outcome in report.done if outcome.bytes or outcome.attempts})


def _list(out: Out, what: str, outcomes: Iterable[Outcome]) -> None:
    """Also with ``-q``: these are errors."""
    found = list(outcomes)
    for outcome in found[:_LISTED]:
        reason = str(outcome.error or outcome.reason or "no reason known")
        named = safe(outcome.path) in safe(reason, limit=2000)
        out.warn(f"{what}: {reason}" if named else f"{what}: {safe(outcome.path or outcome.place)}: {reason}")
    if len(found) > _LISTED:
        out.warn(f"{what}: and {len(found) - _LISTED} more; --report FILE names all")


def _tell_skipped(out: Out, outcomes: Iterable[Outcome], *, verbose: bool) -> None:
    if verbose:
        for outcome in outcomes:
            out.say(f"skipped: {safe(outcome.path)}: {outcome.reason}")
        return
    for reason, count in Counter(outcome.reason for outcome in outcomes).most_common():
        out.say(f"skipped: {counted(count)}: {reason}")
