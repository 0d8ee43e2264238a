"""Runs pods: one task a pod, all in one task group that ends with the simulator.

The group lives in a task of its own, because a test's fixture may enter the simulator in one task and leave it in
another, which an anyio task group does not survive. Must not import anything of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from emasync.simulator.clock import Clock
from emasync.simulator.config import SimulatorConfig
from emasync.simulator.pods import DEADLINE_EXIT, Behaviour, Pod, PodContext, moment


class PodRunner:
    """Runs pods, and other background work, from `start` to `stop`.

    `behaviours`: what the pods of an image do, by the image's name; it is the caller's and may grow.
    """

    def __init__(self, clock: Clock, config: SimulatorConfig, behaviours: Mapping[str, Behaviour]) -> None:
        self._clock = clock
        self._config = config
        self._behaviours = behaviours
        self._stopping = anyio.Event()
        self._group: TaskGroup | None = None
        self._group_task: asyncio.Task[None] | None = None
        self._scopes: dict[int, anyio.CancelScope] = {}

    async def start(self) -> None:
        """Open the task group; returns once it can take work."""
        ready = anyio.Event()
        self._group_task = asyncio.get_running_loop().create_task(self._hold_group_open(ready))
        await ready.wait()

    async def stop(self) -> None:
        """Cancel all work and wait until it has ended."""
        self._stopping.set()
        if self._group_task is not None:
            await self._group_task

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start `work`; it must not raise."""
        if self._group is not None:
            self._group.start_soon(work)

    def launch(self, pod: Pod, *, user: str, volume: Path) -> None:
        """Start the pod of `user`; one whose image is unknown never starts."""
        spec = pod.spec
        if not spec.known:
            return
        context = PodContext(
            volume=volume,
            image=spec.image,
            node=spec.node,
            command=spec.command,
            args=spec.args,
            envs=spec.envs,
            max_duration=spec.max_duration,
            clock=self._clock,
        )
        behaviour = self._behaviours.get(spec.image) or self._behaviours.get(spec.image.removeprefix(f"{user}-"))
        scope = self._scopes[id(pod)] = anyio.CancelScope()
        default = partial(write_downlink, run_s=self._config.pod_run)
        self.spawn(partial(self._run_until_stopped, scope, pod, context, behaviour or default))

    def stop_pod(self, pod: Pod) -> None:
        """Cancel the task of `pod`, because another pod takes its place."""
        if scope := self._scopes.get(id(pod)):
            scope.cancel()

    async def _hold_group_open(self, ready: anyio.Event) -> None:
        async with anyio.create_task_group() as group:
            self._group = group
            ready.set()
            await self._stopping.wait()
            self._group = None
            group.cancel_scope.cancel()

    async def _run_until_stopped(
        self, scope: anyio.CancelScope, pod: Pod, context: PodContext, behaviour: Behaviour
    ) -> None:
        try:
            with scope:
                await self._run(pod, context, behaviour)
        finally:
            del self._scopes[id(pod)]

    async def _run(self, pod: Pod, context: PodContext, behaviour: Behaviour) -> None:
        """Wait for the scheduled time and `pod_start` seconds more, run `behaviour`, end; all on the clock."""
        scheduled = pod.spec.scheduled_at
        await self._clock.sleep(max(0.0, (scheduled or 0.0) - self._clock.now()) + self._config.pod_start)
        pod.begin(now=self._clock.now())
        async with anyio.create_task_group() as group:
            group.start_soon(self._end_at_deadline, pod, group.cancel_scope)
            try:
                code = await behaviour(context) or 0
            except Exception as error:  # noqa: BLE001 - whatever a behaviour raises is how its pod ends
                pod.finish(1, now=self._clock.now(), message=f"{type(error).__name__}: {error}")
            else:
                pod.finish(code, now=self._clock.now())
            group.cancel_scope.cancel()

    async def _end_at_deadline(self, pod: Pod, scope: anyio.CancelScope) -> None:
        await self._clock.sleep(60.0 * pod.spec.max_duration)
        pod.finish(DEADLINE_EXIT, now=self._clock.now(), reason="DeadlineExceeded", message="max_duration over")
        scope.cancel()


async def write_downlink(context: PodContext, *, run_s: float) -> int:
    """The behaviour of an image that has none of its own: after `run_s` seconds write ``downlink.txt``, exit code 0."""
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
