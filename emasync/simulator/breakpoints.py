"""Breakpoints: requests pause at a known point until a test releases them, so that no test has to sleep and hope.

Must not import anything of HTTP.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

import anyio

Stage = Literal["start", "body", "answer"]
"""The point in a request at which a breakpoint pauses it. ``start``: the token is checked, the lock is held, the body
is unread. ``body``: after the first chunk of the body of an uplink or a downlink. ``answer``: the work is done, nothing
of the response is sent."""


class Breakpoint:
    """Pauses every request to `endpoint` (a path or shell pattern) at `stage` until `release` is called.

    Made by `Simulator.breakpoint`, which has an example. `waiting`: how many requests are paused now.
    """

    def __init__(self, endpoint: str, *, stage: Stage) -> None:
        self.endpoint: str = endpoint.strip("/")
        self.stage = stage
        self.waiting: int = 0
        self._released = anyio.Event()
        self._hit = anyio.Event()

    async def wait_until_hit(self, count: int = 1) -> None:
        """Return as soon as `count` requests are paused here."""
        while self.waiting < count:
            await self._hit.wait()

    def release(self) -> None:
        """Let all paused requests go on; later requests are not paused."""
        self._released.set()

    async def pause(self) -> None:
        """Called for a request that has come here: return when the breakpoint is released."""
        self.waiting += 1
        self._hit.set()
        self._hit = anyio.Event()
        try:
            await self._released.wait()
        finally:
            self.waiting -= 1


class Breakpoints:
    """All breakpoints of one simulator."""

    def __init__(self) -> None:
        self._breakpoints: list[Breakpoint] = []

    def add(self, endpoint: str, stage: Stage) -> Breakpoint:
        """A new breakpoint, in force at once."""
        added = Breakpoint(endpoint, stage=stage)
        self._breakpoints.append(added)
        return added

    async def pause(self, endpoint: str, stage: Stage) -> None:
        """Pause the calling request at every breakpoint set for `endpoint` and `stage`."""
        for candidate in list(self._breakpoints):
            if candidate.stage == stage and fnmatchcase(endpoint.strip("/"), candidate.endpoint):
                await candidate.pause()
