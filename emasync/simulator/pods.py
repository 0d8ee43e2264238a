"""A pod as a state machine (waiting, running, terminated), and what ``em/pod/status`` shows of it.

Pure: the time is passed in; `pod_runner` calls `begin` and `finish`. Must not import anything of tasks or HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emasync.simulator.clock import Clock

DEADLINE_EXIT = 137  # killed, as Kubernetes reports a pod that outlived its deadline
STOPPED_EXIT = 143  # SIGTERM: stopped because another pod takes its place


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """The fields of a run. `image` is the full name, `known` whether the user has it; `scheduled_at` in seconds since
    the epoch, `max_duration` in minutes."""

    image: str
    known: bool
    node: str
    max_duration: int
    command: str | None = None
    scheduled_at: float | None = None
    args: tuple[str, ...] = ()
    envs: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodContext:
    """The argument of a `Behaviour`, which may write below `volume` (a real pod sees it at ``/data``) and sleeps on
    `clock`. The behaviour is cancelled when the pod is replaced, after `max_duration` (minutes), and when the simulator
    ends."""

    volume: Path
    image: str
    node: str
    command: str | None
    args: tuple[str, ...]
    envs: Mapping[str, str]
    max_duration: int
    clock: Clock


Behaviour = Callable[[PodContext], Coroutine[Any, Any, int | None]]
"""What a pod does; returns its exit code (None is 0). An exception is exit code 1, reason Error."""


@dataclass(slots=True, kw_only=True)
class Pod:
    """One pod: waiting until `begin`, running until `finish`."""

    spec: PodSpec
    not_before: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""

    def begin(self, *, now: float) -> None:
        """The container starts. Its start is shown in whole seconds, never in the same one as the previous pod's."""
        self.started_at = max(now, self.not_before)

    def finish(self, exit_code: int, *, now: float, reason: str = "", message: str = "") -> None:
        """The container ended; the reason is Completed or Error when none is given."""
        self.finished_at = max(now, self.started_at or now)
        self.exit_code = exit_code
        self.reason = reason or ("Error" if exit_code else "Completed")
        self.message = message

    def replace(self, *, now: float) -> float:
        """Another pod takes this one's place: stop it if it runs. Returns the earliest start of the other pod."""
        if self.started_at is not None and self.finished_at is None:
            self.finish(STOPPED_EXIT, now=now)
        return self.not_before if self.started_at is None else math.floor(self.started_at) + 1.0

    def state(self, *, now: float, times: bool = True) -> dict[str, Any]:
        """The Kubernetes container state; without `times` it lacks startedAt and finishedAt."""
        state = self._state(now)
        if not times:
            for facts in state.values():
                facts.pop("startedAt", None)
                facts.pop("finishedAt", None)
        return state

    def _state(self, now: float) -> dict[str, Any]:
        if self.finished_at is not None and self.started_at is not None:
            ended: dict[str, Any] = {"exitCode": self.exit_code, "reason": self.reason}
            ended |= {"startedAt": moment(self.started_at), "finishedAt": moment(self.finished_at)}
            return {"terminated": ended | ({"message": self.message} if self.message else {})}
        if self.started_at is not None:
            return {"running": {"startedAt": moment(self.started_at)}}
        scheduled = self.spec.scheduled_at
        if scheduled is not None and now < scheduled:
            return _waiting("ContainerCreating", f"scheduled for {moment(scheduled)}")
        if not self.spec.known:
            return _waiting("ImagePullBackOff", f'Back-off pulling image "{self.spec.image}"')
        return _waiting("ContainerCreating", "")


def _waiting(reason: str, message: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def moment(seconds: float) -> str:
    """A time as Kubernetes writes it: ``2025-11-20T12:31:12Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
