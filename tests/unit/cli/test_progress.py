"""What a person is told while a transfer runs: the summary, the speed, and what the EM is doing."""

from __future__ import annotations

import io

from rich.console import Console

from emasync.cli.progress import LiveProgress, PlainProgress, clock_text
from emasync.cli.progress_stats import ProgressStats
from emasync.http.limiter.scheduler import LimiterWaiting
from emasync.model import Direction, Outcome, OutcomeState, RemotePath
from emasync.transfer.events import Forwarding, Planned, Progress, Settled, Started

UP = Direction.UPLINK
A, B = RemotePath("a.bin"), RemotePath("b.bin")
PLAN = Planned(direction=UP, files=2, bytes=3000, calls=1, refused=0)


class _Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _settled(path: RemotePath, *, size: int = 0) -> Settled:
    state = OutcomeState.DONE if size else OutcomeState.SKIPPED
    return Settled(outcome=Outcome(path=path, place="x", direction=UP, state=state, bytes=size))


def _drawn(bars: LiveProgress) -> str:
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(bars.render())
    return console.export_text()


def test_files_that_settled_before_the_plan_count_among_all() -> None:
    # Sabotage: leave self.settled out of ProgressStats.handle.
    stats = ProgressStats(clock=_Time())
    stats.handle(_settled(RemotePath("kept")))
    stats.handle(PLAN)

    assert (stats.settled, stats.files) == (1, 3)


def test_the_speed_is_that_of_the_last_seconds_and_tells_how_long_the_rest_takes() -> None:
    time = _Time()
    stats = ProgressStats(clock=time)
    stats.handle(PLAN)
    for moved in (500, 1000, 1500):
        time.now += 1.0
        stats.handle(Progress(direction=UP, path=A, bytes=moved, size=3000))
        speed = stats.sample()

    assert speed == 500.0
    assert stats.eta_s(speed) == 3.0
    assert stats.eta_s(0.0) is None


def test_plain_lines_come_every_thirty_seconds_and_at_once_when_the_em_is_busy() -> None:
    # Sabotage: drop `newly_busy or` from PlainProgress.tick.
    time, out = _Time(), io.StringIO()
    lines = PlainProgress("uplink", out, clock=time)
    lines.handle(PLAN)
    lines.handle(Progress(direction=UP, path=A, bytes=1000, size=1000))
    for _ in range(31):
        time.now += 1.0
        lines.tick()
    lines.handle(LimiterWaiting(since=time.now - 5.0, next_probe_at=time.now + 1.0))
    lines.tick()
    lines.tick()

    assert out.getvalue().splitlines() == [
        "uplink: 0 of 2 files, 1.0 kB of 3.0 kB, 0 B/s",
        "uplink: 0 of 2 files, 1.0 kB of 3.0 kB, EM busy for 5 s",
    ]


def test_a_closed_stderr_ends_nothing() -> None:
    class Closed(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    time = _Time()
    lines = PlainProgress("uplink", Closed(), clock=time)
    time.now += 60.0

    lines.tick()


def test_bars_show_both_phases_of_an_uplink_and_how_long_the_em_is_busy() -> None:
    time = _Time()
    bars = LiveProgress("uplink", Console(width=100), clock=time)
    empty = _drawn(bars)
    bars.handle(PLAN)
    for path in (A, B):
        bars.handle(Started(direction=UP, path=path, size=1500, attempt=1))
        bars.handle(Progress(direction=UP, path=path, bytes=1500, size=1500))
    sending = _drawn(bars)
    bars.handle(Forwarding(paths=(A, B), bytes=3000))
    time.now += 14.0
    forwarding = _drawn(bars)
    bars.handle(LimiterWaiting(since=time.now - 40.0, next_probe_at=time.now))

    assert "looking at both sides" in empty
    assert "1.5 kB of 1.5 kB" in sending
    assert "2 under way" in sending
    assert "2 files sent, the EM is storing them (14 s)" in forwarding
    assert forwarding.count("sent, being stored") == 2
    assert "EM busy for 40 s" in _drawn(bars)


def test_no_more_than_eight_files_are_drawn_and_their_names_are_harmless() -> None:
    # Sabotage: drop safe() in progress._tail.
    bars = LiveProgress("down", Console(width=100))
    bars.handle(PLAN)
    for index in range(11):
        path = RemotePath(f"\x1b]0;own\x07[red]{index:02}")
        bars.handle(Progress(direction=UP, path=path, bytes=1, size=2))
    shown = _drawn(bars)

    assert shown.count("[red]") == 8
    assert "and 3 more" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_times_are_told_as_clocks_do() -> None:
    assert [clock_text(seconds) for seconds in (7, 754, 11100)] == ["0:07", "12:34", "3:05:00"]
