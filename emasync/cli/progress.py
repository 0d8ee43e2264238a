"""The progress of a transfer, on stderr: live bars on a terminal, a line every half minute elsewhere, or nothing.

Imports rich only where it draws, and passes names from servers and files through `safe`. An error of stderr ends no
transfer. No thread draws: `open_progress` refreshes the display from a task.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

import anyio

from emasync.cli.options import GlobalOptions
from emasync.cli.output import size
from emasync.cli.progress_stats import ActiveFile, ProgressStats
from emasync.cli.runner import background_task
from emasync.model import RemotePath, safe
from emasync.transfer.events import Event

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_LINE_EVERY_S = 30.0
_BUSY_S = 5.0  # a shorter wait is not worth a line
_DRAW_EVERY_S = 0.1
_ROWS = 8
_BAR = 24  # columns, where there is room for it
_FIGURES = 64  # what stands beside the bar at most


class ProgressDisplay(Protocol):
    """Shows one transfer. `every_s`: seconds between two calls of `tick`."""

    every_s: float

    def handle(self, event: Event) -> None:
        """Count an event of the transfer."""

    def tick(self) -> None:
        """Show the present state, if it is time."""

    def paused(self) -> AbstractContextManager[None]:
        """Nothing is drawn inside the block, so that a question can be asked."""


@asynccontextmanager
async def open_progress(options: GlobalOptions, title: str) -> AsyncIterator[ProgressDisplay]:
    """A display for the transfer called `title`, as ``--progress`` says, that is refreshed until the block ends."""
    with _display(options, title) as display:
        async with background_task(_refresh, display):
            yield display


async def _refresh(display: ProgressDisplay) -> None:
    while True:
        display.tick()
        await anyio.sleep(display.every_s)


@contextmanager
def _display(options: GlobalOptions, title: str) -> Iterator[ProgressDisplay]:
    kind = options.progress
    if kind == "auto":
        kind = "tty" if _is_terminal(sys.stderr) and not options.json else "plain"
    if options.quiet or kind == "none":
        yield NoProgress()
    elif kind == "plain":
        yield PlainProgress(title)
    else:
        from rich.console import Console

        console = Console(stderr=True, highlight=False, markup=False, emoji=False, force_terminal=True)
        with LiveProgress(title, console).drawn() as display:
            yield display


class NoProgress:
    """A display that shows nothing."""

    every_s: float = 60.0

    def handle(self, event: Event) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def paused(self) -> AbstractContextManager[None]:
        """Nothing is drawn in any case."""
        return nullcontext()


class PlainProgress:
    """Prints a line every 30 s, and one as soon as the EM is busy: for logs and CI."""

    every_s: float = 1.0

    def __init__(
        self,
        title: str,
        stream: TextIO | None = None,
        *,
        line_every_s: float = _LINE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = safe(title)
        self._stream = stream or sys.stderr
        self._line_every_s = line_every_s
        self._clock = clock
        self._printed_at = clock()
        self._printed_busy = False
        self._stats = ProgressStats(clock=clock)

    def handle(self, event: Event) -> None:
        """Count the event."""
        self._stats.handle(event)

    def tick(self) -> None:
        """Print a line, if it is time."""
        speed, busy = self._stats.sample(), self._stats.busy_s
        newly_busy = busy is not None and busy >= _BUSY_S and not self._printed_busy
        self._printed_busy = newly_busy or (self._printed_busy and busy is not None)
        if newly_busy or self._clock() - self._printed_at >= self._line_every_s:
            self._printed_at = self._clock()
            with suppress(OSError):
                print(f"{self._title}: {_line(self._stats, speed)}", file=self._stream, flush=True)

    def paused(self) -> AbstractContextManager[None]:
        """A printed line does not disturb a question."""
        return nullcontext()


def _line(stats: ProgressStats, speed: float) -> str:
    parts = [f"{stats.settled} of {stats.files} files", f"{size(stats.moved)} of {size(stats.bytes)}"]
    parts += [f"{stats.failed} not moved"] if stats.failed else []
    eta = stats.eta_s(speed)
    parts += [stats.phase] if stats.phase else [f"{size(speed)}/s"]
    parts += [f"{clock_text(eta)} to go"] if eta is not None and not stats.phase else []
    return ", ".join(parts)


class LiveProgress:
    """A bar for the transfer, the state of the EM, and a line for each of up to eight files; erased at the end."""

    every_s: float = 0.2

    def __init__(self, title: str, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = safe(title)
        self._console = console
        self._stats = ProgressStats(clock=clock)
        self._live: Live | None = None
        self._clock = clock
        self._drawn_at = float("-inf")

    @contextmanager
    def drawn(self) -> Iterator[LiveProgress]:
        """Draw on the console until the block ends. What is printed to stderr meanwhile appears above."""
        from rich.live import Live

        live = Live(
            get_renderable=self.render,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,  # results are not for the console
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

    def handle(self, event: Event) -> None:
        """Count the event."""
        self._stats.handle(event)

    def tick(self) -> None:
        """Draw the present state, at most ten times a second."""
        now = self._clock()
        if self._live is not None and self._live.is_started and now - self._drawn_at >= _DRAW_EVERY_S:
            self._drawn_at = now
            with suppress(OSError):
                self._live.refresh()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The bars are removed from the screen until the block ends."""
        assert self._live is not None, "paused() needs drawn()"
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()
            self._console.show_cursor(True)

    def render(self) -> RenderableType:
        """The present state as a renderable."""
        from rich.console import Group
        from rich.table import Table

        stats, speed = self._stats, self._stats.sample()
        head = Table.grid(padding=(0, 1))
        if not stats.files:
            head.add_row(_text(self._title, "bold"), _text(stats.phase or "looking at both sides", "yellow"))
            return head
        eta = stats.eta_s(speed)
        head.add_row(
            _text(self._title, "bold"),
            _bar(stats.moved, stats.bytes, width=self._bar_width),
            _text(f"{size(stats.moved)} of {size(stats.bytes)}", "green"),
            _text(f"{min(stats.settled, stats.files)}/{stats.files} files"),
            _text(f"{size(speed)}/s", "cyan"),
            _text("" if eta is None or stats.phase else f"{clock_text(eta)} to go"),
        )
        if not (stats.active or stats.phase or stats.failed):
            return head
        return Group(head, _text(self._state(), "yellow" if stats.phase else "dim"), self._rows())

    @property
    def _bar_width(self) -> int:
        return max(6, min(_BAR, self._console.width - _FIGURES))

    def _state(self) -> str:
        stats = self._stats
        state = stats.phase or f"{len(stats.active)} under way"
        count, seconds = stats.forwarding
        if count and not stats.phase:
            state += f", {count} of them sent, the EM is storing them ({seconds:.0f} s)"
        limit = f", at most {stats.request_limit} requests at once" if stats.request_limit is not None else ""
        return f"  {state}{limit}" + (f", {stats.failed} not moved" if stats.failed else "")

    def _rows(self) -> RenderableType:
        from rich.table import Table

        rows = Table.grid(padding=(0, 1))
        room = max(12, self._console.width - self._bar_width - 32)
        active = list(self._stats.active.items())
        for path, file in active[:_ROWS]:
            rows.add_row(
                " ",
                _text(_tail(path, room)),
                _bar(file.bytes, file.size or 0, width=self._bar_width),
                _text(_file_text(file), "dim"),
            )
        if len(active) > _ROWS:
            rows.add_row(" ", _text(f"and {len(active) - _ROWS} more", "dim"))
        return rows


def _file_text(file: ActiveFile) -> str:
    if file.forwarded_at is not None:
        return "sent, being stored"
    return size(file.bytes) if file.size is None else f"{size(file.bytes)} of {size(file.size)}"


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
