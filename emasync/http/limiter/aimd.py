"""The adaptive limit: how many requests may be in flight, learned from the requests that the EM takes and refuses.

Additive increase, multiplicative decrease. Pure: counts and times are passed in. Imports nothing of emasync.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterConfig:
    """The limiter's numbers. Times in seconds. A success is a request taken while the limit was fully used."""

    start: int = 4
    widest: int = 64
    """The limit never exceeds this. It may be generous: worker pools are bounded, and an unused limit does not grow."""
    ramp_s: float = 0.02
    """At the start, so many seconds without any answer double the limit, as successes do: a lock is answered at once.
    Waiting for a whole round trip each time would cost a short job on a slow link a third of its time."""
    ramp_to: int = 16
    """Time alone raises the limit no further, so that a strict lock refuses at most a run's first twenty requests."""
    patience: int = 32
    """Successes before a refused number of requests is tried again; doubles with every refusal."""
    patience_s: float = 60.0
    """The same in seconds, for requests so long that successes are rare; whichever comes first. Doubles too."""
    confirm: int = 8
    """Successes (at least two rounds) at a limit that was refused before, until that refusal is forgotten."""
    backoff_base_s: float = 0.2
    backoff_cap_s: float = 5.0
    """Longest wait before a probe; half of it is jitter. With the base above, at most 6 probes fall into any 5 s."""
    retry_after_cap_s: float = 300.0
    small_run: int = 8
    """SMALL requests that may overtake a waiting BULK request; then one BULK request goes."""

    def __post_init__(self) -> None:
        if min(self.start, self.widest) < 1:
            raise ValueError(f"the concurrency limit is at least 1, not {min(self.start, self.widest)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterState:
    """What was learned of one EM: the limit (`width`), the smallest number of requests at once that it refused
    (`known_limit`, None if it refused none), and when (`learned_at`, unix seconds)."""

    width: int
    known_limit: int | None
    learned_at: float


class LimitChangeReason(StrEnum):
    """Why the limit changed, as a clause for a person."""

    OPENING = "nothing has been refused yet"
    SUCCESS = "a run of successes"
    TRIAL = "trying again what was refused before"
    REFUSED = "refused beside other calls of ours"
    LOCKED = "locked by another user"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChanged:
    """The limit rose or fell."""

    width_before: int
    width_after: int
    reason: LimitChangeReason


@dataclass(frozen=True, slots=True, kw_only=True)
class _LimitEstimate:
    """The smallest number of requests at once that was refused, and how long until that many are tried again."""

    refused_at: int | None
    patience: int
    patience_s: float


class AdaptiveLimit:
    """The learned limit (`width`). Every change is appended to `changes`; the reader of that list clears it.

    A refusal while n of our requests ran (the refused one included) halves n. Refusals without a success between them
    are one burst. If the EM took no request of the burst, another user held the lock, and the burst teaches nothing
    about our own limit.
    """

    def __init__(self, config: LimiterConfig, *, now: float, state: LimiterState | None = None) -> None:
        self._config = config
        self.width: int = min(config.widest, state.width if state else config.start)
        self.changes: list[LimitChanged] = []
        self._estimate = self._fresh(state.known_limit if state else None)
        self._opening = self._estimate.refused_at is None
        self._before_burst: tuple[int, _LimitEstimate] | None = None
        self._run = 0  # successes since the last change or refusal
        self._calm = 0  # successes since the last refusal that was learned from
        self._estimated_at = now

    @property
    def known_limit(self) -> int | None:
        """The smallest number of requests at once that was refused, and has not been confirmed to work since."""
        return self._estimate.refused_at

    def on_success(self, *, in_flight: int) -> None:
        """The EM took a request; `in_flight` counts all of ours that ran then, that one included."""
        self._before_burst = None
        if in_flight < self.width:
            return  # a limit that is not reached proves nothing
        self._run += 1
        self._calm += 1
        if self._opening:
            self._set(self.width + 1, LimitChangeReason.OPENING)  # each success adds one: doubles every round
        elif self._on_trial:
            if self._run >= max(self._config.confirm, 2 * self.width):
                self._estimate = self._fresh(None)
        elif self._at_known_limit:
            if self._calm >= self._estimate.patience:
                self._try_again()
        elif self._run >= self.width:
            self._set(self.width + 1, LimitChangeReason.SUCCESS)

    def on_busy(self, *, in_flight: int, now: float) -> None:
        """The EM refused a request; `in_flight` counts all of ours that ran when it answered, that one included."""
        if self._before_burst is None:
            self._before_burst = (self.width, self._estimate)
        self._opening = False
        self._run = 0
        if in_flight < 2:
            width, self._estimate = self._before_burst
            self._set(max(1, width // 2), LimitChangeReason.LOCKED)
            return
        self._estimate = self._learn(in_flight)
        self._calm, self._estimated_at = 0, now
        self._set(min(self.width, in_flight // 2), LimitChangeReason.REFUSED)

    def on_probe_success(self) -> None:
        """The EM took a probe: a refusal after it belongs to a new burst, and so lowers the limit further."""
        self._before_burst = None

    def due_at(self, *, full_since: float) -> float | None:
        """When time alone raises a limit that has been fully used, with requests waiting, since then; None: never."""
        if self._opening:
            return full_since + self._config.ramp_s if self.width < self._ramp_to else None
        if self._at_known_limit and not self._on_trial and self.width < self._config.widest:
            return self._estimated_at + self._estimate.patience_s
        return None

    def widen_by_time(self) -> None:
        """Raise the limit when that time has come: double it at the start, later try again what was refused."""
        if self._opening:
            self._set(min(2 * self.width, self._ramp_to), LimitChangeReason.OPENING)
        else:
            self._try_again()

    def is_risky(self, *, in_flight: int) -> bool:
        """Whether so many requests at once were refused before."""
        return self._estimate.refused_at is not None and in_flight >= self._estimate.refused_at

    @property
    def _ramp_to(self) -> int:
        return min(self._config.ramp_to, self._config.widest)

    @property
    def _at_known_limit(self) -> bool:
        return self.is_risky(in_flight=self.width + 1)

    @property
    def _on_trial(self) -> bool:
        return self.is_risky(in_flight=self.width)

    def _try_again(self) -> None:
        self._set(self.width + 1, LimitChangeReason.TRIAL)

    def _learn(self, in_flight: int) -> _LimitEstimate:
        known = self._estimate
        if known.refused_at is None or in_flight < known.refused_at:
            return self._fresh(in_flight)
        if not self._on_trial:
            return known
        return _LimitEstimate(refused_at=known.refused_at, patience=2 * known.patience, patience_s=2 * known.patience_s)

    def _fresh(self, refused_at: int | None) -> _LimitEstimate:
        return _LimitEstimate(refused_at=refused_at, patience=self._config.patience, patience_s=self._config.patience_s)

    def _set(self, width: int, reason: LimitChangeReason) -> None:
        previous, self.width = self.width, max(1, min(width, self._config.widest))
        if self.width != previous:
            self._run = 0
            self.changes.append(LimitChanged(width_before=previous, width_after=self.width, reason=reason))
