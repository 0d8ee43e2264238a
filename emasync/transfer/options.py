"""What the caller of a transfer chose: built once by the client, and passed on whole.

Decides nothing. Must not import context, run or engine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emasync.model import Overwrite, SyncSummary, Verify
from emasync.transfer.events import Event, OnEvent
from emasync.transfer.planning.filters import Filters
from emasync.transfer.planning.plan import Order
from emasync.transfer.state.transfer_journal import OptionalJournal

Confirm = Callable[[SyncSummary], Awaitable[bool]]
"""Asked once, before anything moves, where a sync would delete files; False ends the sync."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOptions:
    """`workers`: files (down) or requests (up) under way at once, at most; those that wait for a retry, or have just
    waited, come on top, at most as many. `include` and `exclude` are gitignore patterns. After `deadline_s` seconds
    the remaining files fail, or are unknown if they were sent."""

    workers: int
    overwrite: Overwrite
    verify: Verify
    on_event: OnEvent | None = None
    journal: str | Path | OptionalJournal | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    order: Order = "largest"
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.workers, bool) or self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers!r}")
        if self.deadline_s is not None and not self.deadline_s > 0:
            raise ValueError(f"deadline is a positive number of seconds, not {self.deadline_s!r}")
        if self.overwrite not in ("replace", "skip", "error"):
            raise ValueError(f'overwrite is "replace", "skip" or "error", not {self.overwrite!r}')
        if self.verify not in ("none", "size", "content"):
            raise ValueError(f'verify is "none", "size" or "content", not {self.verify!r}')

    @property
    def filters(self) -> Filters:
        """The filters of `include` and `exclude`. ValueError for a pattern that is none."""
        return Filters(include=tuple(self.include), exclude=tuple(self.exclude))

    @property
    def by_content(self) -> bool:
        """Whether files are verified by their contents, where content tags or checksums allow it."""
        return self.verify == "content"

    @property
    def by_size(self) -> bool:
        """Whether files are verified by their sizes alone."""
        return self.verify == "size"

    @property
    def unverified(self) -> bool:
        """Whether files are not verified."""
        return self.verify == "none"

    @property
    def observed(self) -> bool:
        """Whether anybody is told of events: else none need be made, of very many files."""
        return self.on_event is not None

    def notify(self, event: Event) -> None:
        """Pass `event` to the caller's `on_event`."""
        if self.on_event is not None:
            self.on_event(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """What a sync may do beyond copying. `max_delete` None is no bound. `confirm` is asked before files are deleted;
    without it an empty source deletes nothing unless `allow_empty_source`. `missing_ok`: a sync up makes its folder."""

    delete: bool = False
    dry_run: bool = False
    max_delete: int | None = None
    allow_empty_source: bool = False
    confirm: Confirm | None = None
    missing_ok: bool = True
