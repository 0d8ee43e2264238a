"""`ProgressStats`: the totals of a running transfer, computed from its events.

Pure: prints nothing, and the clock is passed in. Must not import rich or the client.
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

_WINDOW_S = 15.0  # the speed's average: long enough to be steady, short enough to be up to date
_SAMPLES_S = 0.5


@dataclass(slots=True)
class ActiveFile:
    """A file that is being moved; `size` None is unknown. `forwarded_at`: when its last byte was sent."""

    bytes: int = 0
    size: int | None = None
    forwarded_at: float | None = None


class ProgressStats:
    """The totals of one transfer, from its events. Memory: an entry for each file that is being moved."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.files: int = 0
        self.bytes: int = 0
        self.settled: int = 0
        self.moved: int = 0
        self.failed: int = 0
        self.request_limit: int | None = None
        self.busy_since: float | None = None
        self.active: dict[RemotePath, ActiveFile] = {}
        self._clock = clock
        self._begun = clock()
        self._samples: deque[tuple[float, int]] = deque([(self._begun, 0)])

    def handle(self, event: Event) -> None:
        """Count an event."""
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
                self.active.setdefault(path, ActiveFile()).forwarded_at = now
        elif isinstance(event, LimitChanged):
            self.request_limit = event.width_after
        elif isinstance(event, LimiterWaiting):
            self.busy_since = event.since
        elif isinstance(event, Settled):
            self._settle(event.outcome)

    def _move(self, path: RemotePath, done: int, size: int | None) -> None:
        file = self.active.setdefault(path, ActiveFile())
        self.moved += done - file.bytes
        file.bytes, file.size, file.forwarded_at = done, size, None

    def _settle(self, outcome: Outcome) -> None:
        self.busy_since = None
        self.settled += 1
        self.failed += outcome.error is not None
        file = self.active.pop(outcome.path, None)
        self.moved += outcome.bytes - (file.bytes if file is not None else 0)

    @property
    def busy_s(self) -> float | None:
        """For how many seconds the EM has refused requests as busy; None while it accepts them."""
        return None if self.busy_since is None else max(0.0, self._clock() - self.busy_since)

    @property
    def forwarding(self) -> tuple[int, float]:
        """How many files are sent and being stored by the EM, and for how many seconds the first of them has been."""
        since = [file.forwarded_at for file in self.active.values() if file.forwarded_at is not None]
        return len(since), self._clock() - min(since) if since else 0.0

    @property
    def phase(self) -> str:
        """What the transfer waits for, in words; empty while bytes are sent or received."""
        if (busy := self.busy_s) is not None:
            return f"EM busy for {busy:.0f} s"
        count, seconds = self.forwarding
        if count and count == len(self.active):
            since = f" ({seconds:.0f} s)" if seconds >= 1 else ""
            return (
                f"{count} file sent, the EM is storing it{since}"
                if count == 1
                else f"{count} files sent, the EM is storing them{since}"
            )
        return ""

    def sample(self) -> float:
        """Bytes a second, averaged over the last 15 seconds. Call it each time that it is shown."""
        now = self._clock()
        if now - self._samples[-1][0] >= _SAMPLES_S:
            self._samples.append((now, self.moved))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW_S:
            self._samples.popleft()
        then, moved = self._samples[0]
        return max(0.0, (self.moved - moved) / (now - then)) if now > then else 0.0

    def eta_s(self, speed: float) -> float | None:
        """The seconds that remain at `speed`; None where that is unknown."""
        return (self.bytes - self.moved) / speed if speed > 0 and self.bytes >= self.moved else None
