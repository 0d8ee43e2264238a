"""Decides for each polled pod status to which run it belongs, and whether a watch shows it, polls on or ends.

Does no I/O. Times of the EM are compared only with each other; the clock that is passed in limits the watch. Must not
import http.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from emasync.model import PodPhase, PodRun, PodStatus, safe

GRACE_S: Final = 60.0
"""A watch ends when polls have shown for this long no pod, or a pod that cannot start and may be the earlier run's."""

_MIN_ABSENT_POLLS: Final = 3  # polls that must show no pod before it counts as vanished
_STOPPED_EXIT_CODES: Final = (137, 143)  # of a container that SIGKILL or SIGTERM ended
_NO_IMAGE: Final = ("ErrImagePull", "ImagePullBackOff")  # a pod without its image alternates between them


class Belongs(StrEnum):
    """To which run a status belongs. LIKELY: probably this run, without proof. EITHER: this or the earlier run."""

    THIS = "this"
    LIKELY = "likely"
    EITHER = "either"
    EARLIER = "earlier"


class Step(StrEnum):
    """What a watch does after a poll. HOLD: poll again; SHOW: show the status and poll again; the others end it."""

    HOLD = "hold"
    SHOW = "show"
    END = "end"
    VANISHED = "vanished"
    REPLACED = "replaced"
    UNKNOWN = "unknown"


@dataclass(slots=True, kw_only=True)
class RunEvidence:
    """What earlier polls found out about a run; all watches of that run in one Client share it.

    `told_apart`: a later status cannot be the earlier run's. `undecided`: the last status that may be either run's.
    `seen`: a status was this run's. `end`: the status of its end. `replaced`: a later run was requested and stops it.
    """

    told_apart: bool = False
    undecided: PodStatus | None = None
    seen: bool = False
    started_at: datetime | None = None
    end: PodStatus | None = None
    replaced: bool = False


class RunTracker:
    """Judges the polled statuses of one watch, which began `age_s` seconds after `run` was requested. Without a `run`
    every status counts as the awaited one's, and the watch has no time limit."""

    def __init__(self, run: PodRun | None, *, evidence: RunEvidence, now_s: float, age_s: float = 0.0) -> None:
        self.run = run
        self.evidence = evidence
        self.last: PodStatus | None = None
        self.doubtful: bool = False  # whether `last` may belong to the earlier run
        requested_s = now_s - age_s
        self._starts_s = -math.inf if run is None else requested_s + run.starts_in_s
        self._bound_s = math.inf if run is None else requested_s + run.bound_s  # the run must have ended by then
        self._absent_since_s: float | None = None
        self._absent_polls = 0
        self._dead_end_since_s: float | None = None

    def observe(self, status: PodStatus, *, now_s: float) -> Step:
        """What the watch does after a poll that was answered with `status` at `now_s`."""
        self.last = status
        if self.evidence.replaced and (status.started_at is None or status.started_at != self.evidence.started_at):
            return Step.REPLACED
        if status.phase is PodPhase.NONE:
            return self._observe_none(now_s)
        self._absent_since_s, self._absent_polls = None, 0
        belongs = self._belongs(status)
        self.doubtful = belongs is not Belongs.THIS
        if belongs is Belongs.THIS:
            return self._observe_own(status)
        return self._observe_doubtful(status, belongs, now_s)

    @property
    def awaited(self) -> str:
        """What the watch waits for, worded as the subject of an error message."""
        return "the pod" if self.run is None else f"{self.run.description},"

    @property
    def last_seen(self) -> str:
        """The last status in a few words, and whether it may be the earlier run's."""
        if self.last is None:
            return "last seen: nothing"
        facts = [str(self.last.phase)]
        facts += [safe(self.last.reason)] if self.last.reason else []
        facts += [f"exit code {self.last.exit_code}"] if self.last.exit_code is not None else []
        doubt = ", which may be an earlier run's" if self.doubtful and self.last.phase is not PodPhase.NONE else ""
        return f"last seen: {', '.join(facts)}{doubt}"

    def _belongs(self, status: PodStatus) -> Belongs:
        if self.run is None:
            return Belongs.THIS
        before = self.run.before
        if before is not None and status.started_at is not None and status.started_at == before.started_at:
            return Belongs.EARLIER
        undecided = self.evidence.undecided
        if self.evidence.told_apart or (undecided and belongs_after(undecided, status) is Belongs.THIS):
            return Belongs.THIS
        self.evidence.undecided = status
        return belongs_after(before, status)

    def _observe_none(self, now_s: float) -> Step:
        self.doubtful, self._dead_end_since_s = False, None
        if not self.evidence.seen:  # the EM has removed the earlier run's pod: the next pod is this run's
            self.evidence.told_apart = self.run is not None
            return Step.UNKNOWN if now_s >= self._bound_s else Step.HOLD if self.run is not None else Step.SHOW
        self._absent_polls += 1
        if self._absent_since_s is None:
            self._absent_since_s = now_s
        absent_s = now_s - max(self._absent_since_s, self._starts_s)
        return Step.VANISHED if self._absent_polls >= _MIN_ABSENT_POLLS and absent_s >= GRACE_S else Step.SHOW

    def _observe_own(self, status: PodStatus) -> Step:
        evidence = self.evidence
        if self.run is not None:
            evidence.told_apart = True
            if status.started_at is not None and evidence.started_at is None:
                evidence.started_at = status.started_at
            elif status.started_at is not None and status.started_at != evidence.started_at:
                return Step.REPLACED
        evidence.seen = evidence.seen or self.run is not None or not status.ended
        if status.phase is PodPhase.TERMINATED and self.run is not None:
            evidence.end = status
        return Step.END if status.ended else Step.SHOW

    def _observe_doubtful(self, status: PodStatus, belongs: Belongs, now_s: float) -> Step:
        if not (status.dead_end or (status.phase is PodPhase.WAITING and status.reason in _NO_IMAGE)):
            self._dead_end_since_s = None
        elif self._dead_end_since_s is None:
            self._dead_end_since_s = now_s
        since_s = now_s if self._dead_end_since_s is None else max(self._dead_end_since_s, self._starts_s)
        if status.dead_end and now_s - since_s >= GRACE_S:
            return Step.END
        if now_s >= self._bound_s:
            return Step.UNKNOWN
        return Step.SHOW if belongs is Belongs.LIKELY else Step.HOLD


def belongs_after(before: PodStatus | None, status: PodStatus) -> Belongs:
    """To which run `status` belongs, if the last status before it was `before`, which may be the earlier run's.

    The earlier pod may have changed between the two polls. A change that one pod goes through (from waiting to running;
    from running to terminated, because the new run stops it) proves nothing. `status.phase` must not be NONE.
    """
    if before is None:
        return _belongs_after_nothing(status)
    if status == before:
        return Belongs.EITHER
    if status.started_at is not None and before.started_at is not None:
        return Belongs.EITHER if status.started_at == before.started_at else Belongs.THIS
    if before.phase is not PodPhase.NONE and status.reason == "CrashLoopBackOff":
        return Belongs.EITHER  # the container of the earlier pod may have crashed and been restarted since `before`
    match before.phase:
        case PodPhase.NONE | PodPhase.TERMINATED:
            return Belongs.THIS
        case PodPhase.RUNNING:
            return Belongs.THIS if status.phase is PodPhase.WAITING else Belongs.EITHER
        case _ if before.dead_end and before.reason != "CrashLoopBackOff":
            alternates = before.reason in _NO_IMAGE and status.reason in _NO_IMAGE and before.reason != status.reason
            return Belongs.EITHER if alternates else Belongs.THIS
        case _:
            return _belongs_after_waiting(status)


def _belongs_after_nothing(status: PodStatus) -> Belongs:
    if status.ended:
        return Belongs.EITHER
    return Belongs.THIS if status.phase is PodPhase.WAITING else Belongs.LIKELY


def _belongs_after_waiting(status: PodStatus) -> Belongs:
    """To which run `status` belongs, if the last status before it was that of a pod that had not started yet."""
    if status.dead_end:
        return Belongs.EITHER
    if status.phase is not PodPhase.TERMINATED:
        return Belongs.LIKELY
    stopped = status.exit_code in _STOPPED_EXIT_CODES and status.reason != "DeadlineExceeded"
    return Belongs.EITHER if stopped else Belongs.THIS
