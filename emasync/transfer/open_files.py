"""`Places`: fewer items of a transfer at once, where no more files can be opened (EMFILE, ENFILE).

Owns: how many may be under way after a shortage of open files, and when an item that met one is tried again.
May import errors. Knows neither files nor requests.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio

from emasync.errors import is_out_of_files

T = TypeVar("T")
ALONE_WAITS_S = (0.5, 1.5, 3.0)
"""Before what met a shortage alone is tried again: idle connections close meanwhile, others may end. All items of a
transfer share these waits, until one gets through: where it is no use, the rest fail soon."""
_NOTE = "no more files can be opened: fewer are moved at once from here on; a higher limit (ulimit -n) is faster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One attempt's. `width` is how many might run when it began; with 1 it is alone."""

    width: float


class Places:
    """As many as are asked for, until a shortage is met; then half of those that ran, down to one. It never widens
    again: which limit it is, and whether it is still in force, nobody can tell without failing once more."""

    def __init__(
        self,
        note: Callable[[str], None],
        *,
        make_room: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """`note` is told of the first shortage, `make_room` is called at each: it closes what is open and not used."""
        self.width: float = math.inf
        self._note = note
        self._make_room = make_room
        self._sleep = sleep
        self._running = self._waits = 0
        self._freed = anyio.Event()

    async def run(self, attempt: Callable[[], Awaitable[T]], *, shortage: Callable[[T], Exception | None]) -> T:
        """What `attempt` comes to; it is made again as long as the error that `shortage` finds in that is one of open
        files, and fewer can run. The last result is one of an attempt that ran alone, all waits later."""
        while True:
            async with self.take() as place:
                result = await attempt()
                if not is_out_of_files(shortage(result)):
                    self.passed()
                    return result
                narrowed = self.narrow(place)
            if not narrowed and not await self.wait():
                return result

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Place]:
        """A place for one attempt, waited for. Nobody who holds a lock may wait here: who has it may need a place."""
        while self._running >= self.width:
            await self._freed.wait()
        self._running += 1
        try:
            yield Place(width=self.width)
        finally:
            self._running -= 1
            freed, self._freed = self._freed, anyio.Event()
            freed.set()

    def narrow(self, place: Place) -> bool:
        """The attempt in `place`, which still has it, met a shortage: fewer run from here on, unless that was done
        since it began. False if it was alone: there is nothing to narrow."""
        self._make_room()
        if place.width <= 1:
            return False
        if place.width == self.width:
            if self.width == math.inf:
                self._note(_NOTE)
            self.width = max(1, min(self.width, self._running) // 2)
        return True

    def passed(self) -> None:
        """An attempt has met no shortage: whoever meets one next has all waits before it."""
        self._waits = 0

    async def wait(self) -> bool:
        """After a shortage that an attempt met alone: wait. False, at once, where that was of no use so far."""
        if self._waits == len(ALONE_WAITS_S):
            return False
        self._waits += 1
        await self._sleep(ALONE_WAITS_S[self._waits - 1])
        return True
