"""What a person sees, line by line, and that nothing foreign gets there raw."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import count

import pytest
from rich.console import Console

from emasync.cli.display import Display, PlainDisplay, RichDisplay, open_display, print_failure
from emasync.cli.output import size
from emasync.model import Direction, Outcome, OutcomeState, RemotePath
from emasync.transfer.events import Event, Forwarding, Noted, Planned, Progress, Retrying, Settled

UP = Direction.UPLINK
A, B = RemotePath("a.bin"), RemotePath("b.bin")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202etxt.exe[red]not red[/red]\nnew line\x9b1m"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1049, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),  # not "1000.0 kB"
        (12_345_678, "12.3 MB"),
        (2_000_000_000, "2.0 GB"),
        (999_960_000_000, "1.0 TB"),
        (5_400_000_000_000, "5.4 TB"),
    ],
)
def test_sizes_are_told_in_decimal_units(number: float, text: str) -> None:
    assert size(number) == text


def _done(path: RemotePath, size: int) -> Settled:
    return Settled(outcome=Outcome(path=path, place="x", direction=UP, state=OutcomeState.DONE, bytes=size, attempts=1))


class _Time:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_for_steps_results_notes_and_sums() -> None:
    out = io.StringIO()
    shown = PlainDisplay(out)

    shown.step("Uplink")
    shown.done("2 files")
    shown.note("on the way")
    shown.table("All of it", [("uplink", "2 files"), ("in all", "1.0 s")])

    assert out.getvalue() == "* Uplink\n  ✓ 2 files\n  on the way\n\nAll of it\n  uplink  2 files\n  in all  1.0 s\n"


def test_a_plain_transfer_tells_its_plan_and_then_one_line_every_five_seconds() -> None:
    # Sabotage: leave line_every_s out of PlainDisplay.transfer.
    out, time = io.StringIO(), _Time()
    with PlainDisplay(out, clock=time).transfer("uplink") as on_event:
        on_event(Planned(direction=UP, files=2, bytes=3000, calls=1, refused=0))
        for moved in (100, 200, 300):
            on_event(Progress(direction=UP, path=A, bytes=moved, size=1000))
        time.now += 5.0
        on_event(_done(A, 1000))
        on_event(Progress(direction=UP, path=B, bytes=500, size=2000))
        time.now += 4.9
        on_event(Progress(direction=UP, path=B, bytes=900, size=2000))

    assert (
        out.getvalue()
        == "  plan: 2 files, 3.0 kB, 1 calls\n  uplink: 1 of 2 files, 1.0 kB of 3.0 kB, 200 B/s, 0:10 to go\n"
    )


def test_bytes_of_a_file_that_is_sent_again_count_once() -> None:
    # Sabotage: add event.bytes in ProgressStats.handle without taking off what the file had.
    out, time = io.StringIO(), _Time()
    with PlainDisplay(out, clock=time).transfer("uplink") as on_event:
        on_event(Planned(direction=UP, files=2, bytes=3000, calls=1, refused=0))
        on_event(Progress(direction=UP, path=A, bytes=900, size=1000))
        on_event(Retrying(direction=UP, paths=(A,), reason="the connection broke"))
        on_event(Progress(direction=UP, path=A, bytes=0, size=1000))
        on_event(Progress(direction=UP, path=A, bytes=1000, size=1000))
        on_event(_done(A, 1000))
        time.now += 5.0
        on_event(Noted(text="a note"))

    assert out.getvalue().splitlines()[1:] == [
        "  again: 1 files, the connection broke",
        "  a note",
        "  uplink: 1 of 2 files, 1.0 kB of 3.0 kB, 200 B/s, 0:10 to go",
    ]


def _rich(*, live: bool = False) -> tuple[Display, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=live, highlight=False, markup=False, emoji=False)
    return RichDisplay(console, live=live), out


def test_a_bar_says_that_files_are_sent_while_the_em_is_storing_them() -> None:
    shown, out = _rich()
    with shown.transfer("uplink") as on_event:
        on_event(Planned(direction=UP, files=2, bytes=3000, calls=1, refused=0))
        on_event(Progress(direction=UP, path=A, bytes=1000, size=1000))
        on_event(Forwarding(paths=(A, B), bytes=3000))
    waiting = out.getvalue()
    with shown.transfer("uplink") as on_event:
        on_event(Planned(direction=UP, files=1, bytes=1000, calls=1, refused=0))
        on_event(Forwarding(paths=(A,), bytes=1000))
        on_event(_done(A, 1000))

    assert "2 files sent, the EM is storing them" in waiting
    assert "1/1 files" in out.getvalue().removeprefix(waiting)


def test_a_live_bar_is_cleared_away_and_gives_the_cursor_back_also_after_an_error() -> None:
    shown, out = _rich(live=True)
    with pytest.raises(ValueError, match="broken"), shown.transfer("uplink") as on_event:
        on_event(Planned(direction=UP, files=1, bytes=1000, calls=1, refused=0))
        raise ValueError("broken")

    assert out.getvalue().count("\x1b[?25l") == 1
    assert "\x1b[?25l" not in out.getvalue().rpartition("\x1b[?25h")[2]
    assert out.getvalue().endswith("\x1b[2K")  # its line is erased


def _transfer(shown: Display, title: str, *events: Event) -> None:
    with shown.transfer(title) as on_event:
        for event in events:
            on_event(event)


_PLAN = Planned(direction=UP, files=1, bytes=10, calls=1, refused=0)
TELLERS: dict[str, Callable[[Display, str], None]] = {
    "step": lambda shown, text: shown.step(text),
    "done": lambda shown, text: shown.done(text),
    "note": lambda shown, text: shown.note(text),
    "title of a transfer": lambda shown, text: _transfer(shown, text, _PLAN),
    "retry": lambda shown, text: _transfer(shown, "x", Retrying(direction=UP, paths=(A,), reason=text)),
    "note of a transfer": lambda shown, text: _transfer(shown, "x", Noted(text=text)),
    "title of a table": lambda shown, text: shown.table(text, [("name", "as wide as the title" * 5)]),
    "value in a table": lambda shown, text: shown.table("title", [("name", text)]),
}


@pytest.mark.parametrize("tell", TELLERS.values(), ids=TELLERS.keys())
@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_hostile_text_is_made_harmless_wherever_it_is_shown(kind: str, tell: Callable[[Display, str], None]) -> None:
    # Sabotage: drop safe(), or markup=False of the bar's column, in display.py.
    out = io.StringIO()
    shown: Display = PlainDisplay(out, clock=count(step=10.0).__next__)
    if kind == "rich":
        shown, out = _rich()

    tell(shown, HOSTILE)

    told = out.getvalue()
    assert [char for char in told if char in "\x1b\x07\u202e\x9b"] == []
    assert "\\x1b]0;owned" in told
    assert "\\u202etxt.exe[red]not red[/red]\\x0anew line" in told  # as it is: no colour, no line of its own


def test_a_stream_that_is_no_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())

    assert isinstance(open_display(), PlainDisplay)


def test_a_failure_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_failure("no luck")

    assert capsys.readouterr() == ("", "✗ no luck\n")
