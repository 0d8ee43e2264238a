"""A bounded pool: so many workers, one source of work, no queue in between.

Owns: that at most `workers` items are under way beside those that sleep or have just woken, that one which sleeps holds
up no other, and that every worker has ended when it returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

T = TypeVar("T")
_pool: ContextVar[_Pool | None] = ContextVar("_pool", default=None)


class _Pool:
    """The workers of one `run_workers`, and the stand-ins for those that sleep: at most as many as there are workers.

    Whoever wakes goes on at once, beside a stand-in that ends after its item: to wait for a place could mean to wait
    for somebody who waits for a lock of the sleeper's.
    """

    def __init__(self, tasks: TaskGroup, work: Callable[[], Awaitable[bool]], *, workers: int) -> None:
        self._tasks = tasks
        self._work = work
        self._workers = workers
        self._alive = self._asleep = 0
        self._members: set[int] = set()  # of what a worker starts on its own, the context is the same

    def start(self) -> None:
        """One more worker."""
        self._alive += 1
        self._tasks.start_soon(self._run)

    async def _run(self) -> None:
        _pool.set(self)
        me = anyio.get_current_task().id
        self._members.add(me)
        try:
            while self._alive <= self._workers + self._asleep and await self._work():
                pass
        finally:
            self._members.discard(me)
            self._alive -= 1

    async def sleep(self, seconds: float) -> None:
        """Sleep, with a stand-in meanwhile."""
        if self._asleep >= self._workers or anyio.get_current_task().id not in self._members:
            await anyio.sleep(seconds)  # enough is under way already, or it is no worker that sleeps
            return
        self._asleep += 1
        self.start()
        try:
            await anyio.sleep(seconds)
        finally:
            self._asleep -= 1


async def yielding_sleep(seconds: float) -> None:
    """Sleep; in a pool, another item may go on meanwhile."""
    pool = _pool.get()
    await (anyio.sleep(seconds) if pool is None else pool.sleep(seconds))


async def run_workers(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, workers: int) -> None:
    """Call `work` for each item, `workers` at a time, in the order of `items` (taken as workers get free). While one
    is in `yielding_sleep` another goes on in its place: for so long, and until one of the two is through, there is one
    more. Never more than twice `workers`.

    What `work` raises cancels the others and is raised, as itself if it was alone. Cancellation cancels all of them.
    """
    source = iter(items)

    async def one() -> bool:
        for item in source:  # shared: each item goes to one worker
            await work(item)
            return True
        return False

    try:
        async with anyio.create_task_group() as tasks:
            pool = _Pool(tasks, one, workers=workers)
            for _ in range(workers):
                pool.start()
    except BaseExceptionGroup as group:
        raise unwrap_single(group) from None


def drain(items: deque[T]) -> Iterator[T]:
    """`items` from the left, each forgotten here once it is handed out: very many are not to be kept to the end."""
    while items:
        yield items.popleft()


def unwrap_single(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
