"""What transfers share: `TransferContext` among all of one `Client`, `TransferRun` among the parts of one of them.

Must not import engine, sync, or the parts of a transfer (uplink, downlink ...): they import this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from emasync.api import Files
from emasync.config import Settings
from emasync.disk import FileExecutor, RootGuard
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.http.pipeline import RequestPipeline, RequestStats
from emasync.model import FileTree
from emasync.transfer.limits import BandwidthLimit, OpenFileLimiter
from emasync.transfer.options import TransferOptions
from emasync.transfer.state.transfer_journal import TransferJournal
from emasync.transfer.tracker import ResultTracker
from emasync.transfer.verification import TagCompatibility
from emasync.wire.requests import Volume


class ActiveTransfers:
    """The transfers under way on one client, which ends them before it closes what they use."""

    def __init__(self) -> None:
        self._scopes: dict[anyio.CancelScope, anyio.Event] = {}

    @contextmanager
    def track(self) -> Iterator[None]:
        """The block in which a transfer runs; RuntimeError at its end if the client was closed meanwhile."""
        ended = anyio.Event()
        with anyio.CancelScope() as scope:
            self._scopes[scope] = ended
            try:
                yield
            finally:
                del self._scopes[scope]
                ended.set()
        if scope.cancelled_caught:
            raise RuntimeError("the Client was closed while this transfer ran; wait for it inside the `async with`")

    async def end(self) -> None:
        """Cancel all of them and return when they have cleaned up, whatever is cancelled meanwhile."""
        with anyio.CancelScope(shield=True):
            for scope, ended in list(self._scopes.items()):
                scope.cancel()
                await ended.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferContext:
    """One client on one EM: everything here is shared by all its transfers and owned by the client.

    `scope` names EM, user and volume in a journal.
    """

    pipeline: RequestPipeline
    files: Files
    volume: Volume
    threads: FileExecutor
    settings: Settings
    limiter: ConcurrencyLimiter
    up: BandwidthLimit
    down: BandwidthLimit
    tags: TagCompatibility
    scope: str
    running: ActiveTransfers = field(default_factory=ActiveTransfers)


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

    @property
    def files(self) -> Files:
        """The volume's files; what is requested of them counts in `stats`."""
        return self.context.files.with_stats(self.stats)
