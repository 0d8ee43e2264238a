"""Counting the awaits of a piece of work, and doing something at the n-th: how the tests cut a transfer everywhere.

Owns: the watch over tasks. Imports nothing of emasync. Everything a watched task starts is watched with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_watched_by: ContextVar[Steps | None] = ContextVar("_watched_by", default=None)


class Steps:
    """The awaits of watched tasks, in the order in which they suspend; the `at`-th (from 0) calls `cut`.

    `late` False: while the task waits there. True: as soon as what it waits for has happened, and before the task
    hears of it, which is when a careless owner loses what it was just given.
    """

    def __init__(self, at: int, *, late: bool, cut: Callable[[], object] = lambda: None) -> None:
        self.at = at
        self.cut = cut
        self.taken = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self._late = late

    @property
    def struck(self) -> bool:
        """Whether there were that many awaits."""
        return self.taken > self.at

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A watched task."""
        before = _watched_by.set(self)
        try:
            return asyncio.create_task(work)
        finally:
            _watched_by.reset(before)

    def unfinished(self) -> list[asyncio.Task[Any]]:
        """Watched tasks that have not ended."""
        return [task for task in self.tasks if not task.done()]

    def _suspended(self, waits_for: object) -> None:
        self.taken += 1
        if self.taken != self.at + 1:
            return
        if self._late and isinstance(waits_for, asyncio.Future):
            waits_for.add_done_callback(lambda _: self.cut())  # before the task's own
        else:
            asyncio.get_running_loop().call_soon(self.cut)

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        result: T = await _Awaits(work, self._suspended)
        return result


class _Awaits:
    """What `await work` does, with a look at everything it waits for."""

    def __init__(self, work: Coroutine[Any, Any, Any], look: Callable[[object], None]) -> None:
        self._work = work
        self._look = look

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = partial(self._work.send, None)
        while True:
            try:
                waits_for = step()
            except StopIteration as end:
                return end.value
            self._look(waits_for)
            try:
                got = yield waits_for
            except BaseException as error:  # noqa: BLE001 - handed on to where it belongs
                step = partial(self._work.throw, error)
            else:
                step = partial(self._work.send, got)


@contextmanager
def watching() -> Iterator[None]:
    """Make `Steps` see the tasks of the running loop."""
    loop = asyncio.get_running_loop()

    def factory(loop: asyncio.AbstractEventLoop, work: Any, *, context: Context | None = None) -> asyncio.Task[Any]:
        steps = _watched_by.get() if context is None else context.get(_watched_by)
        if steps is None:
            return asyncio.Task(work, loop=loop, context=context)
        task = asyncio.Task(steps._run(work), loop=loop, context=context)
        steps.tasks.append(task)
        return task

    loop.set_task_factory(factory)
    try:
        yield
    finally:
        loop.set_task_factory(None)
