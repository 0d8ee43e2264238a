"""How many calls of ours the EM bears at once: learned from what it takes and what it refuses.

Owns: the width, the narrowest width ever refused, and the patience before that one is tried again.
May import nothing of emasync but its own values. Knows no queue, no clock, no tickets: counts and times are passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterConfig:
    """The lane's numbers. Times are seconds; a "success" is a call the EM took while the whole width was in use."""

    start: int = 4
    widest: int = 64
    """Never wider. Pools bound themselves, and a width nobody uses does not grow, so this may be generous."""
    ramp_s: float = 0.02
    """A lock answers at once. So long without any answer, at the start only, doubles the width, as successes do;
    waiting a whole round trip each time would cost a short job on a slow link a third of its time."""
    ramp_to: int = 16
    """Time alone widens no further: what a strict lock then refuses is still among a run's first twenty requests."""
    patience: int = 32
    """Successes before a width that was refused is tried again; doubles with every refusal."""
    patience_s: float = 60.0
    """The same in time, for calls so long that successes hardly come; whichever is first. Doubles too."""
    confirm: int = 8
    """Successes (at least two rounds) at a width refused before, until the refusal is forgotten."""
    backoff_base_s: float = 0.2
    backoff_cap_s: float = 5.0
    """Before a probe; half of it is jitter. With the base above at most 6 probes fall into any 5 s."""
    retry_after_cap_s: float = 300.0
    small_run: int = 8
    """Small calls that may go ahead while a bulk call waits; then one bulk call goes."""

    def __post_init__(self) -> None:
        if min(self.start, self.widest) < 1:
            raise ValueError(f"a lane is at least 1 wide, not {min(self.start, self.widest)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterState:
    """What worked on one EM. `known_limit`: the narrowest width it refused, None if none; `learned_at`: unix
    seconds."""

    width: int
    known_limit: int | None
    learned_at: float


class LimitChangeReason(StrEnum):
    """Why the width changed, as a clause a person can read."""

    OPENING = "nothing has been refused yet"
    SUCCESS = "a run of successes"
    TRIAL = "trying again what was refused before"
    REFUSED = "refused beside other calls of ours"
    LOCKED = "locked by another user"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChanged:
    """The lane became wider or narrower."""

    width_before: int
    width_after: int
    reason: LimitChangeReason


@dataclass(frozen=True, slots=True, kw_only=True)
class _LimitEstimate:
    """What is believed about refusals: the narrowest width refused, and how long until it is tried again."""

    refused_at: int | None
    patience: int
    patience_s: float


class AdaptiveLimit:
    """The learned width. Every change is appended to `changes`; whoever reads them clears the list.

    A refusal while n calls of ours ran (itself included) halves n. Refusals without a success between them are one
    burst: if none of its calls was taken, another user held the lock and the burst says nothing about us.
    """

    def __init__(self, policy: LimiterConfig, *, now: float, memory: LimiterState | None = None) -> None:
        self._policy = policy
        self.width = min(policy.widest, memory.width if memory else policy.start)
        self.changes: list[LimitChanged] = []
        self._lesson = self._fresh(memory.known_limit if memory else None)
        self._opening = self._lesson.refused_at is None
        self._before_burst: tuple[int, _LimitEstimate] | None = None
        self._run = 0  # successes since the last change or refusal
        self._calm = 0  # successes since the last lesson
        self._lesson_at = now

    @property
    def known_limit(self) -> int | None:
        """The narrowest width that was refused and has not been proved since."""
        return self._lesson.refused_at

    def passed(self, *, in_flight: int) -> None:
        """The EM took a call; `in_flight` counts all of ours that ran then, itself included."""
        self._before_burst = None
        if in_flight < self.width:
            return  # a width that is not used proves nothing
        self._run += 1
        self._calm += 1
        if self._opening:
            self._set(self.width + 1, LimitChangeReason.OPENING)  # each success adds one: doubles every round
        elif self._on_trial:
            if self._run >= max(self._policy.confirm, 2 * self.width):
                self._lesson = self._fresh(None)
        elif self._at_known_limit:
            if self._calm >= self._lesson.patience:
                self._try_again()
        elif self._run >= self.width:
            self._set(self.width + 1, LimitChangeReason.SUCCESS)

    def refused(self, *, in_flight: int, now: float) -> None:
        """The EM refused a call; `in_flight` counts all of ours that ran when the answer came, itself included."""
        if self._before_burst is None:
            self._before_burst = (self.width, self._lesson)
        self._opening = False
        self._run = 0
        if in_flight < 2:
            width, self._lesson = self._before_burst
            self._set(max(1, width // 2), LimitChangeReason.LOCKED)
            return
        self._lesson = self._learn(in_flight)
        self._calm, self._lesson_at = 0, now
        self._set(min(self.width, in_flight // 2), LimitChangeReason.REFUSED)

    def lifted(self) -> None:
        """A cheap probe was taken: a refusal after it belongs to a new burst (and so narrows further)."""
        self._before_burst = None

    def due_at(self, *, full_since: float) -> float | None:
        """When time alone widens a lane that has been full, with calls waiting, since then; None: never."""
        if self._opening:
            return full_since + self._policy.ramp_s if self.width < self._ramp_to else None
        if self._at_known_limit and not self._on_trial and self.width < self._policy.widest:
            return self._lesson_at + self._lesson.patience_s
        return None

    def widen_by_time(self) -> None:
        """What is due then: doubling at the start, later a trial of what was refused."""
        if self._opening:
            self._set(min(2 * self.width, self._ramp_to), LimitChangeReason.OPENING)
        else:
            self._try_again()

    def is_risky(self, *, in_flight: int) -> bool:
        """Whether so many calls at once were refused before."""
        return self._lesson.refused_at is not None and in_flight >= self._lesson.refused_at

    @property
    def _ramp_to(self) -> int:
        return min(self._policy.ramp_to, self._policy.widest)

    @property
    def _at_known_limit(self) -> bool:
        return self.is_risky(in_flight=self.width + 1)

    @property
    def _on_trial(self) -> bool:
        return self.is_risky(in_flight=self.width)

    def _try_again(self) -> None:
        self._set(self.width + 1, LimitChangeReason.TRIAL)

    def _learn(self, in_flight: int) -> _LimitEstimate:
        known = self._lesson
        if known.refused_at is None or in_flight < known.refused_at:
            return self._fresh(in_flight)
        if not self._on_trial:
            return known
        return _LimitEstimate(refused_at=known.refused_at, patience=2 * known.patience, patience_s=2 * known.patience_s)

    def _fresh(self, refused_at: int | None) -> _LimitEstimate:
        return _LimitEstimate(refused_at=refused_at, patience=self._policy.patience, patience_s=self._policy.patience_s)

    def _set(self, width: int, reason: LimitChangeReason) -> None:
        before, self.width = self.width, max(1, min(width, self._policy.widest))
        if self.width != before:
            self._run = 0
            self.changes.append(LimitChanged(width_before=before, width_after=self.width, reason=reason))
