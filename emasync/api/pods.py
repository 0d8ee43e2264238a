"""`em.pods` and `em.images`: a pod's run, its status and following it to its end; the images that pods run.

Which run a status belongs to is decided in `run_tracker`. Must not import disk or transfer.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio

from emasync.api.run_tracker import GRACE_S, RunEvidence, RunTracker, Step
from emasync.errors import (
    AuthError,
    EMError,
    PodFailedError,
    PodVanishedError,
    ProtocolError,
    ServerError,
    TimedOutError,
    UnknownOutcomeError,
    UnreachableError,
)
from emasync.http.pipeline import RequestPipeline
from emasync.model import Image, Node, PodPhase, PodRun, PodStatus, safe
from emasync.model.pods import run_duration_s
from emasync.wire import requests, responses

_OUTAGE: Final = (ProtocolError, ServerError, TimedOutError, UnreachableError)
_OUTAGE_S: Final = 120.0
_MAX_RUNS: Final = 16  # whose evidence is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """When to ask for the status. `rand` in [0, 1) spreads the requests of many watches: the interval is kept within
    +-20 %. An outage shorter than `outage_s` is waited out."""

    interval_s: float
    outage_s: float
    rand: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if not (math.isfinite(self.interval_s) and self.interval_s > 0):
            raise ValueError(f"interval must be a positive number of seconds, not {self.interval_s!r}")

    async def pause(self) -> None:
        """Sleep until the next request is due."""
        await self.sleep(self.interval_s * (0.8 + 0.4 * self.rand()))


class PodWatch(AsyncIterator[PodStatus]):
    """Yields a status at once and on every change, until the pod has ended, vanished or can never start.

    Only statuses that belong to the run are yielded. A watch that ends with PodPhase.NONE is of a pod that vanished.
    Iterating raises UnknownOutcomeError when the run cannot be told from the one before it and must have ended by now,
    PodVanishedError when another run took its place, and the error of an outage that is too long. No task runs behind
    it: to stop, stop iterating.
    """

    def __init__(self, look: Callable[[], Awaitable[PodStatus]], *, tracker: RunTracker, polling: Polling) -> None:
        self._look = look
        self._tracker = tracker
        self._polling = polling
        self._answered_s: float | None = None  # the last answer, or the first request
        self._shown: PodStatus | None = None
        self._pause = False
        self._step = Step.HOLD

    def __aiter__(self) -> PodWatch:
        return self

    async def __anext__(self) -> PodStatus:
        if (end := self._tracker.evidence.end) is not None and self._shown is None:
            self._shown, self._step = end, Step.END  # seen by an earlier watch: nothing more will happen
            return end
        while self._step in (Step.HOLD, Step.SHOW):
            if self._pause:
                await self._polling.pause()
            self._pause = True
            status = await self._next_status()
            self._step = self._tracker.observe(status, now_s=self._polling.clock())
            if self._step in (Step.UNKNOWN, Step.REPLACED):
                raise self._failure(status)
            if self._step is not Step.HOLD and status != self._shown:
                self._shown = status
                return status
        raise StopAsyncIteration

    @property
    def doubtful(self) -> bool:
        """Whether the last status may be that of an earlier run."""
        return self._tracker.doubtful

    def result(self) -> PodStatus:
        """The last status of a watch that has ended, if the pod ended well; the error that says how it ended if not."""
        status = self._shown
        if status is None or self._step not in (Step.END, Step.VANISHED):
            raise RuntimeError("the watch has not ended: iterate over it first")
        if self._step is Step.VANISHED:
            raise self._failure(status)
        return judged(status, doubtful=self._tracker.doubtful)

    async def end(self, *, timeout_s: float | None = None) -> PodStatus:
        """Iterate to the end, then as `result`; TimedOutError after `timeout_s`."""
        try:
            with anyio.fail_after(timeout_s):
                async for _ in self:
                    pass
        except TimeoutError as error:
            if isinstance(error, EMError):
                raise
            tracker = self._tracker
            raise TimedOutError(
                f"{tracker.awaited} has not ended within {timeout_s:g} s ({tracker.last_seen}); it goes on on the EM",
                phase="pod",
            ) from None
        return self.result()

    async def _next_status(self) -> PodStatus:
        """The next status that the EM answers with."""
        if self._answered_s is None:
            self._answered_s = self._polling.clock()
        while True:
            try:
                status = await self._look()
            except _OUTAGE:
                if self._polling.clock() - self._answered_s >= self._polling.outage_s:
                    raise
                await self._polling.pause()
            else:
                self._answered_s = self._polling.clock()
                return status

    def _failure(self, status: PodStatus) -> UnknownOutcomeError:
        tracker = self._tracker
        if self._step is Step.VANISHED:
            text = f"the EM has shown no pod for {GRACE_S:.0f} s though it was seen before; how it ended is unknown"
            return PodVanishedError(f"{tracker.awaited} has vanished: {text}", pod=status)
        if self._step is Step.REPLACED:
            text = "the EM shows a pod with another start, of another run or restarted; how it ended is unknown"
            return PodVanishedError(f"{tracker.awaited} was replaced: {text}", pod=status)
        return UnknownOutcomeError(
            f"{tracker.awaited} must have ended by now (its max_duration and 15 min are over), and no status of the EM "
            f"can be told from that of the run before it ({tracker.last_seen}); how it ended is unknown"
        )


def judged(status: PodStatus, *, doubtful: bool = False) -> PodStatus:
    """`status` if the pod succeeded; PodFailedError that says why it did not. `doubtful`: maybe an earlier run's."""
    if status.succeeded:
        return status
    said = f": {safe(status.message)}" if status.message else ""
    reason = safe(status.reason) if status.reason else "no reason given"
    if status.phase is PodPhase.TERMINATED:
        code = "without an exit code" if status.exit_code is None else f"with exit code {status.exit_code}"
        raise PodFailedError(f"the pod ended {code} ({reason}){said}", pod=status)
    doubt = f"; nothing else was shown for {GRACE_S:.0f} s, so this may be the earlier run's status" if doubtful else ""
    raise PodFailedError(f"the pod cannot start ({reason}){said}{doubt}", pod=status)


class Pods:
    """The pod of one volume (the default one, or the one named by `Client(volume=...)`)."""

    def __init__(
        self,
        pipeline: RequestPipeline,
        volume: requests.Volume,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pipeline = pipeline
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
        request = requests.run_pod(
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
        run = PodRun(
            image=image,
            node=Node(node),
            pod_name=self.pod_name,
            before=before,
            max_duration_s=run_duration_s(requests.whole_minutes(max_duration)),
            scheduled_time=scheduled_time,
            asked_at=self._wall_clock(),
            asked_monotonic_s=self._clock(),
        )
        try:
            await self._pipeline.json(request)
        except UnknownOutcomeError:
            self._record_run(run, replaces=False)  # it may never have arrived
            raise
        return self._record_run(run, replaces=True)

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
        return responses.pod_status(await self._pipeline.json(requests.pod_status(self._volume)))

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

    async def _look_before(self) -> PodStatus | None:
        try:
            return await self.status()
        except AuthError:
            raise
        except EMError:
            return None

    def _record_run(self, run: PodRun, *, replaces: bool) -> PodRun:
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
        self._evidence = [*self._evidence[1 - _MAX_RUNS :], (run, RunEvidence())]
        return self._evidence[-1][1]


class Images:
    """The user's images. Built by `Client`; not meant to be made by hand."""

    def __init__(self, pipeline: RequestPipeline, volume: requests.Volume) -> None:
        self._pipeline = pipeline
        self._volume = volume

    async def build(self, image: str, *, dockerfile: str, context: str = ".") -> None:
        """Build `image` from a Dockerfile and a context folder in the volume (``em/pod/image/build``).

        The build has no network; the server adds the user's name in front of the image's. It may take long (up to two
        hours are waited). BuildFailedError carries the last log lines. UnknownOutcomeError when the answer was lost:
        it is never sent twice. Cancellation does not stop the build on the EM.

        >>> size = Path("Dockerfile").write_text("FROM alpine")
        >>> report = await em.uplink("Dockerfile", dest="hello")
        >>> await em.images.build("hello", dockerfile="hello/Dockerfile", context="hello")
        >>> [image.name for image in await em.images.list()]
        ['client1-echo', 'client1-hello']
        """
        await self._pipeline.json(requests.build_image(self._volume, image, dockerfile=dockerfile, context=context))

    async def load(self, image: str, *, tarfile: str) -> None:
        """Load an image from a tar in the volume (``em/pod/image/load``).

        The image in the tar must be tagged with the user's name as prefix (``client1-echo-test``), or the EM takes it
        and never runs it. ImageLoadError, UnknownOutcomeError and cancellation as in `build`.

        >>> await em.images.load("client1-hello", tarfile="results/a.txt")
        Traceback (most recent call last):
        ImageLoadError: POST em/pod/image/load (results/a.txt): refused (400) [IMAGE_LOAD_FAILED]: not an image tar
        """
        await self._pipeline.json(requests.load_image(self._volume, image, tarfile=tarfile))

    async def list(self) -> list[Image]:
        """The images this user may run (``em/pod/image/list``).

        >>> await em.images.list()
        [Image(name='client1-echo')]
        """
        return responses.images(await self._pipeline.json(requests.list_images(self._volume)))
