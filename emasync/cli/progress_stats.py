"""`ProgressStats`: the totals of a running transfer, computed from its events.

Pure: prints nothing, and the clock is passed in. May import the events of transfer and of the limiter.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from emasync.http.limiter.aimd import LimitChanged
from emasync.http.limiter.scheduler import LimiterWaiting
from emasync.model import Outcome, RemotePath
from emasync.transfer.events import (
    Event,
    Forwarding,
    Planned,
    Progress,
    Settled,
    Started,
)

_WINDOW_S = 15.0  # over which the speed is told: long enough to be calm, short enough to be true
_SAMPLES_S = 0.5


@dataclass(slots=True)
class Active:
    """A file under way: `size` None where it is not known. `forwarded` since then it is on the ground, on its way."""

    bytes: int = 0
    size: int | None = None
    forwarded: float | None = None


class Tally:
    """The sums of one transfer, from its events. Memory: an entry for each file under way."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.files = self.bytes = self.settled = self.moved = self.failed = 0
        self.width: int | None = None
        self.busy_since: float | None = None
        self.active: dict[RemotePath, Active] = {}
        self._clock = clock
        self._begun = clock()
        self._samples: deque[tuple[float, int]] = deque([(self._begun, 0)])

    def take(self, event: Event) -> None:
        """Count one event in."""
        if isinstance(event, Planned):
            self.files, self.bytes = self.settled + event.files, event.bytes
        elif isinstance(event, Started):
            self.busy_since = None
            self._move(event.path, 0, event.size)
        elif isinstance(event, Progress):
            self.busy_since = None
            self._move(event.path, event.bytes, event.size)
        elif isinstance(event, Forwarding):
            now = self._clock()
            for path in event.paths:
                self.active.setdefault(path, Active()).forwarded = now
        elif isinstance(event, LimitChanged):
            self.width = event.width_after
        elif isinstance(event, LimiterWaiting):
            self.busy_since = event.since
        elif isinstance(event, Settled):
            self._settle(event.outcome)

    def _move(self, path: RemotePath, done: int, size: int | None) -> None:
        one = self.active.setdefault(path, Active())
        self.moved += done - one.bytes
        one.bytes, one.size, one.forwarded = done, size, None

    def _settle(self, outcome: Outcome) -> None:
        self.busy_since = None
        self.settled += 1
        self.failed += outcome.error is not None
        one = self.active.pop(outcome.path, None)
        self.moved += outcome.bytes - (one.bytes if one is not None else 0)

    @property
    def elapsed_s(self) -> float:
        """Since the tally was made."""
        return self._clock() - self._begun

    @property
    def busy_s(self) -> float | None:
        """How long the EM has let nothing pass; None while it does."""
        return None if self.busy_since is None else max(0.0, self._clock() - self.busy_since)

    @property
    def forwarding(self) -> tuple[int, float]:
        """How many files are on the ground on their way to the EM, and for how long the first of them has been."""
        since = [one.forwarded for one in self.active.values() if one.forwarded is not None]
        return len(since), self._clock() - min(since) if since else 0.0

    @property
    def phase(self) -> str:
        """What holds things up, in words; empty when bytes flow."""
        if (busy := self.busy_s) is not None:
            return f"EM busy for {busy:.0f} s"
        count, seconds = self.forwarding
        if count and count == len(self.active):
            since = f" for {seconds:.0f} s" if seconds >= 1 else ""
            return f"{count} {'file' if count == 1 else 'files'} on the ground, going to the EM{since}"
        return ""

    def sample(self) -> float:
        """Bytes a second over the last seconds; call it as often as it is shown."""
        now = self._clock()
        if now - self._samples[-1][0] >= _SAMPLES_S:
            self._samples.append((now, self.moved))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW_S:
            self._samples.popleft()
        then, moved = self._samples[0]
        return max(0.0, (self.moved - moved) / (now - then)) if now > then else 0.0

    def eta_s(self, speed: float) -> float | None:
        """Seconds to go at `speed`; None where nobody can tell."""
        return (self.bytes - self.moved) / speed if speed > 0 and self.bytes >= self.moved else None
