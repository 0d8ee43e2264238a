"""What a transfer tells while it runs: one frozen value per event, handed to `on_event` in the event loop's thread.

Owns: the events and the one way they are told. May import model. Knows nothing of how they are shown.
Byte counts are payload bytes; they go back when a file is sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import anyio

from emasync.http.limiter.aimd import LimitChanged
from emasync.http.limiter.scheduler import LimiterWaiting
from emasync.model import Direction, Outcome, RemotePath, Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan is made: `files` are left to move in `calls` calls, `bytes` of payload. What was `refused`, and what an
    earlier run has done, has been told as `Settled` before."""

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
    """The second phase of an uplink: every byte of a call is at the ground server, which now passes them to the EM."""

    paths: tuple[RemotePath, ...]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The file is proved to be right, and how."""

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

    Events are told in the middle of a request's body, of a save, of another transfer's call: raised there, an OSError
    of the caller's own would pass for one of the connection or of the disk. So the transfer runs inside `scope`, which
    is cancelled instead, and nothing more is told; whoever owns the scope raises `failure` once all has ended.
    """

    def __init__(self, on_event: OnEvent) -> None:
        self.scope = anyio.CancelScope()
        self.failure: Exception | None = None
        self._on_event = on_event

    def hear(self, event: Event) -> None:
        """Tell `event`; an exception is kept, and ends the transfer."""
        if self.failure is not None:
            return
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - the caller's own code
            self.failure = error
            self.scope.cancel()
