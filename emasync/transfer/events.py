"""The events of a transfer: one frozen value per event, passed to `on_event` in the event loop's thread.

Byte counts are payload bytes; they start again at 0 when a file is sent again. Knows nothing of how events are shown.
Must not import other modules of transfer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import anyio

from emasync.http.limiter.aimd import LimitChanged
from emasync.http.limiter.scheduler import LimiterWaiting
from emasync.model import Direction, Outcome, RemotePath, Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan is made: `files` with `bytes` of payload remain to be moved in `calls` requests. A `Settled` event was
    emitted before for each file that was `refused`, or that an earlier run has done."""

    direction: Direction
    files: int
    bytes: int
    calls: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A file is being moved, for the `attempt`-th time (from 1). `size` in bytes, None if not known."""

    direction: Direction
    path: RemotePath
    size: int | None
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`bytes` of a file have been moved in this attempt; for an uplink: to the ground server, which is half-way."""

    direction: Direction
    path: RemotePath
    bytes: int
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """The second phase of an uplink: every byte of a request is at the ground server, which sends them to the EM."""

    paths: tuple[RemotePath, ...]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The file is verified, in the way that `verified` says."""

    direction: Direction
    path: RemotePath
    verified: Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """`paths` will be moved again, because of `reason`."""

    direction: Direction
    paths: tuple[RemotePath, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The end of one file."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something the user should know about the transfer as a whole (a fall-back, an empty selection)."""

    text: str


Event: TypeAlias = (
    Planned | Started | Progress | Forwarding | Confirmed | Retrying | Settled | Noted | LimitChanged | LimiterWaiting
)
OnEvent: TypeAlias = Callable[[Event], None]


class EventCallback:
    """The caller's `on_event` during one transfer. What it raises ends that transfer, and nothing else.

    Events are emitted in the middle of a request's body, of a save, of another transfer's request: an OSError of the
    caller's own, raised there, would pass for one of the connection or of the disk. So the transfer runs inside
    `guard`, which is cancelled instead, emits nothing more, and raises the exception once all has ended.
    """

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._scope: anyio.CancelScope | None = None
        self._failure: Exception | None = None

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Run the transfer in this block; raises what the callback raised."""
        with anyio.CancelScope() as self._scope:
            yield
        if self._failure is not None:
            raise self._failure

    def emit(self, event: Event) -> None:
        """Call the callback with `event`; its exception is kept, and ends the transfer."""
        if self._failure is not None:
            return
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - the caller's own code
            self._failure = error
            if self._scope is not None:
                self._scope.cancel()
