"""`Transfer`: what `uplink`, `downlink` and `sync_*` return. Await it, or iterate its outcomes.

Runs the work, a coroutine function that is passed in, as a task of its own. Knows nothing of uplinks or downlinks: must
not import run or engine.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType

import anyio
import anyio.lowlevel

from emasync.http.pipeline import RequestStats
from emasync.model import Outcome, Outcomes, TransferReport
from emasync.transfer.tracker import ResultTracker

Work = Callable[[ResultTracker, RequestStats], Awaitable[None]]
"""The engine: records results in the tracker, counts its requests; returns when every file has a result."""


class Transfer:
    """One transfer, begun when it is awaited or entered, and at most once.

    ``report = await transfer`` runs it to its end. ``async with transfer: async for outcome in transfer: ...`` gives
    each file as it settles; leaving the block early cancels what is under way, and returns when no task, temporary
    file or connection of it is left. Cancellation of the awaiting task does the same. After the end `report` holds the
    sums of all that settled; a slow reader does not hold up the transfer. What makes the whole of it impossible (the
    volume cannot be listed, the journal is in use) is raised.

    >>> async with em.downlink("results/", into="out", workers=1) as transfer:
    ...     async for outcome in transfer:
    ...         print(outcome.path, outcome.state)
    results/b.txt done
    results/a.txt done
    >>> transfer.report.bytes
    18
    """

    def __init__(
        self,
        work: Work,
        tracker: ResultTracker,
        *,
        busy_clock: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._clock = clock
        self._busy_clock = busy_clock  # wall seconds so far in which the EM was busy
        self._busy_begun = self._busy_ended = 0.0
        self._stats = RequestStats()
        self._tracker = tracker
        self._stack: AsyncExitStack | None = None
        self._read = 0  # outcomes the iteration has given
        self._over = self._cancelled = False
        self._begun: float | None = None
        self._ended: float | None = None
        self._failure: Exception | None = None

    @property
    def report(self) -> TransferReport:
        """What has settled so far; complete once the iteration has ended."""
        begun = self._begun if self._begun is not None else self._clock()
        ended = self._ended if self._ended is not None else self._clock()
        return TransferReport(
            outcomes=Outcomes(self._tracker.outcomes),
            seconds=ended - begun,
            requests=self._stats.requests,
            busy_seconds=(self._busy_clock() if self._ended is None else self._busy_ended) - self._busy_begun,
            resent_bytes=self._tracker.resent_bytes,
            failed_bytes=self._tracker.failed_bytes,
            plan=self._tracker.plan,
            notes=tuple(self._tracker.notes),
        )

    def __await__(self) -> Generator[None, None, TransferReport]:
        return self._run().__await__()

    async def _run(self) -> TransferReport:
        async with self:
            while await self._more():
                self._read = len(self._tracker.outcomes)  # nobody iterates them
        return self.report

    async def __aenter__(self) -> Transfer:
        if self._begun is not None:
            raise RuntimeError("a Transfer runs once; call uplink() or downlink() again for another")
        self._begun, self._busy_begun = self._clock(), self._busy_clock()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._running())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            try:
                await stack.aclose()  # without the caller's error: a task group would wrap it
            finally:
                self._ended, self._busy_ended = self._clock(), self._busy_clock()

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self

    async def __anext__(self) -> Outcome:
        if self._begun is None:
            raise RuntimeError("iterate a Transfer inside `async with transfer:`, or just await it")
        if not await self._more():
            raise StopAsyncIteration
        self._read += 1
        return self._tracker.outcomes.at(self._read - 1)

    async def _more(self) -> bool:
        """Wait until there is an outcome that was not read; False if none will come, or the failure that ended it."""
        while self._read == len(self._tracker.outcomes):
            if self._failure is not None:
                raise self._failure from None
            if self._cancelled:  # with the reader's own scope, whose cancellation may not have reached the reader yet
                await anyio.lowlevel.checkpoint()
            if self._over or self._stack is None:
                return False
            await self._tracker.updated()
        return True

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._drive)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _drive(self) -> None:
        try:
            await self._work(self._tracker, self._stats)
        except Exception as error:  # noqa: BLE001 - raised to whoever iterates
            self._failure = error
        except BaseException:
            self._cancelled = True
            raise
        finally:
            self._over = True
            self._tracker.wake_reader()
