"""Pods and nodes: what runs, and on what.

Owns: what a pod status means (has it ended, did it succeed, can it ever start). Imports nothing of emasync.
The states are Kubernetes container states, as ``GET em/pod/status`` passes them on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

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
    """The processor of the EM on which a pod runs."""

    FPGA = "FPGA"
    GPU = "GPU"
    MPU = "MPU"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One node of ``em/nodes/status``. `ready` is None when the server says neither True nor False."""

    name: str
    ready: bool | None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


class PodPhase(StrEnum):
    """Where a pod is in its life. NONE: there is no pod. UNKNOWN: a state this version has no word for."""

    NONE = "none"
    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStatus:
    """One look at the pod. Times are aware datetimes, or None. `raw` is the state object as it came."""

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
