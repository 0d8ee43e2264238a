"""How far a transfer is, on stderr: live bars on a terminal, a line every half minute elsewhere, or nothing.

Owns: both forms. Imports rich only where it draws. Whatever came from a server or a file name passes `safe` here.
Nothing that goes wrong with stderr ends a transfer. No thread draws: whoever follows a transfer calls `tick`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from emasync.cli.options import ProgressKind
from emasync.cli.output import size
from emasync.cli.progress_stats import Active, Tally
from emasync.model import RemotePath, safe
from emasync.transfer.events import Event

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_PLAIN_EVERY_S = 30.0
_TOLD_BUSY_S = 5.0  # a shorter wait is nobody's concern
_ROWS = 8
_BAR = 24  # columns, where there is room for it
_FIGURES = 64  # what stands beside the bar at most


class Follower(Protocol):
    """Follows one transfer. `every_s`: how often it wants its `tick`."""

    every_s: float

    def take(self, event: Event) -> None:
        """Something happened."""

    def tick(self) -> None:
        """Time has passed: show what is to be shown."""

    def paused(self) -> AbstractContextManager[None]:
        """Nothing is drawn inside the block: somebody is asked."""


@contextmanager
def progress(kind: ProgressKind, title: str, *, quiet: bool, as_json: bool) -> Iterator[Follower]:
    """Follow the transfer called `title` as ``--progress`` says; `auto` is bars only on a terminal with text output."""
    if kind == "auto":
        kind = "tty" if _is_terminal(sys.stderr) and not as_json else "plain"
    if quiet or kind == "none":
        yield Silent()
    elif kind == "plain":
        yield Lines(title)
    else:
        from rich.console import Console

        console = Console(stderr=True, highlight=False, markup=False, emoji=False, force_terminal=True)
        with Bars(title, console).drawn() as bars:
            yield bars


class Silent:
    """Shows nothing."""

    every_s = 60.0

    def take(self, event: Event) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def paused(self) -> AbstractContextManager[None]:
        """Nothing is drawn in any case."""
        return nullcontext()


class Lines:
    """A line every 30 s, and one when the EM turns out to be busy: for logs and CI."""

    every_s = 1.0

    def __init__(self, title: str, out: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = safe(title)
        self._out = out or sys.stderr
        self._clock = clock
        self._told_at = clock()
        self._told_busy = False
        self._tally = Tally(clock=clock)

    def take(self, event: Event) -> None:
        """Count it."""
        self._tally.take(event)

    def tick(self) -> None:
        """Tell, if it is time."""
        speed, busy = self._tally.sample(), self._tally.busy_s
        newly_busy = busy is not None and busy >= _TOLD_BUSY_S and not self._told_busy
        self._told_busy = newly_busy or (self._told_busy and busy is not None)
        if newly_busy or self._clock() - self._told_at >= _PLAIN_EVERY_S:
            self._told_at = self._clock()
            with suppress(OSError):
                print(f"{self._title}: {_told(self._tally, speed)}", file=self._out, flush=True)

    def paused(self) -> AbstractContextManager[None]:
        """A line does not spoil a question."""
        return nullcontext()


def _told(tally: Tally, speed: float) -> str:
    parts = [f"{tally.settled} of {tally.files} files", f"{size(tally.moved)} of {size(tally.bytes)}"]
    parts += [f"{tally.failed} not moved"] if tally.failed else []
    eta = tally.eta_s(speed)
    parts += [tally.phase] if tally.phase else [f"{size(speed)}/s"]
    parts += [f"{clock_text(eta)} to go"] if eta is not None and not tally.phase else []
    return ", ".join(parts)


class Bars:
    """One bar for all, what the EM is doing, and a line for each of up to eight files; gone when it is over."""

    every_s = 0.2

    def __init__(self, title: str, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = safe(title)
        self._console = console
        self._tally = Tally(clock=clock)
        self._live: Live | None = None

    @contextmanager
    def drawn(self) -> Iterator[Bars]:
        """Live on the console until the block ends. What others print to stderr meanwhile appears above."""
        from rich.live import Live

        live = Live(
            get_renderable=self.picture,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,  # results go where they go
            vertical_overflow="crop",
        )
        try:
            with suppress(OSError):
                live.start()
                self._console.show_cursor(True)  # a process that is killed must not leave a terminal without one
            self._live = live
            yield self
        finally:
            with suppress(OSError):  # the terminal may have been closed meanwhile
                live.stop()

    def take(self, event: Event) -> None:
        """Count it."""
        self._tally.take(event)

    def tick(self) -> None:
        """Draw."""
        if self._live is not None and self._live.is_started:
            with suppress(OSError):
                self._live.refresh()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The bars are taken off the screen, and come back after the block."""
        assert self._live is not None, "what is not drawn yet asks nobody"
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()
            self._console.show_cursor(True)

    def picture(self) -> RenderableType:
        """What is drawn, as it is now."""
        from rich.console import Group
        from rich.table import Table

        tally, speed = self._tally, self._tally.sample()
        head = Table.grid(padding=(0, 1))
        if not tally.files:
            head.add_row(_text(self._title, "bold"), _text(tally.phase or "looking at both sides", "yellow"))
            return head
        eta = tally.eta_s(speed)
        head.add_row(
            _text(self._title, "bold"),
            _bar(tally.moved, tally.bytes, width=self._bar_width),
            _text(f"{size(tally.moved)} of {size(tally.bytes)}", "green"),
            _text(f"{min(tally.settled, tally.files)}/{tally.files} files"),
            _text(f"{size(speed)}/s", "cyan"),
            _text("" if eta is None or tally.phase else f"{clock_text(eta)} to go"),
        )
        return Group(head, _text(self._state(), "yellow" if tally.phase else "dim"), self._rows())

    @property
    def _bar_width(self) -> int:
        return max(6, min(_BAR, self._console.width - _FIGURES))

    def _state(self) -> str:
        tally = self._tally
        shown = tally.phase or f"{len(tally.active)} under way"
        count, seconds = tally.forwarding
        if count and not tally.phase:
            shown += f", {count} of them on the ground, going to the EM for {seconds:.0f} s"
        width = f", concurrency limit {tally.width}" if tally.width is not None else ""
        return f"  {shown}{width}" + (f", {tally.failed} not moved" if tally.failed else "")

    def _rows(self) -> RenderableType:
        from rich.table import Table

        rows = Table.grid(padding=(0, 1))
        room = max(12, self._console.width - self._bar_width - 32)
        active = list(self._tally.active.items())
        for path, one in active[:_ROWS]:
            rows.add_row(
                " ",
                _text(_tail(path, room)),
                _bar(one.bytes, one.size or 0, width=self._bar_width),
                _text(_file_text(one), "dim"),
            )
        if len(active) > _ROWS:
            rows.add_row(" ", _text(f"and {len(active) - _ROWS} more", "dim"))
        return rows


def _file_text(one: Active) -> str:
    if one.forwarded is not None:
        return "on the ground, to the EM"
    return size(one.bytes) if one.size is None else f"{size(one.bytes)} of {size(one.size)}"


def _text(text: str, style: str = "") -> RenderableType:
    from rich.text import Text

    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _bar(done: int, total: int, *, width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar

    return ProgressBar(total=max(total, 1), completed=min(done, total) if total else 0, width=width)


def _tail(path: RemotePath, room: int) -> str:
    """The end of a path is what tells files apart."""
    shown = safe(path)
    return shown if len(shown) <= room else f"…{shown[1 - room :]}"


def clock_text(seconds: float) -> str:
    """``0:07``, ``12:34``, ``3:05:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") != "dumb"
