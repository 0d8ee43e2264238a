"""`em.pods`: running a pod and finding out how it fares.

Owns: these calls, and which run a watch without a handle means. May import watch, caller and below.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio

from emasync.api.pod_watch import PodWatch, Polling
from emasync.api.run_tracker import RunEvidence, RunTracker
from emasync.errors import AuthError, EMError, UnknownOutcomeError
from emasync.http.pipeline import RequestPipeline
from emasync.model import Node, PodRun, PodStatus
from emasync.model.pods import run_duration_s
from emasync.wire import requests, responses

_OUTAGE_S: Final = 120.0
_REMEMBERED: Final = 16  # runs whose evidence is kept


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class Pods:
    """The pod of one volume (the default one, or the one named by `Client(volume=...)`)."""

    def __init__(
        self,
        caller: RequestPipeline,
        volume: requests.Volume,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = _wall_clock,
    ) -> None:
        self._caller = caller
        self._volume = volume
        self._sleep = sleep
        self._clock = clock
        self._wall_clock = wall_clock
        self._last_run: PodRun | None = None
        self._evidence: list[tuple[PodRun, RunEvidence]] = []

    async def run(  # noqa: PLR0913 - the public signature: each field of the request is a keyword
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
        before: PodStatus | None = None,
    ) -> PodRun:
        """Have the EM run `image` (``em/pod/run``). It stops the user's previous pod. Returning means "scheduled" only.

        Returns the handle of the run, which `watch` and `wait` take: it holds what tells the run from the one before
        it. `max_duration` is in whole minutes, or a timedelta of whole minutes; then the EM stops the pod.
        `scheduled_time` must know its time zone (ValueError otherwise). `args`, `envs` and `ports` are understood by
        later generations only. Never sent twice: UnknownOutcomeError when the answer was lost; `last_run` is then the
        handle. One look at the status comes first, unless `before` is what a look has just shown; a look that fails
        (but for AuthError) does not prevent the run.

        >>> run = await em.pods.run("echo", node=Node.GPU, max_duration=5)
        >>> run.image, run.node.value
        ('echo', 'GPU')
        """
        call = requests.run_pod(
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
        before = before if before is not None else await self._look_before()
        return await self._start(
            call, self._asked_now(image, node, max_duration, before=before, scheduled_time=scheduled_time)
        )

    @property
    def pod_name(self) -> str | None:
        """The name of the pod that the calls mean; None is the default one.

        >>> async with Client(sim.url, username="client1", password="secret", volume="pod-a") as client:
        ...     client.pods.pod_name
        'pod-a'
        """
        return self._volume.name

    @property
    def last_run(self) -> PodRun | None:
        """The run that this Client asked for last; one whose answer was lost counts, a refused one does not.

        >>> run = await em.pods.run("echo")
        >>> em.pods.last_run is run
        True
        """
        return self._last_run

    async def status(self) -> PodStatus:
        """One look (``em/pod/status``). PodPhase.NONE when there is no pod.

        >>> (await em.pods.status()).phase.value
        'none'
        """
        return responses.pod_status(await self._caller.json(requests.pod_status(self._volume)))

    def watch(self, run: PodRun | None = None, *, interval: float = 2.0) -> PodWatch:
        """Yield the status of `run` at once and on every change, until the pod has ended or can never start.

        Without `run`: of the run that this Client started last, else of whatever pod is shown (where there is none it
        waits for one, without end). The status of an earlier run is not yielded. A pod that is shown no more for a
        minute has vanished: the last status is then PodPhase.NONE. UnknownOutcomeError where the run cannot be told
        from the one before it, 15 minutes after it must have ended; PodVanishedError where another run took its place.
        `interval` in seconds, kept within +-20 %. A busy EM and outages under two minutes are sat out. ValueError for
        the run of another volume.

        >>> run = await em.pods.run("echo")
        >>> async for status in em.pods.watch(run, interval=0.01):
        ...     pass
        >>> status.phase.value, status.exit_code
        ('terminated', 0)
        """
        run = run or self.last_run
        if run is not None and run.pod_name != self.pod_name:
            raise ValueError(f"the run is of the pod {run.pod_name!r}, this Client's pod is {self.pod_name!r}")
        now_s = self._clock()
        age_s = 0.0 if run is None else run.age_s(monotonic_s=now_s, wall=self._wall_clock())
        tracker = RunTracker(run, evidence=self._evidence_of(run), now_s=now_s, age_s=age_s)
        polling = Polling(
            interval_s=interval, outage_s=_OUTAGE_S, rand=random.random, sleep=self._sleep, clock=self._clock
        )
        return PodWatch(self.status, tracker=tracker, polling=polling)

    async def wait(
        self, run: PodRun | None = None, *, timeout: float | None = None, interval: float = 2.0
    ) -> PodStatus:
        """The final status of `run` (see `watch` for what None means), which ended with exit code 0.

        PodFailedError (with `.pod`, `.reason`) when it ended otherwise, or when it can never start: at once, or after
        a minute where that may be the earlier run's status. UnknownOutcomeError as in `watch`; PodVanishedError, which
        is both, when the pod vanished or was replaced. TimedOutError after `timeout` seconds. Neither that nor
        cancellation stops the pod. Without a run and without a pod only `timeout` ends the wait.

        >>> run = await em.pods.run("echo")
        >>> (await em.pods.wait(run, timeout=60, interval=0.01)).succeeded
        True
        """
        return await self.watch(run, interval=interval).end(timeout_s=timeout)

    def _asked_now(
        self,
        image: str,
        node: Node,
        max_duration: int | timedelta,
        *,
        before: PodStatus | None,
        scheduled_time: datetime | None,
    ) -> PodRun:
        return PodRun(
            image=image,
            node=Node(node),
            pod_name=self.pod_name,
            before=before,
            max_duration_s=run_duration_s(requests.whole_minutes(max_duration)),
            scheduled_time=scheduled_time,
            asked_at=self._wall_clock(),
            asked_monotonic_s=self._clock(),
        )

    async def _start(self, call: requests.ApiRequest, run: PodRun) -> PodRun:
        try:
            await self._caller.json(call)
        except UnknownOutcomeError:
            self._remember(run, replaces=False)  # it may never have arrived
            raise
        return self._remember(run, replaces=True)

    async def _look_before(self) -> PodStatus | None:
        try:
            return await self.status()
        except AuthError:
            raise
        except EMError:
            return None

    def _remember(self, run: PodRun, *, replaces: bool) -> PodRun:
        """Make `run` the one that was asked for last. If it `replaces`, the runs before it have been stopped by it."""
        if self._last_run is not None and run.before is not None:  # a look like any other: perhaps at that run's end
            now_s = self._clock()
            RunTracker(self._last_run, evidence=self._evidence_of(self._last_run), now_s=now_s).observe(
                run.before, now_s=now_s
            )
        for _, evidence in self._evidence if replaces else ():
            evidence.replaced = True
        self._last_run = run
        self._evidence_of(run)
        return run

    def _evidence_of(self, run: PodRun | None) -> RunEvidence:
        """What is known of `run`, from now on too; of the last few runs only."""
        if run is None:
            return RunEvidence()
        for known, evidence in reversed(self._evidence):
            if known == run:
                return evidence
        self._evidence = [*self._evidence[1 - _REMEMBERED :], (run, RunEvidence())]
        return self._evidence[-1][1]
