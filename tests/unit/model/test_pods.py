"""What a pod status means."""

from __future__ import annotations

import pytest

from emasync.model import PodPhase, PodStatus


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CrashLoopBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_a_pod_that_can_never_start_has_ended_without_success(reason: str) -> None:
    status = PodStatus(phase=PodPhase.WAITING, reason=reason)
    assert (status.dead_end, status.ended, status.succeeded) == (True, True, False)


@pytest.mark.parametrize("reason", ["ContainerCreating", "ErrImagePull", "PodInitializing", None])
def test_a_pod_that_may_still_start_has_not_ended(reason: str | None) -> None:
    assert not PodStatus(phase=PodPhase.WAITING, reason=reason).ended


def test_a_dead_end_s_reason_means_nothing_in_another_phase() -> None:
    assert not PodStatus(phase=PodPhase.RUNNING, reason="CrashLoopBackOff").ended


@pytest.mark.parametrize(
    ("code", "reason", "succeeded"),
    [
        (0, "Completed", True),
        (0, None, True),
        (1, "Completed", False),
        (137, "DeadlineExceeded", False),
        (None, "Completed", True),
        (None, "Error", False),
        (None, None, False),
    ],
)
def test_success_is_exit_code_0_or_completed_where_there_is_no_code(
    code: int | None, reason: str | None, succeeded: bool
) -> None:
    status = PodStatus(phase=PodPhase.TERMINATED, reason=reason, exit_code=code)
    assert (status.ended, status.succeeded) == (True, succeeded)


@pytest.mark.parametrize("phase", [PodPhase.NONE, PodPhase.RUNNING, PodPhase.UNKNOWN])
def test_nothing_else_is_an_end(phase: PodPhase) -> None:
    status = PodStatus(phase=phase, exit_code=0)
    assert (status.ended, status.succeeded) == (False, False)
