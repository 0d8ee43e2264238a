"""As many tasks as workers, taking paths one after the other: what the asyncio sides share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence


async def each(work: Callable[[str], Awaitable[None]], paths: Sequence[str], *, workers: int) -> None:
    """`work` for every path, at most `workers` at once."""
    waiting = iter(paths)

    async def worker() -> None:
        for path in waiting:
            await work(path)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker())
