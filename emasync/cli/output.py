"""Standard output and standard error: results as text or JSON lines on stdout, everything else on stderr.

Every text from a server or a file name passes `safe`: a newline in a name must not start another line. May import
model. Must not import rich: most commands draw nothing.
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


class Out:
    """One call's output. With `as_json` every result is a JSON object on a line, with `type` and `schema`; fields are
    only ever added. 64-bit tags are strings. The last line is `exit`."""

    def __init__(self, *, as_json: bool, quiet: bool, stdout: TextIO | None = None) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._stdout = stdout or sys.stdout
        self._reason = ""

    def result(self, kind: str, text: str | list[str], **fields: Any) -> None:
        """A result: `text` for people (one line, or a list of lines; made safe here), `fields` for scripts."""
        if self.as_json:
            self._line(_json_line({"type": kind, "schema": SCHEMA, **fields}))
        else:
            for line in [text] if isinstance(text, str) else text:
                self._line(safe(line, limit=_LINE))

    def say(self, text: str) -> None:
        """Something for people only, on stderr; nothing with ``-q``."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Something that went wrong on the way, on stderr, also with ``-q``. A terminal that was closed, or a full
        disk behind stderr, ends nothing: what a signal has begun must come to its end."""
        try:
            print(safe(text, limit=2000), file=sys.stderr, flush=True)
        except OSError:
            discard(sys.stderr)

    def error(self, error: BaseException | str) -> None:
        """What went wrong, on stderr; a failed build's last lines with it."""
        self._reason = safe(str(error) or type(error).__name__, limit=2000)
        self.warn(f"emasync: {self._reason}")
        if isinstance(error, BadRequestError):
            for line in error.log_tail[-20:]:
                self.warn(f"  {safe(line)}")

    def exit(self, code: ExitCode) -> None:
        """The last line of a JSON output."""
        if self.as_json:
            reason = self._reason or code.name.lower().replace("_", " ")
            self.result("exit", "", code=int(code), reason=reason)

    def _line(self, text: str) -> None:
        print(text, file=self._stdout, flush=True)


def escape_name(name: object) -> str:
    """A path or another name as a part of a line of text: whole, with every character written out that does not simply
    print, so that no name starts a line or moves a cursor. JSON has the name itself."""
    return safe(name, limit=_LINE)


def _json_line(fields: dict[str, Any]) -> str:
    """A JSON object in printable ASCII; names stay what they are."""
    return json.dumps(fields, ensure_ascii=True, default=str)


def discard(stream: TextIO) -> None:
    """Nobody reads `stream` any more: what it still holds, and what comes, goes nowhere. Without that the interpreter's
    last flush fails, and its exit code is 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """A file's end, as every JSON line of it has it."""
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


class Report:
    """``--report FILE.jsonl``: every file of a transfer as it settles, flushed line by line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def add(self, outcome: Outcome) -> None:
        """One line."""
        line = {"type": "file", "schema": SCHEMA, **outcome_fields(outcome)}
        self._file.write(_json_line(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


async def ask(text: str) -> bool:
    """Whether the answer to `text` is yes. No thread, and no read that blocks: Ctrl-C must end this at once."""
    print(f"{safe(text, limit=2000)} [y/N] ", end="", file=sys.stderr, flush=True)
    await anyio.wait_readable(sys.stdin)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def can_ask() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


def size(count: float) -> str:
    """Bytes in decimal units, as disks and links are sold: 12.3 MB."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"
