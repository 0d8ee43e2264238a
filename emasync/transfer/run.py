"""`TransferRun`: what the parts of one running transfer share.

Must not import the parts (uplink, downlink, sync ...), which import this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from emasync.disk import RootGuard
from emasync.http.pipeline import RequestStats
from emasync.model import FileTree
from emasync.transfer.context import TransferContext
from emasync.transfer.open_files import OpenFileLimiter
from emasync.transfer.options import TransferOptions
from emasync.transfer.state.transfer_journal import TransferJournal
from emasync.transfer.tracker import ResultTracker


class SharedListing:
    """`fresh` returns a listing that was begun after the call; callers that wait at the same time share one."""

    def __init__(self, make: Callable[[], Awaitable[FileTree]]) -> None:
        self._make = make
        self._lock = anyio.Lock()
        self._begun = 0  # listings begun so far
        self._last: FileTree | None = None

    async def fresh(self) -> FileTree:
        """A listing made after this call. Raises what listing raises; a cancelled caller leaves it to the next."""
        begun = self._begun
        async with self._lock:
            if self._last is None or self._begun <= begun:
                self._begun += 1
                self._last = None  # if this listing fails, an older one must not pass for it
                self._last = await self._make()
            tree = self._last
            if not self._lock.statistics().tasks_waiting:
                self._last = None  # nobody to share it with, and it may be of very many files
            return tree


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRun:
    """One transfer under way. `root_guard` watches the destination of a downlink; `stats` are those of all requests."""

    context: TransferContext
    options: TransferOptions
    tracker: ResultTracker
    journal: TransferJournal
    stats: RequestStats
    open_files: OpenFileLimiter
    listing: SharedListing
    root_guard: RootGuard = field(default_factory=RootGuard)
