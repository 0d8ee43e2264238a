"""Following a pod: an async iterator over its status, and what its end means.

Owns: when to look again, which outage to sit out, when it is over. May import model and errors.
Knows nothing of requests: a look is a coroutine function that is handed in.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

from emasync.errors import EMError, PodFailedError, ServerError, TimedOutError, UnreachableError
from emasync.model import PodPhase, PodStatus, safe

Look = Callable[[], Awaitable[PodStatus]]

_OUTAGE = (ServerError, TimedOutError, UnreachableError)


class Watcher:
    """How to poll. `rand` in [0, 1) spreads the polls of many watchers: an interval is met within +-20 %."""

    def __init__(
        self,
        look: Look,
        *,
        interval_s: float,
        outage_s: float,
        rand: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (math.isfinite(interval_s) and interval_s > 0):
            raise ValueError(f"interval must be a positive number of seconds, not {interval_s!r}")
        self._look = look
        self._interval_s = interval_s
        self._outage_s = outage_s
        self._rand = rand
        self._sleep = sleep
        self._clock = clock

    async def changes(self, *, after: PodStatus | None = None) -> AsyncIterator[PodStatus]:
        """Yield the status at once and whenever it differs from the last one; end with the pod, or at a dead end.

        `after` is a status that belongs to an earlier pod: as long as the server shows just that, nothing is yielded.
        An outage shorter than `outage_s` is sat out, a longer one raises its error. No task runs behind it: to stop,
        stop iterating.
        """
        last, seen_at = after, self._clock()
        while True:
            try:
                status = await self._look()
            except _OUTAGE:
                if self._clock() - seen_at >= self._outage_s:
                    raise
            else:
                seen_at = self._clock()
                if status != last:
                    last = status
                    yield status
                    if status.ended:
                        return
            await self._sleep(self._interval_s * (0.8 + 0.4 * self._rand()))

    async def end(self, *, after: PodStatus | None = None, timeout_s: float | None = None) -> PodStatus:
        """The last status of the pod, if it ended well; PodFailedError otherwise, TimedOutError after `timeout_s`."""
        last: PodStatus | None = None
        try:
            with anyio.fail_after(timeout_s):
                async for status in self.changes(after=after):
                    last = status
        except TimeoutError as error:
            if isinstance(error, EMError):
                raise
            seen = last.phase if last is not None else "nothing"
            raise TimedOutError(
                f"the pod has not ended within {timeout_s:g} s (last seen: {seen}); it goes on on the EM", phase="pod"
            ) from None
        assert last is not None, "a watch ends with a status"
        return judged(last)


def judged(status: PodStatus) -> PodStatus:
    """`status` if the pod succeeded; PodFailedError that says why it did not."""
    if status.succeeded:
        return status
    said = f": {safe(status.message)}" if status.message else ""
    reason = safe(status.reason) if status.reason else "no reason given"
    if status.phase is PodPhase.TERMINATED:
        code = "without an exit code" if status.exit_code is None else f"with exit code {status.exit_code}"
        raise PodFailedError(f"the pod ended {code} ({reason}){said}", pod=status)
    raise PodFailedError(f"the pod cannot start ({reason}){said}", pod=status)
