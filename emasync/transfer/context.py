"""What the engine needs of a `Client`, and what the caller of a transfer may choose.

Owns: these two values. May import caller, endpoints, disk, config and below. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from emasync.api import Files
from emasync.config import Settings
from emasync.disk import FileExecutor
from emasync.http.bandwidth import BandwidthLimit
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.http.pipeline import RequestPipeline
from emasync.model import Overwrite, Verify
from emasync.transfer.events import Event, OnEvent
from emasync.transfer.ledger import OptionalJournal
from emasync.transfer.planning.plan import Order
from emasync.transfer.tag_compatibility import TagCompatibility
from emasync.wire.requests import Volume


class ActiveTransfers:
    """The transfers that are under way on one client, so that it can end them before it closes what they use."""

    def __init__(self) -> None:
        self._scopes: dict[anyio.CancelScope, anyio.Event] = {}

    @contextmanager
    def one(self) -> Iterator[None]:
        """The life of a transfer; RuntimeError at its end if the client was closed meanwhile."""
        over = anyio.Event()
        with anyio.CancelScope() as scope:
            self._scopes[scope] = over
            try:
                yield
            finally:
                del self._scopes[scope]
                over.set()
        if scope.cancelled_caught:
            raise RuntimeError("the Client was closed while this transfer ran; wait for it inside the `async with`")

    async def end(self) -> None:
        """Cancel all of them and return when they have cleaned up."""
        for scope, over in list(self._scopes.items()):
            scope.cancel()
            await over.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferContext:
    """One client's way to one EM: everything here is shared by all its transfers and owned by the client.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a transfer was asked for. `workers`: files (down) or calls (up) under way at once, a ceiling; those that
    wait to be tried again, or have just waited, come on top, at most as many."""

    workers: int
    overwrite: Overwrite
    verify: Verify
    on_event: OnEvent | None = None
    journal: Path | OptionalJournal | None = None
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

    def tell(self, event: Event) -> None:
        """Hand `event` to the caller's `on_event`."""
        if self.on_event is not None:
            self.on_event(event)
