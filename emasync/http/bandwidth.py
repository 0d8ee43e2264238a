"""A bandwidth limit, shared by all transfers of a client in one direction.

Imports nothing of emasync.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio

_BURST_S = 0.25  # of the rate, that an idle link may catch up on


class BandwidthLimit:
    """At most `rate` bytes a second on average, None for no limit; up to a quarter of a second's worth at once."""

    def __init__(
        self,
        rate: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    @property
    def chunk(self) -> int:
        """Bytes that should pass at a time, so that no wait looks like a stalled link: half a second's worth."""
        return 1 << 20 if self._rate is None else max(1, min(1 << 20, int(self._rate / 2)))

    def delay_s(self, size: int) -> float:
        """Reserve `size` bytes; returns the seconds until they may pass."""
        if self._rate is None:
            return 0.0
        now = self._clock()
        self._free_at = max(self._free_at, now - _BURST_S) + size / self._rate
        return max(0.0, self._free_at - now)

    async def take(self, size: int) -> None:
        """Wait until `size` more bytes may pass; they stay reserved if the wait is cancelled."""
        if (delay := self.delay_s(size)) > 0:
            await self._sleep(delay)
