"""Standard output and standard error: results as text or JSON lines on stdout, everything else on stderr.

Every text from a server or a file name passes `safe`: a newline in a name must not start another line. Must not import
rich: most commands draw nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import anyio

from emasync.cli.exit_codes import ExitCode, code_of_items
from emasync.errors import BadRequestError
from emasync.model import Direction, Outcome, TransferReport, safe

SCHEMA = 1
_LINE = 100_000  # characters of one line of results


class Output:
    """The output of one command.

    With `as_json` every result is a line with a JSON object that has `type` and `schema`; the last one is `exit`. Later
    versions only add fields. 64-bit tags are strings.
    """

    def __init__(self, *, as_json: bool, quiet: bool, stdout: TextIO | None = None) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._stdout = stdout or sys.stdout
        self._reason = ""

    def result(self, kind: str, text: str | list[str], **fields: Any) -> None:
        """Print a result on stdout: as text its line or lines (made safe here), as JSON the `fields`."""
        if self.as_json:
            self._line(_json_line({"type": kind, "schema": SCHEMA, **fields}))
        else:
            for line in [text] if isinstance(text, str) else text:
                self._line(safe(line, limit=_LINE))

    def info(self, text: str) -> None:
        """Print a line for people on stderr; nothing with ``-q``."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Print a warning on stderr, also with ``-q``. An error of stderr itself (a closed terminal, a full disk) is
        ignored: the clean-up that follows must not fail because of it."""
        try:
            print(safe(text, limit=2000), file=sys.stderr, flush=True)
        except OSError:
            discard_output(sys.stderr)

    def error(self, error: BaseException | str) -> None:
        """Print an error on stderr, with the last lines of a failed build's log."""
        self._reason = safe(str(error) or type(error).__name__, limit=2000)
        self.warn(f"emasync: {self._reason}")
        if isinstance(error, BadRequestError):
            for line in error.log_tail[-20:]:
                self.warn(f"  {safe(line)}")

    def exit(self, code: ExitCode) -> None:
        """Print the last line of a JSON output."""
        if self.as_json:
            reason = self._reason or code.name.lower().replace("_", " ")
            self.result("exit", "", code=int(code), reason=reason)

    def _line(self, text: str) -> None:
        print(text, file=self._stdout, flush=True)


def escape_name(name: object) -> str:
    """`name` for a line of text: whole, with control characters escaped, so that no name starts a line or moves the
    cursor. JSON lines have the name itself."""
    return safe(name, limit=_LINE)


def _json_line(fields: dict[str, Any]) -> str:
    """A JSON object in printable ASCII, which any terminal and any encoding can carry."""
    return json.dumps(fields, ensure_ascii=True, default=str)


def discard_output(stream: TextIO) -> None:
    """Redirect `stream`, whose reader has gone, to /dev/null: else the interpreter's last flush fails, and the process
    ends with code 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """The fields of a file's outcome in JSON lines."""
    return {
        "path": outcome.path,
        "local": outcome.place,
        "direction": str(outcome.direction),
        "action": str(outcome.action),
        "state": str(outcome.state),
        "bytes": outcome.bytes,
        "sha256": outcome.sha256,
        "verified": str(outcome.verified),
        "attempts": outcome.attempts,
        "seconds": round(outcome.seconds, 3),
        "busy_seconds": round(outcome.busy_seconds, 3),
        "reason": outcome.reason,
        "error": None if outcome.error is None else safe(outcome.error, limit=2000),
        "error_type": None if outcome.error is None else type(outcome.error).__name__,
    }


class ReportFile:
    """``--report FILE``: a JSON line for each file of a transfer, written as soon as its outcome is known."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def add(self, outcome: Outcome) -> None:
        """Write the line of one file."""
        line = {"type": "file", "schema": SCHEMA, **outcome_fields(outcome)}
        self._file.write(_json_line(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


async def confirm(text: str) -> bool:
    """Ask `text` on the terminal; True for a yes. Nothing blocks: Ctrl-C ends the question at once."""
    print(f"{safe(text, limit=2000)} [y/N] ", end="", file=sys.stderr, flush=True)
    await anyio.wait_readable(sys.stdin)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def is_interactive() -> bool:
    """Whether stdin is a terminal, so that a question can be answered."""
    return sys.stdin.isatty()


def size(count: float) -> str:
    """A number of bytes in decimal units: ``12.3 MB``. (rich's sizes read ``0 bytes``, and need an import of rich.)"""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


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
