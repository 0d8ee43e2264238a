"""Gates: hold requests at a known point until a test lets them go, so that no test sleeps and hopes.

Owns: `Breakpoint` and the list of those that are shut. May import anyio. Knows nothing of HTTP.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

import anyio

Stage = Literal["start", "body", "answer"]
"""Where a gate stands: ``start``: token checked, lock held, body unread; ``body``: after the first piece of a body, of
an uplink or a downlink; ``answer``: the work is done, nothing of the answer is sent."""


class Breakpoint:
    """Holds every request to `endpoint` (a path or shell pattern) at `stage` until `release` is called."""

    def __init__(self, endpoint: str, *, stage: Stage) -> None:
        self.endpoint = endpoint.strip("/")
        self.stage = stage
        self.waiting = 0
        self._opened = anyio.Event()
        self._came = anyio.Event()

    async def wait_until_hit(self, count: int = 1) -> None:
        """Return as soon as `count` requests wait here."""
        while self.waiting < count:
            await self._came.wait()

    def release(self) -> None:
        """Let all go that wait, and all that come."""
        self._opened.set()

    async def hold(self) -> None:
        """Be one of those that wait."""
        self.waiting += 1
        self._came.set()
        self._came = anyio.Event()
        try:
            await self._opened.wait()
        finally:
            self.waiting -= 1


class Breakpoints:
    """The gates of a simulator."""

    def __init__(self) -> None:
        self._gates: list[Breakpoint] = []

    def add(self, endpoint: str, stage: Stage) -> Breakpoint:
        """A new, shut gate."""
        gate = Breakpoint(endpoint, stage=stage)
        self._gates.append(gate)
        return gate

    async def hold(self, endpoint: str, stage: Stage) -> None:
        """Stop at every gate that stands here."""
        for gate in list(self._gates):
            if gate.stage == stage and fnmatchcase(endpoint.strip("/"), gate.endpoint):
                await gate.hold()
