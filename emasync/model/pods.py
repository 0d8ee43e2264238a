"""Pods and nodes: what runs, and on what.

Owns: what a pod status means (has it ended, did it succeed, can it ever start), and what tells one run of a pod from
another. Imports nothing of emasync. The states are Kubernetes container states, as ``em/pod/status`` passes them on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

# Waiting reasons that Kubernetes does not leave by itself without a new image, name or configuration.
# ErrImagePull is not among them: it is the first try, and turns into ImagePullBackOff when it stays.
_DEAD_ENDS = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)


class Node(StrEnum):
    """The processor of the EM on which a pod runs.

    >>> run = await em.pods.run("echo", node=Node.FPGA)
    """

    FPGA = "FPGA"
    GPU = "GPU"
    MPU = "MPU"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One node of ``em/nodes/status``. `ready` is None when the server says neither True nor False.

    >>> {node.name: node.ready for node in await em.nodes()}
    {'fpga': True, 'gpu': True, 'mpu': True}
    """

    name: str
    ready: bool | None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


class PodPhase(StrEnum):
    """Where a pod is in its life. NONE: there is no pod. UNKNOWN: a state this version has no word for.

    >>> (await em.pods.status()).phase is PodPhase.NONE
    True
    """

    NONE = "none"
    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStatus:
    """One look at the pod. Times are aware datetimes, or None. `raw` is the state object as it came.

    >>> run = await em.pods.run("no-such-image")
    >>> status = await em.pods.status()
    >>> status.phase.value, status.reason, status.dead_end
    ('waiting', 'ImagePullBackOff', True)
    """

    phase: PodPhase
    reason: str | None = None
    message: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def dead_end(self) -> bool:
        """Whether the pod waits for something that will not come (ImagePullBackOff and its like)."""
        return self.phase is PodPhase.WAITING and self.reason in _DEAD_ENDS

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen: terminated, or a dead end."""
        return self.phase is PodPhase.TERMINATED or self.dead_end

    @property
    def succeeded(self) -> bool:
        """Terminated with exit code 0 (a server that gives no code must at least say Completed)."""
        if self.phase is not PodPhase.TERMINATED:
            return False
        return self.exit_code == 0 if self.exit_code is not None else self.reason == "Completed"


_RUN_SCHEMA: Final = 1
_GRACE_S: Final = 15 * 60.0
_LONGEST_S: Final = 1e12  # a run longer than that is bounded by that


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRun:
    """One run of a pod, as `Client.pods.run` returns it: what tells the run apart from the runs before it.

    `before` is the status that the EM showed just before the run was asked for; None when that look failed. The two
    moments of asking are on this machine's clocks: `asked_monotonic_s` for this process, `asked_at` for a later one.
    They bound a wait and are never compared with the times that the EM writes. A PodRun holds no secret (neither
    command nor environment) and becomes JSON and back by `as_dict` and `from_dict`.

    >>> run = await em.pods.run("echo", max_duration=2)
    >>> run.max_duration_s, PodRun.from_dict(run.as_dict()) == run
    (120.0, True)
    """

    image: str
    node: Node
    asked_at: datetime
    max_duration_s: float
    before: PodStatus | None = None
    pod_name: str | None = None
    scheduled_time: datetime | None = None
    asked_monotonic_s: float | None = field(default=None, compare=False)

    @property
    def description(self) -> str:
        """The run in a few words: ``the run of echo-test on FPGA, asked for at 2026-01-05T10:00:00+00:00``."""
        asked = self.asked_at.replace(microsecond=0).isoformat()
        scheduled = f" and scheduled for {self.scheduled_time.isoformat()}" if self.scheduled_time else ""
        return f"the run of {self.image} on {self.node}, asked for at {asked}{scheduled}"

    @property
    def starts_in_s(self) -> float:
        """Seconds from the asking to the scheduled time; 0 for a run that was to start at once."""
        if self.scheduled_time is None:
            return 0.0
        return max(0.0, (self.scheduled_time - self.asked_at).total_seconds())

    @property
    def bound_s(self) -> float:
        """Seconds from the asking until the run must have ended: to the scheduled time, `max_duration`, 15 minutes."""
        return min(self.starts_in_s + self.max_duration_s + _GRACE_S, _LONGEST_S)

    def age_s(self, *, monotonic_s: float, wall: datetime) -> float:
        """Seconds since the asking, by the monotonic clock where it is this process's; never negative."""
        if self.asked_monotonic_s is not None:
            return max(0.0, monotonic_s - self.asked_monotonic_s)
        return max(0.0, (wall - self.asked_at).total_seconds())

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON values, for another process. The monotonic clock is left out: it means nothing there."""
        return {
            "schema": _RUN_SCHEMA,
            "image": self.image,
            "node": str(self.node),
            "asked_at": self.asked_at.isoformat(),
            "max_duration_s": self.max_duration_s,
            "before": None if self.before is None else _status_as_dict(self.before),
            "pod_name": self.pod_name,
            "scheduled_time": _iso(self.scheduled_time),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PodRun:
        """The run that `as_dict` wrote. ValueError for values that are none, or of another schema."""
        try:
            if values["schema"] != _RUN_SCHEMA:
                raise ValueError(f"a pod run of schema {values['schema']!r}; this version reads {_RUN_SCHEMA}")
            asked_at, scheduled = _moment(values["asked_at"]), _moment(values["scheduled_time"])
            duration = float(values["max_duration_s"])
            if asked_at is None or not 0 < duration <= _LONGEST_S:
                raise ValueError("a pod run without the time when it was asked for, or without a duration")
            return cls(
                image=str(values["image"]),
                node=Node(values["node"]),
                asked_at=asked_at,
                max_duration_s=duration,
                before=None if values["before"] is None else _status_from_dict(values["before"]),
                pod_name=None if values["pod_name"] is None else str(values["pod_name"]),
                scheduled_time=scheduled,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a pod run: {error!r}") from None


def run_duration_s(minutes: int) -> float:
    """`max_duration` in seconds, however many minutes were asked for."""
    return float(min(60 * minutes, int(_LONGEST_S)))


def _status_as_dict(status: PodStatus) -> dict[str, Any]:
    return {
        "phase": str(status.phase),
        "reason": status.reason,
        "message": status.message,
        "started_at": _iso(status.started_at),
        "finished_at": _iso(status.finished_at),
        "exit_code": status.exit_code,
        "raw": dict(status.raw),
    }


def _status_from_dict(values: Mapping[str, Any]) -> PodStatus:
    return PodStatus(
        phase=PodPhase(values["phase"]),
        reason=values["reason"],
        message=values["message"],
        started_at=_moment(values["started_at"]),
        finished_at=_moment(values["finished_at"]),
        exit_code=values["exit_code"],
        raw=dict(values["raw"]),
    )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
