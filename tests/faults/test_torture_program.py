"""The torture program's own word: a row that fails, dies, hangs, loses a file or tries nothing ends it with 1."""

from __future__ import annotations

import json
import os
import select
from pathlib import Path

import pytest

from tests.torture.__main__ import main
from tests.torture.row import Row
from tests.torture.rows_soak import slope_per_ten_minutes
from tests.torture.table import FLOORS, Line, complaints, drawn

GOOD = "return Row(name=NAME, tries=3, bad_inputs=2, faults=1)"


def a_row(folder: Path, name: str, body: str) -> None:
    lines = ["import os, signal, subprocess, threading", "from tests.torture.row import Order, Row", f"NAME = {name!r}"]
    lines += ["def run(order: Order) -> Row:", f"    {body}"]
    (folder / f"rows_{name}.py").write_text("\n".join(lines) + "\n")


def run(folder: Path, *more: str) -> int:
    return main(["--rows", str(folder), "--seed", "7", "--scale", "0.05", *more])


# sabotage: choose the soak unasked.
def test_rows_that_find_nothing_are_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_row(tmp_path, "one", GOOD)
    a_row(tmp_path, "soak", "return Row(name=NAME, tries=0, failures=('nobody asked for it',))")
    table = tmp_path / "table.json"
    assert run(tmp_path, "--json", str(table)) == 0
    shown = capsys.readouterr()
    assert "seed 7" in shown.out
    assert "soak" not in shown.out
    told = json.loads(table.read_text())
    assert told["totals"]["bad_inputs"] == 2
    assert told["complaints"] == []


# sabotage: `return 0` at the end of main; or catch nothing in child.py; or let `_row` believe an exit code of 0.
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return Row(name=NAME, tries=1, failures=('case 5 came out wrong',))", "case 5 came out wrong"),
        ("return Row(name=NAME, tries=1, files_lost=1)", "1 files lost"),
        ("return Row(name=NAME, tries=1, files_wrong=1)", "1 files wrong"),
        ("return Row(name=NAME, tries=1, outside=9)", "9 outside"),
        ("return Row(name=NAME, tries=0)", "tried nothing"),
        ("raise RuntimeError('the row is broken')", "the row itself broke"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "gave no result: exit -9"),
        ("os._exit(0)", "gave no result: exit 0"),
        ("return None", "the row itself broke"),
    ],
)
def test_a_row_that_is_not_good_makes_the_exit_code_1_and_the_others_still_run(
    body: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_row(tmp_path, "bad", body)
    a_row(tmp_path, "good", GOOD)
    assert run(tmp_path) == 1
    shown = capsys.readouterr().out
    assert said in shown
    assert "good " in shown
    if "tried nothing" not in said:
        assert "python -m tests.torture --seed 7 --scale 0.05 --only bad" in shown


# sabotage: wait without a limit, and the test's own limit ends it; `os.kill` for `os.killpg` in `_end`.
def test_a_row_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    there = os.open(held, os.O_RDONLY | os.O_NONBLOCK)  # a blocking open would wait for a writer
    begun = f"subprocess.Popen(['sh', '-c', 'echo on; exec sleep 60'], stdout=open({str(held)!r}, 'w'))"
    a_row(tmp_path, "hangs", f"{begun}; threading.Event().wait()")
    assert run(tmp_path, "--limit", "5") == 1
    assert "still running after 5 s" in capsys.readouterr().out
    assert _all_of(there) == b"on\n"  # and then its end: nobody holds the other side any more
    os.close(there)


def _all_of(pipe: int) -> bytes:
    """All that comes until the last writer has gone. A process that was killed is gone a moment later only: where it is
    not, reading at once finds neither bytes nor the end."""
    found = b""
    while select.select([pipe], [], [], 30)[0]:
        piece = os.read(pipe, 100)
        if not piece:
            return found
        found += piece
    raise AssertionError(f"somebody still holds the other end; it gave {found!r}")


# sabotage: no check of unknown names.
def test_a_name_that_is_no_row_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_row(tmp_path, "one", GOOD)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, "--only", "two")
    assert ended.value.code == 2
    assert "no such row: two; there are one" in capsys.readouterr().err


# sabotage: leave the floors out of `complaints`.
@pytest.mark.parametrize("short", sorted(FLOORS))
def test_a_full_run_that_tried_too_little_is_not_good(short: str) -> None:
    def line(**counts: int) -> Line:
        return Line(row=Row(name="r", tries=1, **counts), seconds=1.0)  # type: ignore[arg-type]  # counts only

    assert complaints([line(**FLOORS)], floors=FLOORS) == []
    (said,) = complaints([line(**{**FLOORS, short: FLOORS[short] - 1})], floors=FLOORS)
    assert said.startswith(short.replace("_", " "))
    assert complaints([], floors={}) == ["no row was run"]


# sabotage: `max` for `sum` in `totals`.
def test_the_table_adds_up_what_the_rows_counted() -> None:
    lines = [Line(row=Row(name=name, tries=1_000, faults=2), seconds=1.5) for name in ("a", "b")]
    assert drawn(lines).splitlines()[-1].split() == ["total", "2,000", "0", "4", "0", "0", "0", "0", "0", "0", "3"]


# sabotage: a dead EM; raise EMError in `_until_done` before the call: a row without tries, or with failures.
def test_a_soak_of_seconds_goes_through_and_tells_what_struck(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "7", "--only", "soak", "--soak", "0.05"]) == 0
    shown = capsys.readouterr().out
    assert "slope" in shown
    assert "--only soak --soak 0.05" not in shown  # nothing to repeat


# sabotage: the slope of the first and the last sample only.
def test_the_slope_is_that_of_a_line_through_noise() -> None:
    leak = [(5.0 * n, 50.0 + 0.01 * n + (0.4 if n % 2 else -0.4)) for n in range(120)]
    assert slope_per_ten_minutes(leak) == pytest.approx(1.2, abs=0.05)
    assert slope_per_ten_minutes([(5.0 * n, 50.0 + n % 2) for n in range(120)]) == pytest.approx(0.0, abs=0.05)
    assert slope_per_ten_minutes([(0.0, 1.0), (5.0, 9.0)]) == 0.0
