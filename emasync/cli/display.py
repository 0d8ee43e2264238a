"""What a person sees while something runs: live bars on a terminal, plain lines elsewhere.

Owns: both displays. May import model and transfer's events; rich only where a terminal is there to draw on.
Everything that came from a server or a file name passes `safe` here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from emasync.cli.output import size
from emasync.cli.progress_stats import Tally
from emasync.model import safe
from emasync.transfer.events import Event, Noted, Planned, Retrying

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_EVERY_S = 5.0
_TICK, _CROSS = "✓", "✗"


class Display(Protocol):
    """Where a verb tells what it is doing."""

    def step(self, text: str) -> None:
        """A new part of the job begins."""

    def done(self, text: str) -> None:
        """That part went well."""

    def note(self, text: str) -> None:
        """Something on the way."""

    def transfer(self, title: str) -> AbstractContextManager[Callable[[Event], None]]:
        """Follow one transfer; hand the result to it as `on_event`."""

    def table(self, title: str, rows: list[tuple[str, str]]) -> None:
        """The sums at the end."""


class PlainDisplay:
    """A line per step, and one every few seconds while a transfer runs: for logs, CI and pipes."""

    def __init__(self, out: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out or sys.stdout
        self._clock = clock

    def _line(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def step(self, text: str) -> None:
        self._line(f"* {safe(text)}")

    def done(self, text: str) -> None:
        self._line(f"  {_TICK} {safe(text)}")

    def note(self, text: str) -> None:
        self._line(f"  {safe(text)}")

    @contextmanager
    def transfer(self, title: str) -> Iterator[Callable[[Event], None]]:
        tally, told_at = Tally(clock=self._clock), self._clock()

        def take(event: Event) -> None:
            nonlocal told_at
            tally.take(event)
            self._tell_rare(event)
            if self._clock() - told_at >= _PLAIN_EVERY_S:
                told_at = self._clock()
                files = f"{tally.settled} of {tally.files} files"
                self._line(f"  {safe(title)}: {files}, {size(tally.moved)} of {size(tally.bytes)}")

        yield take

    def _tell_rare(self, event: Event) -> None:
        if isinstance(event, Planned):
            self.note(f"plan: {event.files} files, {size(event.bytes)}, {event.calls} calls")
        elif isinstance(event, Retrying):
            self.note(f"again: {len(event.paths)} files, {event.reason}")
        elif isinstance(event, Noted):
            self.note(event.text)

    def table(self, title: str, rows: list[tuple[str, str]]) -> None:
        self._line("")
        self._line(safe(title))
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self._line(f"  {name:<{width}}  {safe(value)}")


class RichDisplay:
    """The same on a terminal: one live bar per transfer, cleared away when it is done.

    `live` off draws each bar once, when it is full: for a picture.
    """

    def __init__(self, console: Console | None = None, *, live: bool = True) -> None:
        from rich.console import Console

        self._console = console or Console(highlight=False, markup=False, emoji=False)
        self._live = live

    def step(self, text: str) -> None:
        self._console.print(f"• {safe(text)}", style="bold")

    def done(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.assemble(("  " + _TICK + " ", "green"), safe(text)))

    def note(self, text: str) -> None:
        self._console.print(f"  {safe(text)}", style="dim")

    @contextmanager
    def transfer(self, title: str) -> Iterator[Callable[[Event], None]]:
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=28),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("{task.fields[files]}", markup=False),
        )
        with Bars(
            *columns, console=self._console, transient=True, refresh_per_second=12, disable=not self._live
        ) as bars:
            bar = bars.add_task(safe(title), total=None, files="")
            tally = Tally()

            def take(event: Event) -> None:
                tally.take(event)
                files = tally.phase or f"{tally.settled}/{tally.files} files"
                bars.update(bar, total=tally.bytes or None, completed=tally.moved, files=files)
                if isinstance(event, Retrying):
                    self.note(f"again: {len(event.paths)} files, {event.reason}")
                elif isinstance(event, Noted):
                    self.note(event.text)

            yield take
        if not self._live:
            self._console.print(bars.get_renderable())

    def table(self, title: str, rows: list[tuple[str, str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(safe(title)), show_header=False, title_justify="left", title_style="bold")
        for name, value in rows:
            table.add_row(Text(name), Text(safe(value)))
        self._console.print()
        self._console.print(table)


def display() -> Display:
    """Live bars if stdout is a terminal, plain lines otherwise."""
    return RichDisplay() if sys.stdout.isatty() else PlainDisplay()


def failure(text: str) -> None:
    """An error, on stderr; nothing where that is a terminal that was closed."""
    with suppress(OSError):
        print(f"{_CROSS} {text}", file=sys.stderr, flush=True)
