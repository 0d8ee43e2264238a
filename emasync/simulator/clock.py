"""Time for the simulator: real, or virtual so that hours pass in milliseconds.

Must not import anything of the simulator.
"""

from __future__ import annotations

import heapq
import time
from typing import Protocol

import anyio
import anyio.lowlevel


class Clock(Protocol):
    """The time as the simulator sees it; a client under test can be given the same clock."""

    def now(self) -> float:
        """Seconds since the epoch, never running backwards."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Return once `seconds` have passed on this clock; zero or less lets other tasks run."""
        ...


class RealClock:
    """Wall time at creation, carried on by the monotonic clock, so that a clock set back moves nothing."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._offset + time.monotonic()

    async def sleep(self, seconds: float, /) -> None:
        """Sleep for real."""
        await anyio.sleep(max(0.0, seconds))


class VirtualClock:
    """Time that stands still until it is moved, by `advance` or, with `auto`, by itself.

    With `auto=True` the clock jumps to the earliest sleeper's deadline whenever nothing new went to sleep for
    `settle_s` real seconds: the time that sockets and threads get to finish what the last jump started. Give the same
    clock to the client (`clock.now`, `clock.sleep`) and a test of hours takes as long as its requests take.

    >>> clock = VirtualClock(start=0.0, auto=True)
    >>> await clock.sleep(3600)
    >>> clock.now()
    3600.0
    """

    def __init__(self, *, start: float = 1_800_000_000.0, auto: bool = False, settle_s: float = 0.001) -> None:
        self.auto = auto
        self._now = start
        self._settle_s = settle_s
        self._moves = 0  # sleeps begun and jumps made; `auto` jumps when this has not changed for `settle_s`
        self._sleepers: list[tuple[float, int, anyio.Event]] = []

    def now(self) -> float:
        """Virtual seconds since the epoch."""
        return self._now

    @property
    def sleeping(self) -> int:
        """How many tasks sleep on this clock now."""
        return len(self._sleepers)

    async def sleep(self, seconds: float, /) -> None:
        """Wait until the clock has moved on by `seconds`; may be cancelled."""
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        self._moves += 1
        sleeper = (self._now + seconds, self._moves, anyio.Event())
        heapq.heappush(self._sleepers, sleeper)
        try:
            if self.auto:
                await self._wait_by_itself(sleeper)
            else:
                await sleeper[2].wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move on by `seconds`, waking each sleeper at its own time, so that its next sleep begins there."""
        target = self._now + seconds
        await anyio.sleep(self._settle_s)
        while self._sleepers and self._sleepers[0][0] <= target:
            self._jump(self._sleepers[0][0])
            await anyio.sleep(self._settle_s)
        self._now = max(self._now, target)

    async def _wait_by_itself(self, sleeper: tuple[float, int, anyio.Event]) -> None:
        deadline, _, woken = sleeper
        while not woken.is_set():
            moves = self._moves
            with anyio.move_on_after(self._settle_s):
                await woken.wait()
            if not woken.is_set() and moves == self._moves and self._sleepers[0] is sleeper:
                self._jump(deadline)

    def _jump(self, deadline: float) -> None:
        self._moves += 1
        self._now = max(self._now, deadline)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            heapq.heappop(self._sleepers)[2].set()
