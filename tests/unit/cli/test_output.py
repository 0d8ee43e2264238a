"""What a command prints: a text is one line, a list is several, and a name stays whole and harmless."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from emasync import Direction, Outcome, OutcomeState, RemotePath
from emasync.cli.output import Output, ReportFile, escape_name

HOSTILE = "a\nb\rc\x1b[2Jd\u202ee\x85f\u2028g\th\x08i\x7fj"
_ESCAPED = r"a\x0ab\x0dc\x1b[2Jd\u202ee\x85f\u2028g\x09h\x08i\x7fj"


def printed(*, as_json: bool, text: str | list[str] = "", **fields: object) -> str:
    stdout = io.StringIO()
    Output(as_json=as_json, quiet=False, stdout=stdout).result("kind", text, **fields)
    return stdout.getvalue()


def test_a_text_is_one_line_whatever_it_holds() -> None:
    # Sabotage: `for line in text.split("\n")` in Output.result.
    assert printed(as_json=False, text=HOSTILE) == f"{_ESCAPED}\n"


def test_a_list_is_a_line_for_each_of_its_texts() -> None:
    # Sabotage: "\n".join(text) in Output.result.
    assert printed(as_json=False, text=["one", HOSTILE]) == f"one\n{_ESCAPED}\n"


def test_a_name_is_escaped_and_never_cut() -> None:
    # Sabotage: `return str(name)` in escape_name, or no `limit`.
    assert escape_name(RemotePath(HOSTILE)) == _ESCAPED
    assert escape_name("x" * 3000) == "x" * 3000


def test_json_keeps_the_name_in_printable_ascii() -> None:
    # Sabotage: ensure_ascii=False in _json_line.
    line = printed(as_json=True, path=HOSTILE)
    assert json.loads(line)["path"] == HOSTILE
    assert line[:-1].isprintable()
    assert line[:-1].isascii()


def test_a_report_file_keeps_the_name_in_printable_ascii(tmp_path: Path) -> None:
    # Sabotage: ensure_ascii=False in _json_line.
    report = ReportFile(tmp_path / "r.jsonl")
    outcome = Outcome(
        path=RemotePath(HOSTILE), place=HOSTILE, direction=Direction.DOWNLINK, state=OutcomeState.SKIPPED, reason="none"
    )
    report.add(outcome)
    report.close()
    line = (tmp_path / "r.jsonl").read_text(encoding="utf-8")
    assert json.loads(line)["path"] == HOSTILE
    assert line[:-1].isprintable()


@pytest.mark.parametrize("tell", ["info", "warn", "error"])
def test_what_goes_to_stderr_is_one_line_too(tell: str, capsys: pytest.CaptureFixture[str]) -> None:
    # Sabotage: print(text) in place of print(safe(text)) in the method.
    getattr(Output(as_json=False, quiet=False), tell)(HOSTILE)
    assert capsys.readouterr().err.removeprefix("emasync: ") == f"{_ESCAPED}\n"
