"""``emasync demo`` without an EM of one's own: the first thing a newcomer runs."""

from __future__ import annotations

import os
import pty
import re
import signal
from pathlib import Path

from tests.cli.child import EMASYNC, LIMIT_S, end, read_until, run, start

STEPS = [
    "* Log in as client1 and list the volume",
    "* Uplink 8 files",
    "* Build an image on the EM",
    "* Run it as a pod and watch",
    "* Downlink everything, results included",
    "* Compare every byte, and the checksums that the pod computed on the EM",
    "* Clean up",
]


def test_the_demo_tells_every_step_in_order_and_sums_up_what_was_asked_for(home: Path) -> None:
    # Sabotage: leave out a file in make_samples, or the pod's behaviour in _em.
    result = run("-X", "dev", "-W", "error", *EMASYNC, "demo", "--files", "6", home=home)

    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    told = [line for line in lines if line.startswith("* ")]
    assert [line[: len(step)] for line, step in zip(told, STEPS, strict=True)] == STEPS
    text = result.stdout
    assert "\x1b" not in text  # a pipe gets plain lines
    assert "\r" not in text
    assert "using an embedded simulator at http://127.0.0.1:" in text
    assert "built; images of client1: client1-emasync-demo" in text
    assert re.search(r"^    \s*\d+\.\d s  waiting: ContainerCreating$", text, re.MULTILINE)
    assert re.search(r"^    \s*\d+\.\d s  running$", text, re.MULTILINE)
    assert re.search(r"^    \s*\d+\.\d s  terminated: Completed$", text, re.MULTILINE)
    summary = lines[lines.index("Everything verified on embedded simulator") + 1 :]
    assert [line.split()[0] for line in summary] == ["uplink", "pod", "downlink", "verified", "in"]
    assert " 8 files, 1.9 MB in " in summary[0]  # six samples, the Dockerfile and its script
    assert " exit code 0, " in summary[1]
    assert " 9 files, 1.9 MB in " in summary[2]
    assert summary[2].endswith("verified by sha256")
    assert "8 files byte for byte, 6 checksums from the pod" in summary[3]
    assert "is gone; 0 files left in the volume" in text


def test_on_a_terminal_it_draws_bars_and_leaves_a_clean_screen(home: Path) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        process = start(*EMASYNC, "demo", "--files", "6", home=home, env=TERMINAL, stdout=terminal)
    try:
        drawn = _all_of(ours)
        result = end(process)
    finally:
        os.close(ours)

    assert (result.returncode, result.stderr) == (0, "")
    assert "━" in drawn  # a bar
    assert re.search(r"\d/8 files", drawn)
    assert "Everything verified on embedded simulator" in drawn
    assert drawn.count("\x1b[?25l") == 2  # the cursor is hidden for each bar
    assert "\x1b[?25l" not in drawn.rpartition("\x1b[?25h")[2]  # and visible at the end
    last = drawn.rstrip().splitlines()[-1]
    assert last.startswith("└")  # the summary is the last thing on the screen, no bar behind it


TERMINAL = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}


def _all_of(terminal: int) -> str:
    pieces = []
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side has closed
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces).decode()


def test_ctrl_c_ends_it_with_130_and_leaves_nothing_behind(home: Path) -> None:
    with start(*EMASYNC, "demo", "--files", "6", home=home) as process:
        read_until(process, "waiting: ContainerCreating")
        result = end(process, signal.SIGINT)

    assert result.returncode == 130
    assert result.stderr == "✗ interrupted: cleaning up what the demo has put on the EM\n"
    assert "is gone; 0 files left in the volume" in result.stdout
    assert "Traceback" not in result.stderr


def test_an_output_that_knows_ascii_only_does_not_end_it(home: Path) -> None:
    # Sabotage: drop errors="backslashreplace" in emasync/cli/main.py.
    with start(*EMASYNC, "demo", "--files", "1", home=home, env={"PYTHONIOENCODING": "ascii"}) as process:
        read_until(process, "\\u2713 built")
        result = end(process, signal.SIGINT)

    assert result.returncode == 130


def test_a_reader_that_goes_away_ends_it_quietly(home: Path) -> None:
    with start(*EMASYNC, "demo", "--files", "6", home=home) as process:
        read_until(process, "waiting: ContainerCreating")
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=LIMIT_S)

    assert (process.returncode, err) == (1, "")


def test_the_picture_in_the_readme_is_drawn_from_a_real_run(home: Path) -> None:
    program = home / "picture.py"
    program.write_bytes((Path(__file__).parents[2] / "docs" / "picture.py").read_bytes())

    result = run(str(program), home=home)

    assert result.returncode == 0, result.stderr
    drawn = (home / "demo.svg").read_text(encoding="utf-8")
    assert "Everything" in drawn
    assert "@font-face" not in drawn  # it loads nothing from the web
    assert not re.search(r"(href|src|url\()=?[\"']?https?:", drawn)
