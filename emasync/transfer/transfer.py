"""`Transfer`: what `uplink`, `downlink` and `sync_*` return. Await it, or walk through it file by file.

Owns: the life of the task behind a transfer and the order in which outcomes reach the caller.
May import events and model. Knows nothing of uplinks or downlinks: the work is a coroutine function handed in.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from emasync.caller import Account
from emasync.model import Outcome, TransferReport

Work = Callable[[Callable[[Outcome], Awaitable[None]], Account], Awaitable[None]]
"""The engine: called with `settle(outcome)` and the account to charge; returns when every file has settled."""

_AHEAD = 64  # outcomes (values of a few hundred bytes) the engine may be ahead of a slow reader


class Transfer:
    """One transfer, begun when it is awaited or entered, and at most once.

    ``report = await transfer`` runs it to its end. ``async with transfer: async for outcome in transfer: ...`` gives
    each file as it settles; leaving the block early cancels what is under way, and returns when no task, temporary file or
    connection of it is left. Cancellation of the awaiting task does the same. After the end `report` holds the sums of
    all that settled. What makes the whole transfer impossible (wrong password, no such local folder) is raised.
    """

    def __init__(self, work: Work, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._work = work
        self._clock = clock
        self._account = Account()
        self._outcomes: list[Outcome] = []
        self._stack: AsyncExitStack | None = None
        self._receive: MemoryObjectReceiveStream[Outcome] | None = None
        self._begun: float | None = None
        self._ended: float | None = None
        self._failure: Exception | None = None

    @property
    def report(self) -> TransferReport:
        """What has settled so far; complete once the iteration has ended."""
        begun = self._begun if self._begun is not None else self._clock()
        ended = self._ended if self._ended is not None else self._clock()
        return TransferReport(
            outcomes=tuple(self._outcomes),
            seconds=ended - begun,
            requests=self._account.requests,
            busy_seconds=self._account.busy_s,
        )

    def __await__(self) -> Generator[None, None, TransferReport]:
        return self._run().__await__()

    async def _run(self) -> TransferReport:
        async with self:
            async for _ in self:
                pass
        return self.report

    async def __aenter__(self) -> Transfer:
        if self._begun is not None:
            raise RuntimeError("a Transfer runs once; call uplink() or downlink() again for another")
        self._begun = self._clock()
        async with AsyncExitStack() as stack:
            self._receive = await stack.enter_async_context(self._running())
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
                self._ended = self._clock()

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self

    async def __anext__(self) -> Outcome:
        if self._receive is None:
            raise RuntimeError("iterate a Transfer inside `async with transfer:`, or just await it")
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[MemoryObjectReceiveStream[Outcome]]:
        send, receive = anyio.create_memory_object_stream[Outcome](_AHEAD)
        with receive:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._drive, send)
                try:
                    yield receive
                finally:
                    tasks.cancel_scope.cancel()

    async def _drive(self, send: MemoryObjectSendStream[Outcome]) -> None:
        async def settle(outcome: Outcome) -> None:
            self._outcomes.append(outcome)  # first: the report keeps it even if the reader has gone
            await send.send(outcome)

        with send:
            try:
                await self._work(settle, self._account)
            except Exception as error:  # noqa: BLE001 - handed to whoever iterates, as it is
                self._failure = error
