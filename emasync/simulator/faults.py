"""Faults to inject: what goes wrong, and with which request. Pure: randomness is passed in.

What a fault does is in `server`, `exchange` and the handlers, which must not be imported here.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, get_args

FaultKind = Literal[
    "busy_before",  # 423 before the body is read
    "busy_during",  # 423 after `at` bytes of the body (default 64 KiB), the rest unread
    "busy_after",  # 423 after the whole body, nothing done
    "commit_then_drop",  # do the work, then close without an answer (`hard`: with a reset)
    "cut_body",  # close after `at` bytes of the answer's body (default half of it)
    "corrupt_body",  # one wrong byte in a downlink's content, at `at`
    "wrong_hash",  # a wrong sha256 in a downlink's envelope; wrong content tags in a listing
    "wrong_size",  # a wrong size in a downlink's envelope or in a listing
    "unauthorized_before",  # 401 before the body is read
    "unauthorized_after_body",  # 401 after the whole body, nothing done
    "error_500",  # 500 with JSON; nothing done
    "html_502",  # 502 with a proxy's HTML page; nothing done
    "html_200",  # 200 with an HTML page; nothing done
    "error_200",  # 200 with a JSON that says what failed; nothing done
    "no_data",  # 200 with a message and no data; nothing done
    "unlisted_folders",  # a listing names its folders and does not give their contents
    "slow_drip",  # `rate` bytes a second, both ways
    "stall",  # never answers; with `at`, first takes or gives that many body bytes
    "drop_files",  # stores `count` files fewer than were sent (and says so, unless `claim_full`)
    "truncate_store",  # stores the last file of an uplink cut to `at` bytes (default half of it)
    "reset",  # RST at once; with `at`, after that many body bytes
    "redirect",  # 302 to `location`
    "retry_after",  # `status` (503, 429) with Retry-After: `seconds`
    "stale_lock",  # when the client goes away before its answer, the lock stays for `seconds`
    "earlier_status",  # the pod status is that of the pod before this one: a status that lags behind a run
    "no_pod",  # the pod status shows no pod: between two pods, or one that vanished
    "early_answer",  # 200 with `count` files before the body was read; nothing done
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong with some requests; hand it to `Simulator(faults=...)` or `sim.faults.add`.

    `endpoint` is a path or a shell pattern (``em/pod/*``); None means every ``em/`` request, but no log-in.
    Of the matching requests the first `after` are spared, then every `every`-th is hit with `probability`, until
    `times` were hit (None: no limit). `at` and `count`, `rate` (bytes a second) and `seconds` are described beside the
    kinds in `FaultKind`. `hard` closes without lingering: an early response may then be lost to the reset. ValueError
    for an unknown kind or a number out of range.

    >>> Fault("busy_before", endpoint="em/files/list", times=2).kind
    'busy_before'
    """

    kind: FaultKind = field(kw_only=False)
    endpoint: str | None = None
    times: int | None = 1
    probability: float = 1.0
    after: int = 0
    every: int = 1
    at: int | None = None
    seconds: float = 1.0
    rate: float = 16.0
    count: int = 1
    status: int = 503
    claim_full: bool = True
    hard: bool = False
    location: str = "http://redirected.invalid/"

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"no such fault {self.kind!r}; there are {', '.join(get_args(FaultKind))}")
        if self.every < 1 or self.after < 0 or not 0 <= self.probability <= 1 or self.rate <= 0:
            raise ValueError(f"every >= 1, after >= 0, 0 <= probability <= 1, rate > 0: {self!r}")

    def matches(self, endpoint: str) -> bool:
        """Whether requests to `endpoint` can be hit by this fault.

        >>> fault = Fault("stall", endpoint="em/pod/*")
        >>> fault.matches("em/pod/status"), fault.matches("em/files/list")
        (True, False)
        """
        pattern = "em/*" if self.endpoint is None else self.endpoint
        return fnmatchcase(endpoint.strip("/"), pattern.strip("/"))


class FaultList:
    """Faults in order; a request is hit by the first one that is due, and by at most one."""

    def __init__(self, faults: Iterable[Fault] = (), *, rng: random.Random) -> None:
        self._rng = rng
        self._counters = [_FaultCounter(fault) for fault in faults]

    def __iter__(self) -> Iterator[Fault]:
        return (counter.fault for counter in self._counters)

    def add(self, *faults: Fault) -> None:
        """Append faults; they count requests from now on."""
        self._counters += [_FaultCounter(fault) for fault in faults]

    def clear(self) -> None:
        """Remove all faults."""
        self._counters.clear()

    def decide(self, endpoint: str) -> Fault | None:
        """The fault that hits the request now arriving at `endpoint`, counted as a hit; None for no fault."""
        for counter in self._counters:
            if counter.fault.matches(endpoint) and counter.hits(self._rng):
                return counter.fault
        return None


class _FaultCounter:
    __slots__ = ("fault", "hit", "seen")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.hit = 0

    def hits(self, rng: random.Random) -> bool:
        fault = self.fault
        if fault.times is not None and self.hit >= fault.times:
            return False
        self.seen += 1
        number = self.seen - fault.after
        if number < 1 or number % fault.every or (fault.probability < 1 and rng.random() >= fault.probability):
            return False
        self.hit += 1
        return True
