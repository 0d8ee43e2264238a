"""Following a pod: an async iterator over the statuses of a run, and what its end means.

Owns: when to look again, which outage to sit out, and the errors a wait ends with. May import run_tracker, model and
errors. Knows nothing of requests: a look is a coroutine function that is handed in.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import anyio

from emasync.api.run_tracker import GRACE_S, RunTracker, Step
from emasync.errors import (
    EMError,
    PodFailedError,
    PodVanishedError,
    ProtocolError,
    ServerError,
    TimedOutError,
    UnknownOutcomeError,
    UnreachableError,
)
from emasync.model import PodPhase, PodStatus, safe

Look = Callable[[], Awaitable[PodStatus]]

_OUTAGE = (ProtocolError, ServerError, TimedOutError, UnreachableError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """When to look. `rand` in [0, 1) spreads the looks of many watches: the interval is met within +-20 %. An outage
    shorter than `outage_s` is sat out."""

    interval_s: float
    outage_s: float
    rand: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if not (math.isfinite(self.interval_s) and self.interval_s > 0):
            raise ValueError(f"interval must be a positive number of seconds, not {self.interval_s!r}")

    async def pause(self) -> None:
        """Sleep until the next look is due."""
        await self.sleep(self.interval_s * (0.8 + 0.4 * self.rand()))


class PodWatch(AsyncIterator[PodStatus]):
    """Yields a status at once and on every change, until the pod has ended, vanished or can never start.

    Only statuses that belong to the run are yielded. A watch that ends with PodPhase.NONE is of a pod that vanished.
    Iterating raises UnknownOutcomeError when the run cannot be told from the one before it and must have ended by now,
    PodVanishedError when another run took its place, and the error of an outage that is too long. No task runs behind
    it: to stop, stop iterating.
    """

    def __init__(self, look: Look, *, tracker: RunTracker, polling: Polling) -> None:
        self._look = look
        self._tracker = tracker
        self._polling = polling
        self._answered_s: float | None = None  # the last answer, or the first look
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
        """The next look that is answered."""
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
