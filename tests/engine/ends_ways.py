"""The ways in which a transfer can be ended before its end, each at the moment that `Steps` chooses.

Owns: one coroutine function per way. May import emasync and `ends_steps`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio

from emasync import Client, Transfer
from emasync.transfer.events import Event, OnEvent, Settled
from tests.engine.ends_steps import Steps

Begin: TypeAlias = Callable[[Client, OnEvent | None], Transfer]
Way: TypeAlias = Callable[[Client, Begin, Steps], Awaitable[Transfer]]


async def leave_the_block(em: Client, begin: Begin, steps: Steps) -> Transfer:
    """Leave ``async with transfer`` while it runs, or with its last outcome."""
    moment = asyncio.Event()
    steps.cut = moment.set
    planned = settled = 0

    def on_event(event: Event) -> None:
        nonlocal planned, settled
        planned = getattr(event, "files", planned)
        settled += isinstance(event, Settled)
        if settled and settled == planned:
            moment.set()

    transfer = begin(em, on_event)

    async def work() -> None:
        async with transfer:
            await moment.wait()

    await steps.start(work())
    return transfer


async def cancel_the_scope(em: Client, begin: Begin, steps: Steps) -> Transfer:
    """Cancel an anyio scope around it, as `move_on_after` does."""
    transfer = begin(em, None)

    async def work() -> None:
        with anyio.CancelScope() as scope:
            steps.cut = scope.cancel
            await transfer

    await steps.start(work())
    return transfer


async def cancel_the_task(em: Client, begin: Begin, steps: Steps) -> Transfer:
    """Cancel the task that awaits it."""
    transfer = begin(em, None)
    task = steps.start(_await(transfer))
    steps.cut = task.cancel
    await ended(task)
    return transfer


async def cancel_the_task_impatiently(em: Client, begin: Begin, steps: Steps) -> Transfer:
    """Cancel the task, and again at each of the next turns of the loop, while it still tidies up."""
    transfer = begin(em, None)
    task = steps.start(_await(transfer))
    loop, more = asyncio.get_running_loop(), 5

    def cut() -> None:
        nonlocal more
        task.cancel()
        more -= 1
        if more:
            loop.call_soon(cut)

    steps.cut = cut
    await ended(task)
    return transfer


async def ended(task: asyncio.Task[None]) -> None:
    """Wait for a task that may have been cancelled; the cancellation of the waiting test is not mistaken for it."""
    try:
        await asyncio.wait([task])
    finally:
        task.cancel()
    if not task.cancelled():
        task.result()


async def _await(transfer: Transfer) -> None:
    await transfer
