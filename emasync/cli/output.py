"""Standard output and standard error: results as text or JSON lines on stdout, everything else on stderr.

Every text from a server or a file name passes `safe`: a newline in a name must not start another line. Must not import
rich: most commands draw nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import anyio

from emasync.cli.exit_codes import ExitCode
from emasync.errors import BadRequestError
from emasync.model import Outcome, safe

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
