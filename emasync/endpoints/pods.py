"""`em.pods`: running a pod and finding out how it fares.

Owns: these calls. May import watch, caller and below.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta

from emasync.caller import Caller
from emasync.model import Node, PodStatus
from emasync.watch import Watcher
from emasync.wire import calls, replies

_OUTAGE_S = 120.0


class Pods:
    """The pod of one volume (the default one, or the one named by `Client(volume=...)`)."""

    def __init__(self, caller: Caller, volume: calls.Volume) -> None:
        self._caller = caller
        self._volume = volume

    async def run(
        self,
        image: str,
        *,
        node: Node = Node.FPGA,
        max_duration: int | timedelta = 1,
        command: str | None = None,
        scheduled_time: datetime | None = None,
        args: Sequence[str] | None = None,
        envs: Mapping[str, str] | None = None,
        ports: Sequence[int] | None = None,
    ) -> None:
        """Have the EM run `image` (``em/pod/run``). It stops the user's previous pod. Returning means "scheduled" only.

        `max_duration` is in whole minutes, or a timedelta of whole minutes; then the EM stops the pod.
        `scheduled_time` must know its time zone (ValueError otherwise). `args`, `envs` and `ports` are understood by
        later generations only. Never sent twice: UnknownOutcomeError when the answer was lost.
        """
        call = calls.run_pod(
            self._volume,
            image,
            node=node,
            max_duration=max_duration,
            command=command,
            scheduled_time=scheduled_time,
            args=args,
            envs=envs,
            ports=ports,
        )
        await self._caller.json(call)

    async def status(self) -> PodStatus:
        """One look (``em/pod/status``). PodPhase.NONE when there is no pod."""
        return replies.pod_status(await self._caller.json(calls.pod_status(self._volume)))

    def watch(self, *, interval: float = 2.0, after: PodStatus | None = None) -> AsyncIterator[PodStatus]:
        """Yield the status at once and on every change, until the pod has ended or can never start.

        `interval` in seconds, kept within +-20 %. `after`: the status of an earlier pod, not to be mistaken for this
        one's. A busy EM and outages under two minutes are sat out. Where there is no pod it waits for one.
        """
        return self._watcher(interval).changes(after=after)

    async def wait(
        self, *, timeout: float | None = None, interval: float = 2.0, after: PodStatus | None = None
    ) -> PodStatus:
        """The final status of a pod that ended with exit code 0.

        PodFailedError (with `.pod`, `.reason`) when it ended otherwise, or at once when it can never start;
        TimedOutError after `timeout` seconds. Neither that nor cancellation stops the pod.
        """
        return await self._watcher(interval).end(after=after, timeout_s=timeout)

    def _watcher(self, interval_s: float) -> Watcher:
        return Watcher(self.status, interval_s=interval_s, outage_s=_OUTAGE_S, rand=random.random)
