"""What the transfers of one `Client` share: its requests, threads, limits and what it has learned of the EM.

What belongs to a single transfer is in `run`. Must not import run, engine or sync.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from emasync.api import Files
from emasync.config import Settings
from emasync.disk import FileExecutor
from emasync.http.bandwidth import BandwidthLimit
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.http.pipeline import RequestPipeline
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
        """Cancel all of them and return when they have cleaned up."""
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
