"""One listing for many askers.

Owns: that tasks which need a listing made after now share the next one. May import endpoints and below.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from emasync.model import FileTree


class SharedListing:
    """`fresh` returns a listing that was begun after the call; callers that wait at the same time share one."""

    def __init__(self, make: Callable[[], Awaitable[FileTree]]) -> None:
        self._make = make
        self._lock = anyio.Lock()
        self._begun = 0  # listings begun so far
        self._last: FileTree | None = None

    async def fresh(self) -> FileTree:
        """A listing made after this call. Raises what listing raises; a cancelled maker leaves it to the next."""
        seen = self._begun
        async with self._lock:
            if self._last is None or self._begun <= seen:
                self._begun += 1
                self._last = None  # if this one fails, an older one must not pass for it
                self._last = await self._make()
            tree = self._last
            if not self._lock.statistics().tasks_waiting:
                self._last = None  # nobody to share it with, and it may be of very many files
            return tree
