"""The gate before the EM: what the request path asks before it sends, and tells after.

Owns: the Protocols only; `emasync.http.limiter.limiter` is the gate that is used. Imports nothing of emasync.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from enum import IntEnum
from typing import Protocol


class Priority(IntEnum):
    """SMALL calls (status, list, delete) go before BULK ones (uplink, downlink, build, load), as far as nobody starves,
    and may be the probe of an EM that was busy."""

    SMALL = 0
    BULK = 1


class Permit(Protocol):
    """Leave to send one call. Leaving the context without a word counts neither for nor against the EM."""

    @property
    def waited_s(self) -> float:
        """How long entering waited because the EM was busy (not because enough calls were already under way)."""

    def passed(self) -> None:
        """The server took the call."""

    def refused(self, retry_after_s: float | None, *, overloaded: bool = False) -> None:
        """The server answered 423, or 429 or 503 (`overloaded`); `retry_after_s` is its own wish, if it had one."""


class LimiterProtocol(Protocol):
    """One gate per EM."""

    def enter(self, priority: Priority, *, busy_budget_s: float) -> AbstractAsyncContextManager[Permit]:
        """Wait until the call may go. BusyError when the EM stayed busy for `busy_budget_s` of waiting.

        Cancellation while waiting leaves no trace.
        """
