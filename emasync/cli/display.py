"""The steps of ``emasync demo`` as a person sees them: on a terminal with live bars, elsewhere as plain lines.

The progress of a transfer is that of `progress`. Imports rich only where it draws, and passes foreign text through
`safe`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from emasync.cli.output import size
from emasync.cli.progress import LiveProgress, PlainProgress
from emasync.model import safe
from emasync.transfer.events import Event, Noted, OnEvent, Planned, Retrying

if TYPE_CHECKING:
    from rich.console import Console

_LINE_EVERY_S = 5.0
_TICK, _CROSS = "✓", "✗"


class Display(Protocol):
    """Where the demo shows its steps."""

    def step(self, text: str) -> None:
        """A step begins."""

    def done(self, text: str) -> None:
        """The step has succeeded."""

    def note(self, text: str) -> None:
        """A remark."""

    def transfer(self, title: str) -> AbstractContextManager[OnEvent]:
        """Show the progress of one transfer inside the block; the value is for its `on_event`."""

    def table(self, title: str, rows: list[tuple[str, str]]) -> None:
        """The summary."""


class PlainDisplay:
    """A line per step, and one every few seconds while a transfer runs: for logs, CI and pipes."""

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stdout
        self._clock = clock

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def step(self, text: str) -> None:
        self._line(f"* {safe(text)}")

    def done(self, text: str) -> None:
        self._line(f"  {_TICK} {safe(text)}")

    def note(self, text: str) -> None:
        self._line(f"  {safe(text)}")

    @contextmanager
    def transfer(self, title: str) -> Iterator[OnEvent]:
        progress = PlainProgress(f"  {title}", self._stream, line_every_s=_LINE_EVERY_S, clock=self._clock)

        def on_event(event: Event) -> None:
            progress.handle(event)
            if isinstance(event, Planned):
                self.note(f"plan: {event.files} files, {size(event.bytes)}, {event.calls} calls")
            _print_rare(self, event)
            progress.tick()

        yield on_event

    def table(self, title: str, rows: list[tuple[str, str]]) -> None:
        self._line("")
        self._line(safe(title))
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self._line(f"  {name:<{width}}  {safe(value)}")


class RichDisplay:
    """The same on a terminal: a live bar per transfer, erased at its end.

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
    def transfer(self, title: str) -> Iterator[OnEvent]:
        progress = LiveProgress(f"  {title}", self._console)
        with progress.drawn() if self._live else nullcontext():

            def on_event(event: Event) -> None:
                progress.handle(event)
                _print_rare(self, event)
                progress.tick()

            yield on_event
        if not self._live:
            self._console.print(progress.render())

    def table(self, title: str, rows: list[tuple[str, str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(safe(title)), show_header=False, title_justify="left", title_style="bold")
        for name, value in rows:
            table.add_row(Text(name), Text(safe(value)))
        self._console.print()
        self._console.print(table)


def _print_rare(display: Display, event: Event) -> None:
    if isinstance(event, Retrying):
        display.note(f"again: {len(event.paths)} files, {event.reason}")
    elif isinstance(event, Noted):
        display.note(event.text)


def open_display() -> Display:
    """Live bars if stdout is a terminal, plain lines otherwise."""
    return RichDisplay() if sys.stdout.isatty() else PlainDisplay()


def print_failure(text: str) -> None:
    """Print an error on stderr, unless that is a terminal that was closed."""
    with suppress(OSError):
        print(f"{_CROSS} {text}", file=sys.stderr, flush=True)
