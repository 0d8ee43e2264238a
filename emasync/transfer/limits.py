"""What a transfer may use of this machine: a bandwidth, and fewer files at once where no more can be opened.

Decides how many items run after a shortage (EMFILE, ENFILE), and when one that met it is tried again. Must not import
http.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio

from emasync.errors import is_out_of_files

T = TypeVar("T")
_BURST_S = 0.25  # of the rate, that an idle link may catch up on
ALONE_WAITS_S = (0.5, 1.5, 3.0)
"""Before an item that met a shortage while it ran alone is tried again: idle connections close meanwhile, others may
end. All items of a transfer share these waits, until one succeeds: where waiting is no use, the rest fail soon."""
_NOTE = "no more files can be opened: fewer are moved at once from here on; a higher limit (ulimit -n) is faster"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFileSlot:
    """The slot of one attempt. `limit` is how many might run when the attempt began; with 1 it is alone."""

    limit: float


class OpenFileLimiter:
    """No limit, until a shortage is met; then half of those that ran, down to one. The limit never rises again: which
    limit of the system was met, and whether it is still in force, nobody can tell without failing once more."""

    def __init__(
        self,
        note: Callable[[str], None],
        *,
        make_room: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """`note` is called at the first shortage, `make_room` at each: it closes what is open and not used."""
        self.limit: float = math.inf
        self._note = note
        self._make_room = make_room
        self._sleep = sleep
        self._running = self._waits = 0
        self._freed = anyio.Event()

    async def run(self, attempt: Callable[[], Awaitable[T]], *, shortage: Callable[[T], Exception | None]) -> T:
        """The result of `attempt`, which is repeated while the error that `shortage` finds in the result is one of
        open files, and fewer can run. The last result is that of an attempt that ran alone, after all waits."""
        while True:
            async with self.slot() as slot:
                result = await attempt()
                if not is_out_of_files(shortage(result)):
                    self.on_success()
                    return result
                lowered = self.on_shortage(slot)
            if not lowered and not await self.wait():
                return result

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[OpenFileSlot]:
        """Wait for a slot for one attempt. Nobody who holds a lock may wait here: its next owner may need a slot."""
        while self._running >= self.limit:
            await self._freed.wait()
        self._running += 1
        try:
            yield OpenFileSlot(limit=self.limit)
        finally:
            self._running -= 1
            freed, self._freed = self._freed, anyio.Event()
            freed.set()

    def on_shortage(self, slot: OpenFileSlot) -> bool:
        """The attempt in `slot`, which it still holds, met a shortage: lower the limit, unless that was done since the
        attempt began. False if the attempt ran alone: the limit cannot be lowered."""
        self._make_room()
        if slot.limit <= 1:
            return False
        if slot.limit == self.limit:
            if self.limit == math.inf:
                self._note(_NOTE)
            self.limit = max(1, min(self.limit, self._running) // 2)
        return True

    def on_success(self) -> None:
        """An attempt met no shortage: the next one that meets one has all waits before it."""
        self._waits = 0

    async def wait(self) -> bool:
        """Wait after a shortage that an attempt met alone. False, at once, where waiting was of no use so far."""
        if self._waits == len(ALONE_WAITS_S):
            return False
        self._waits += 1
        await self._sleep(ALONE_WAITS_S[self._waits - 1])
        return True


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
