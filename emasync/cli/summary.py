"""What is printed when a transfer has ended: the totals on stdout, failures on stderr, and the exit code.

Everything that is printed comes from the transfer's report. Must not import the client or transfer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from emasync.cli.exit_codes import ExitCode, code_of_items
from emasync.cli.output import Output, size
from emasync.model import Direction, Outcome, TransferReport, safe

_LISTED = 50  # files named on stderr, of each kind; --report and --json have all


def print_summary(output: Output, report: TransferReport, *, verbose: bool) -> None:
    """Print how a transfer ended; with `verbose` every skipped file by name."""
    _print_files(output, "failed", report.failed)
    _print_files(output, "unknown", report.unknown)
    _print_skipped(output, report.skipped, verbose=verbose)
    if (advice := report.advice) is not None:
        output.info(f"advice: {advice}")
    output.result(
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
    """The exit code of a transfer, by the rule for several items."""
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


def _print_files(output: Output, what: str, outcomes: Iterable[Outcome]) -> None:
    """Print the files on stderr, also with ``-q``: these are errors."""
    found = list(outcomes)
    for outcome in found[:_LISTED]:
        reason = str(outcome.error or outcome.reason or "no reason known")
        named = safe(outcome.path) in safe(reason, limit=2000)
        output.warn(f"{what}: {reason}" if named else f"{what}: {safe(outcome.path or outcome.place)}: {reason}")
    if len(found) > _LISTED:
        output.warn(f"{what}: and {len(found) - _LISTED} more; --report FILE names all")


def _print_skipped(output: Output, outcomes: Iterable[Outcome], *, verbose: bool) -> None:
    if verbose:
        for outcome in outcomes:
            output.info(f"skipped: {safe(outcome.path)}: {outcome.reason}")
        return
    for reason, count in Counter(outcome.reason for outcome in outcomes).most_common():
        output.info(f"skipped: {counted(count)}: {reason}")
