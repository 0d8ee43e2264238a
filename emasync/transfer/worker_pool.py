"""A bounded worker pool: several workers take items from one source, without a queue in between.

At most `workers` items are under way beside those that sleep or have just woken, and all workers have ended when `run`
returns. Imports nothing of emasync.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import anyio

T = TypeVar("T")


class WorkerPool:
    """Runs a function over items; while one item waits in `sleep`, another one is started in its place.

    A worker that wakes goes on at once, beside its replacement, which ends after its item: waiting for a free worker
    could mean waiting for one that needs a lock which the sleeper holds. At most twice `workers` items are under way.
    """

    def __init__(self) -> None:
        self._workers = self._running = self._asleep = 0
        self._tasks: set[int] = set()  # of the workers, not of tasks that a worker started
        self._start: Callable[[], None] = lambda: None

    async def run(self, items: Iterable[T], work: Callable[[T], Awaitable[None]], *, workers: int) -> None:
        """Call `work` for each of `items` in their order; an item is taken when a worker is free for it.

        What `work` raises cancels the other workers and is raised, as itself if it is the only exception. Cancellation
        cancels all of them.
        """
        source = iter(items)  # shared: each item goes to one worker

        async def worker() -> None:
            task = anyio.get_current_task().id
            self._tasks.add(task)
            try:
                while self._running <= self._workers + self._asleep and (item := list(islice(source, 1))):
                    await work(item[0])
            finally:
                self._tasks.discard(task)
                self._running -= 1

        def start() -> None:
            self._running += 1
            tasks.start_soon(worker)

        self._workers, self._start = workers, start
        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(workers):
                    start()
        except BaseExceptionGroup as group:
            raise unwrap_single(group) from None

    async def sleep(self, seconds: float) -> None:
        """Sleep; if a worker sleeps, another one works in its place meanwhile. Any task may call this."""
        if self._asleep >= self._workers or anyio.get_current_task().id not in self._tasks:
            await anyio.sleep(seconds)
            return
        self._asleep += 1
        self._start()
        try:
            await anyio.sleep(seconds)
        finally:
            self._asleep -= 1


def drain(items: deque[T]) -> Iterator[T]:
    """`items` from the left; each is dropped from the deque as it is handed out, for there may be very many."""
    while items:
        yield items.popleft()


def unwrap_single(error: BaseException) -> BaseException:
    """The only exception inside nested groups, or the group that has several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
