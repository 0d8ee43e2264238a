"""Decides for each pod status which run it belongs to, and what follows: go on, show it, or end the watch.

Pure. The clock passed in bounds the waits; the EM's times are compared with each other only. Must not import http.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from emasync.model import PodPhase, PodRun, PodStatus, safe

GRACE_S: Final = 60.0
"""How long no pod, or a dead end that may be the earlier run's, is shown before the wait ends."""

_LOOKS: Final = 3  # looks that show no pod before it counts as vanished
_KILLED: Final = (137, 143)  # exit codes of a container that was stopped: SIGKILL, SIGTERM
_PULLING: Final = ("ErrImagePull", "ImagePullBackOff")  # one pod alternates between these


class Belongs(StrEnum):
    """Whose a status is. LIKELY: this run's as far as can be seen, but no proof. EITHER: cannot be told."""

    THIS = "this"
    LIKELY = "likely"
    EITHER = "either"
    EARLIER = "earlier"


class Step(StrEnum):
    """What a look comes to. HOLD: look again; SHOW: tell the status and look again; the others end the watch."""

    HOLD = "hold"
    SHOW = "show"
    END = "end"
    VANISHED = "vanished"
    REPLACED = "replaced"
    UNKNOWN = "unknown"


@dataclass(slots=True, kw_only=True)
class RunEvidence:
    """What earlier looks found out about a run; every watch of that run in a Client adds to it.

    `told_apart`: what is shown from now on is not the earlier run's. `undecided`: the last status that may be either's.
    `seen`: the run itself was shown. `end`: it ended. `replaced`: a later run was asked for, which stops this one.
    """

    told_apart: bool = False
    undecided: PodStatus | None = None
    seen: bool = False
    started_at: datetime | None = None
    end: PodStatus | None = None
    replaced: bool = False


class RunTracker:
    """Judges one look after another. Without a `run` every status counts, and nothing bounds the wait."""

    def __init__(self, run: PodRun | None, *, evidence: RunEvidence, now_s: float, age_s: float = 0.0) -> None:
        self.run = run
        self.evidence = evidence
        self.last: PodStatus | None = None
        self.doubtful: bool = False  # whether `last` may be the earlier run's
        asked_s = now_s - age_s
        self._starts_s = -math.inf if run is None else asked_s + run.starts_in_s
        self._bound_s = math.inf if run is None else asked_s + run.bound_s
        self._absent_since_s: float | None = None
        self._absent_looks = 0
        self._dead_end_since_s: float | None = None

    def observe(self, status: PodStatus, *, now_s: float) -> Step:
        """What follows from a look that was answered at `now_s`."""
        self.last = status
        if self.evidence.replaced and (status.started_at is None or status.started_at != self.evidence.started_at):
            return Step.REPLACED
        if status.phase is PodPhase.NONE:
            return self._observe_none(now_s)
        self._absent_since_s, self._absent_looks = None, 0
        belongs = self._belongs(status)
        self.doubtful = belongs is not Belongs.THIS
        if belongs is Belongs.THIS:
            return self._observe_own(status)
        return self._observe_doubtful(status, belongs, now_s)

    @property
    def awaited(self) -> str:
        """What the wait is for, as the subject of a sentence."""
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
        if not self.evidence.seen:  # between two pods this is normal, and what comes after it is the new one
            self.evidence.told_apart = self.run is not None
            return Step.UNKNOWN if now_s >= self._bound_s else Step.HOLD if self.run is not None else Step.SHOW
        self._absent_looks += 1
        if self._absent_since_s is None:
            self._absent_since_s = now_s
        absent_s = now_s - max(self._absent_since_s, self._starts_s)
        return Step.VANISHED if self._absent_looks >= _LOOKS and absent_s >= GRACE_S else Step.SHOW

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
        if not (status.dead_end or (status.phase is PodPhase.WAITING and status.reason in _PULLING)):
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
    """Whose `status` is when nothing else was seen since `before`, a status that may be the earlier run's.

    The earlier pod may have gone on meanwhile: what it can come to by itself (from waiting to running, from running to
    terminated, because the new run stops it) proves nothing. `status` is no NONE.
    """
    if before is None:
        return _belongs_after_nothing(status)
    if status == before:
        return Belongs.EITHER
    if status.started_at is not None and before.started_at is not None:
        return Belongs.EITHER if status.started_at == before.started_at else Belongs.THIS
    if before.phase is not PodPhase.NONE and status.reason == "CrashLoopBackOff":
        return Belongs.EITHER  # what a container that was started before comes to
    match before.phase:
        case PodPhase.NONE | PodPhase.TERMINATED:
            return Belongs.THIS
        case PodPhase.RUNNING:
            return Belongs.THIS if status.phase is PodPhase.WAITING else Belongs.EITHER
        case _ if before.dead_end and before.reason != "CrashLoopBackOff":
            pulling = before.reason in _PULLING and status.reason in _PULLING and before.reason != status.reason
            return Belongs.EITHER if pulling else Belongs.THIS
        case _:
            return _belongs_after_waiting(status)


def _belongs_after_nothing(status: PodStatus) -> Belongs:
    if status.ended:
        return Belongs.EITHER
    return Belongs.THIS if status.phase is PodPhase.WAITING else Belongs.LIKELY


def _belongs_after_waiting(status: PodStatus) -> Belongs:
    """The earlier pod was about to start."""
    if status.dead_end:
        return Belongs.EITHER
    if status.phase is not PodPhase.TERMINATED:
        return Belongs.LIKELY
    stopped = status.exit_code in _KILLED and status.reason != "DeadlineExceeded"
    return Belongs.EITHER if stopped else Belongs.THIS
