"""What the engine needs of a `Client`.

Owns: this value. May import caller, endpoints, disk, config and below. Decides nothing.
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
