"""A bounded pool: so many workers, one source of work, no queue in between.

Owns: that at most `workers` items are under way, and that every worker has ended when it returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

import anyio

T = TypeVar("T")


async def run_pool(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, workers: int) -> None:
    """Call `work` for each item, at most `workers` at a time, in the order of `items` (taken as workers get free).

    What `work` raises cancels the others and is raised, as itself if it was alone. Cancellation cancels all of them.
    """
    source = iter(items)

    async def worker() -> None:
        for item in source:  # shared: each item goes to one worker
            await work(item)

    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(workers):
                tasks.start_soon(worker)
    except BaseExceptionGroup as group:
        raise _alone(group) from None


def taken(items: deque[T]) -> Iterator[T]:
    """`items` from the left, each forgotten here once it is handed out: very many are not to be kept to the end."""
    while items:
        yield items.popleft()


def _alone(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
