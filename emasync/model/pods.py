"""Images, pods and nodes as values: what a pod status means, and how runs of a pod are distinguished.

The states are Kubernetes container states, as ``em/pod/status`` passes them on. Must not import anything of emasync:
errors carry a `PodStatus`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

# Waiting reasons that Kubernetes does not leave by itself without a new image, name or configuration.
# ErrImagePull is not among them: it follows the first attempt, and turns into ImagePullBackOff later.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A Docker image that the user may run. `name` is as the server lists it, the user's prefix included.

    `raw` is the list element as it came; the EM does not document its shape, a plain string becomes ``{"name": ...}``.

    >>> [image.name for image in await em.images.list()]
    ['client1-echo']
    """

    name: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


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
    """The phase of a pod's life. NONE: there is no pod. UNKNOWN: a state that this version does not know.

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
    """The status of the pod at one moment. Times are aware datetimes, or None. `raw` is the state object as it came.

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
        """Whether the pod waits for something that will not happen (ImagePullBackOff and the like)."""
        return self.phase is PodPhase.WAITING and self.reason in _DEAD_ENDS

    @property
    def ended(self) -> bool:
        """Whether the pod has terminated or can never start."""
        return self.phase is PodPhase.TERMINATED or self.dead_end

    @property
    def succeeded(self) -> bool:
        """Whether the pod terminated with exit code 0 (or, if the server gives no code, with the reason Completed)."""
        if self.phase is not PodPhase.TERMINATED:
            return False
        return self.exit_code == 0 if self.exit_code is not None else self.reason == "Completed"


_RUN_SCHEMA: Final = 1
_GRACE_S: Final = 15 * 60.0
_MAX_DURATION_S: Final = 1e12  # any longer duration is cut to it


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRun:
    """One run of a pod, as `Client.pods.run` returns it: what distinguishes the run from the runs before it.

    `before` is the status that the EM showed just before the run was requested; None if that could not be read. The
    time of the request is on this machine's clocks: `asked_monotonic_s` for this process, `asked_at` for a later one.
    They bound a wait and are never compared with times that the EM writes. A PodRun holds no secret (neither command
    nor environment) and is converted to JSON values and back by `as_dict` and `from_dict`.

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
        """Seconds from the request to the scheduled time; 0 for a run that starts at once."""
        if self.scheduled_time is None:
            return 0.0
        return max(0.0, (self.scheduled_time - self.asked_at).total_seconds())

    @property
    def bound_s(self) -> float:
        """Seconds from the request until the run must have ended: the scheduled time, `max_duration` and 15 minutes."""
        return min(self.starts_in_s + self.max_duration_s + _GRACE_S, _MAX_DURATION_S)

    def age_s(self, *, monotonic_s: float, wall: datetime) -> float:
        """Seconds since the request, by the monotonic clock if this process made it; never negative."""
        if self.asked_monotonic_s is not None:
            return max(0.0, monotonic_s - self.asked_monotonic_s)
        return max(0.0, (wall - self.asked_at).total_seconds())

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON values, for another process; without the monotonic time, which has no meaning there."""
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
        """The run that `as_dict` wrote. ValueError for anything else, or another schema."""
        try:
            if values["schema"] != _RUN_SCHEMA:
                raise ValueError(f"a pod run of schema {values['schema']!r}; this version reads {_RUN_SCHEMA}")
            asked_at, scheduled = _moment(values["asked_at"]), _moment(values["scheduled_time"])
            duration = float(values["max_duration_s"])
            if asked_at is None or not 0 < duration <= _MAX_DURATION_S:
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
    """`max_duration` in seconds, bounded for very large numbers of minutes."""
    return float(min(60 * minutes, int(_MAX_DURATION_S)))


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
