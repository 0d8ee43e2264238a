"""What a pod status means."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from emasync.model import Node, PodPhase, PodRun, PodStatus
from emasync.model.pods import run_duration_s


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


ASKED = datetime(2026, 1, 5, 10, tzinfo=UTC)
BEFORE = PodStatus(
    phase=PodPhase.TERMINATED, reason="Error", exit_code=3, started_at=ASKED, raw={"terminated": {"containerID": "a"}}
)
RUN = PodRun(
    image="echo",
    node=Node.GPU,
    asked_at=ASKED,
    asked_monotonic_s=7.0,
    max_duration_s=120.0,
    before=BEFORE,
    pod_name="pod-a",
    scheduled_time=ASKED.astimezone(timezone(timedelta(hours=2))) + timedelta(hours=1),
)


@pytest.mark.parametrize("run", [RUN, replace(RUN, before=None, pod_name=None, scheduled_time=None)])
def test_a_run_survives_json_but_for_the_clock_of_its_process(run: PodRun) -> None:
    # Sabotage: leave `raw` out of _status_as_dict.
    found = PodRun.from_dict(json.loads(json.dumps(run.as_dict())))
    assert found == run
    assert (found.before, found.asked_monotonic_s) == (run.before, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema": 2},
        {"asked_at": None},
        {"asked_at": "soon"},
        {"max_duration_s": 0},
        {"max_duration_s": float("nan")},
        {"node": "TPU"},
        {"before": "none"},
        {"before": {"phase": "none"}},
    ],
)
def test_what_is_no_run_is_a_value_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        PodRun.from_dict(RUN.as_dict() | wrong)
    with pytest.raises(ValueError, match="not a pod run"):
        PodRun.from_dict({})


def test_a_run_s_bound_is_its_scheduled_time_its_duration_and_a_quarter_of_an_hour() -> None:
    assert RUN.bound_s == 3600 + 120 + 900
    assert replace(RUN, scheduled_time=ASKED - timedelta(days=1)).bound_s == 120 + 900
    assert replace(RUN, max_duration_s=run_duration_s(10**400)).bound_s == run_duration_s(10**400)


def test_a_run_s_age_is_by_the_monotonic_clock_in_its_process_and_never_negative() -> None:
    # Sabotage: count by the wall clock only in PodRun.age_s.
    tomorrow = ASKED + timedelta(days=1)
    assert RUN.age_s(monotonic_s=17.0, wall=tomorrow) == 10.0
    later = PodRun.from_dict(RUN.as_dict())
    assert later.age_s(monotonic_s=17.0, wall=tomorrow) == 86_400.0
    assert later.age_s(monotonic_s=17.0, wall=ASKED - timedelta(days=1)) == 0.0


def test_a_run_says_what_it_is() -> None:
    said = "the run of echo on GPU, asked for at 2026-01-05T10:00:00+00:00 and scheduled for 2026-01-05T13:00:00+02:00"
    assert RUN.description == said
