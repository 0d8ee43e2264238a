"""Who carries the pods: one task a pod, all in one group that ends with the simulator.

Owns: tasks, and turning a behaviour's end into a pod's end. May import pods, clock and anyio.
Knows nothing of HTTP. The group lives in a task of its own, because a test's fixture may well enter the simulator in
one task and leave it in another, which an anyio group does not survive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup

from emasync.simulator.clock import Clock
from emasync.simulator.pods import DEADLINE_EXIT, Behaviour, Pod, PodContext, moment


class PodRunner:
    """Runs background work until `stop`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stopping = anyio.Event()
        self._group: TaskGroup | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._scopes: dict[int, anyio.CancelScope] = {}

    async def start(self) -> None:
        """Open the group; returns once it can take work."""
        ready = anyio.Event()
        self._keeper = asyncio.get_running_loop().create_task(self._keep(ready))
        await ready.wait()

    async def stop(self) -> None:
        """Cancel everything and wait until it has ended."""
        self._stopping.set()
        if self._keeper is not None:
            await self._keeper

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start `work`; it must not raise."""
        if self._group is not None:
            self._group.start_soon(work)

    def carry(self, pod: Pod, context: PodContext, behaviour: Behaviour, *, start_s: float) -> None:
        """Let `pod` live: wait for its time and `start_s` more, do `behaviour`, end; all on the clock."""

        scope = self._scopes[id(pod)] = anyio.CancelScope()

        async def life() -> None:
            try:
                with scope:
                    await self._live(pod, context, behaviour, start_s)
            finally:
                del self._scopes[id(pod)]

        self.spawn(life)

    def stop_pod(self, pod: Pod) -> None:
        """Cancel what `pod` does, because another takes its place."""
        if scope := self._scopes.get(id(pod)):
            scope.cancel()

    async def _keep(self, ready: anyio.Event) -> None:
        async with anyio.create_task_group() as group:
            self._group = group
            ready.set()
            await self._stopping.wait()
            self._group = None
            group.cancel_scope.cancel()

    async def _live(self, pod: Pod, context: PodContext, behaviour: Behaviour, start_s: float) -> None:
        scheduled = pod.spec.scheduled_at
        await self._clock.sleep(max(0.0, (scheduled or 0.0) - self._clock.now()) + start_s)
        pod.begin(now=self._clock.now())
        async with anyio.create_task_group() as group:

            async def deadline() -> None:
                await self._clock.sleep(60.0 * pod.spec.max_duration)
                pod.finish(DEADLINE_EXIT, now=self._clock.now(), reason="DeadlineExceeded", message="max_duration over")
                group.cancel_scope.cancel()

            group.start_soon(deadline)
            try:
                code = await behaviour(context) or 0
            except Exception as broken:  # noqa: BLE001 - whatever a behaviour raises is how its pod ends
                pod.finish(1, now=self._clock.now(), message=f"{type(broken).__name__}: {broken}")
            else:
                pod.finish(code, now=self._clock.now())
            group.cancel_scope.cancel()


async def write_downlink(context: PodContext, *, run_s: float) -> int:
    """What an image does that has no behaviour of its own: takes `run_s`, leaves ``downlink.txt`` in the volume."""
    lines = [
        f"image: {context.image}",
        f"node: {context.node}",
        f"command: {context.command or '(the default of the image)'}",
        f"started: {moment(context.clock.now())}",
    ]
    await context.clock.sleep(run_s)
    target = context.volume / "downlink.txt"
    target.unlink(missing_ok=True)  # never through a link that was planted there
    target.write_text("\n".join(lines) + "\n", "utf-8")
    return 0
