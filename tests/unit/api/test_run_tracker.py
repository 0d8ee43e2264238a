"""Which run a status belongs to: the decision for each look, with no event loop and no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from emasync.api.run_tracker import Belongs, RunEvidence, RunTracker, Step, belongs_after
from emasync.model import Node, PodPhase, PodRun, PodStatus

ASKED = datetime(2026, 1, 5, 10, tzinfo=UTC)
T1, T2 = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)  # the EM's clock is years behind ours

NONE = PodStatus(phase=PodPhase.NONE)
STRANGE = PodStatus(phase=PodPhase.UNKNOWN)


def waiting(reason: str = "ContainerCreating", message: str | None = None) -> PodStatus:
    return PodStatus(phase=PodPhase.WAITING, reason=reason, message=message)


def running(at: datetime | None = None) -> PodStatus:
    return PodStatus(phase=PodPhase.RUNNING, started_at=at)


def ended(at: datetime | None = None, *, code: int = 0, reason: str | None = None) -> PodStatus:
    said = reason or ("Error" if code else "Completed")
    return PodStatus(phase=PodPhase.TERMINATED, exit_code=code, reason=said, started_at=at)


def a_run(before: PodStatus | None, **more: Any) -> PodRun:
    return PodRun(image="echo", node=Node.FPGA, asked_at=ASKED, max_duration_s=60.0, before=before, **more)


def steps(
    run: PodRun | None, *looks: PodStatus, every_s: float = 2.0, evidence: RunEvidence | None = None
) -> list[Step]:
    tracker = RunTracker(run, evidence=evidence or RunEvidence(), now_s=0.0)
    return [tracker.observe(status, now_s=every_s * number) for number, status in enumerate(looks)]


HOLD, SHOW, END, UNKNOWN = Step.HOLD, Step.SHOW, Step.END, Step.UNKNOWN


@pytest.mark.parametrize("code", [0, 143])
def test_the_end_of_the_pod_that_was_replaced_is_never_the_new_one_s(code: int) -> None:
    # Sabotage: return Belongs.THIS for an equal `started_at` in RunTracker._belongs.
    old = ended(T1, code=code)
    looks = [running(T1), old, old, waiting(), running(T2), old, ended(T2)]
    assert steps(a_run(running(T1)), *looks) == [HOLD, HOLD, HOLD, SHOW, SHOW, HOLD, END]


def test_the_same_end_as_before_the_run_ends_nothing_until_something_else_was_seen() -> None:
    # Sabotage: return Belongs.THIS for `status == before` in belongs_after.
    assert steps(a_run(ended()), ended(), ended()) == [HOLD, HOLD]
    for between in (waiting(), running(), waiting("ErrImagePull")):
        assert steps(a_run(ended()), ended(), between, ended()) == [HOLD, SHOW, END]
    assert steps(a_run(ended()), NONE, ended()) == [HOLD, END]


def test_an_end_with_another_start_is_the_new_run_s_however_short_it_was() -> None:
    assert steps(a_run(ended(T1)), ended(T1), ended(T2)) == [HOLD, END]
    assert steps(a_run(ended(T2)), ended(T1)) == [END]  # an EM whose clock was set back


@pytest.mark.parametrize(
    ("before", "status", "belongs"),
    [
        (None, waiting(), Belongs.THIS),
        (None, running(T1), Belongs.LIKELY),
        (None, ended(T1), Belongs.EITHER),
        (None, waiting("ImagePullBackOff"), Belongs.EITHER),
        (NONE, ended(), Belongs.THIS),
        (ended(), ended(code=3), Belongs.THIS),
        (ended(T1), ended(T2), Belongs.THIS),
        (ended(), waiting("CrashLoopBackOff"), Belongs.EITHER),
        (running(T1), running(T2), Belongs.THIS),
        (running(T1), ended(), Belongs.EITHER),
        (running(), ended(T2), Belongs.EITHER),
        (running(), ended(code=143), Belongs.EITHER),
        (running(), running(T1), Belongs.EITHER),
        (running(), waiting(), Belongs.THIS),
        (running(), STRANGE, Belongs.EITHER),
        (waiting(), waiting(), Belongs.EITHER),
        (waiting(), waiting("PodInitializing"), Belongs.LIKELY),
        (waiting(), waiting("ImagePullBackOff"), Belongs.EITHER),
        (waiting(), running(T1), Belongs.LIKELY),
        (waiting(), ended(T1), Belongs.THIS),
        (waiting(), ended(T1, code=143), Belongs.EITHER),
        (waiting(), ended(T1, code=137), Belongs.EITHER),
        (waiting(), ended(T1, code=137, reason="DeadlineExceeded"), Belongs.THIS),
        (STRANGE, ended(T1, code=143), Belongs.EITHER),
        (waiting("ImagePullBackOff"), waiting("ErrImagePull"), Belongs.EITHER),
        (waiting("ImagePullBackOff", "one"), waiting("ImagePullBackOff", "other"), Belongs.THIS),
        (waiting("ImagePullBackOff"), running(), Belongs.THIS),
        (waiting("CrashLoopBackOff"), running(T2), Belongs.LIKELY),
    ],
)
def test_what_the_earlier_pod_may_have_come_to_by_itself_proves_nothing(
    before: PodStatus | None, status: PodStatus, belongs: Belongs
) -> None:
    # Sabotage: return Belongs.THIS at the start of belongs_after.
    assert belongs_after(before, status) is belongs


def test_a_likely_status_is_shown_and_the_stopped_end_after_it_is_not() -> None:
    looks = [waiting(), running(T1), ended(T1, code=143), waiting(), ended(T2)]
    assert steps(a_run(waiting()), *looks) == [HOLD, SHOW, HOLD, SHOW, END]


def test_a_run_that_was_asked_for_blindly_ends_when_something_tells_it_apart() -> None:
    assert steps(a_run(None), ended(T1), waiting(), ended(T2)) == [HOLD, SHOW, END]
    assert steps(a_run(None), waiting(), running(T1), ended(T1)) == [SHOW, SHOW, END]


def test_what_cannot_be_told_apart_is_bounded_by_duration_and_grace() -> None:
    # Sabotage: leave the comparison with `_bound_s` out of _observe_doubtful, or of _observe_none.
    for status in (ended(), ended(T1), NONE):
        found = steps(a_run(ended(T1) if status.started_at else ended()), *[status] * 33, every_s=30.0)
        assert found.index(UNKNOWN) == (60 + 900) / 30


def test_a_scheduled_time_moves_every_bound() -> None:
    # Sabotage: leave `starts_in_s` out of PodRun.bound_s, or `_starts_s` out of _observe_doubtful.
    later = {"scheduled_time": ASKED + timedelta(hours=2)}
    found = steps(a_run(ended(), **later), *[ended()] * 300, every_s=60.0)
    assert found.index(UNKNOWN) == 120 + 1 + 15
    back_off = waiting("ImagePullBackOff")
    found = steps(a_run(back_off, **later), *[back_off] * 300, every_s=60.0)
    assert found.index(END) == 121


def test_a_dead_end_that_may_be_the_earlier_run_s_ends_after_a_minute_in_doubt() -> None:
    # Sabotage: return Step.END at once for a dead end in _observe_doubtful.
    back_off, pull = waiting("ImagePullBackOff"), waiting("ErrImagePull")
    tracker = RunTracker(a_run(back_off), evidence=RunEvidence(), now_s=0.0)
    looks = [back_off, pull, back_off, back_off]
    assert [tracker.observe(one, now_s=20.0 * n) for n, one in enumerate(looks)] == [HOLD, HOLD, HOLD, END]
    assert tracker.doubtful
    assert "which may be an earlier run's" in tracker.last_seen


def test_a_dead_end_after_anything_else_is_the_new_run_s_at_once() -> None:
    back_off = waiting("ImagePullBackOff")
    for between in (waiting(), NONE):
        tracker = RunTracker(a_run(back_off), evidence=RunEvidence(), now_s=0.0)
        found = [tracker.observe(one, now_s=2.0) for one in (back_off, between, back_off)]
        assert found[-1] is END
        assert not tracker.doubtful


@pytest.mark.parametrize("run", [None, a_run(NONE)])
def test_a_pod_has_vanished_after_three_looks_over_a_minute(run: PodRun | None) -> None:
    # Sabotage: drop `absent_s >= GRACE_S`, or `_absent_polls >= _MIN_ABSENT_POLLS`, in _observe_none.
    seen = running(T1)
    assert steps(run, seen, NONE, NONE, NONE, NONE, every_s=20.0) == [SHOW] * 4 + [Step.VANISHED]
    assert steps(run, seen, NONE, NONE, NONE, every_s=70.0) == [SHOW] * 3 + [Step.VANISHED]


def test_a_pod_that_is_shown_again_has_not_vanished() -> None:
    # Sabotage: forget `_absent_since_s = None` in observe.
    looks = [running(T1), NONE, NONE, running(T1), NONE, NONE, ended(T1)]
    assert steps(a_run(NONE), *looks, every_s=25.0) == [SHOW] * 6 + [END]


def test_no_pod_between_two_pods_is_no_vanished_pod() -> None:
    # Sabotage: set `seen` for the earlier run's statuses too, at the start of observe.
    assert steps(a_run(running(T1)), running(T1), *[NONE] * 10, waiting(), every_s=20.0) == [HOLD] * 11 + [SHOW]


def test_another_start_than_the_run_s_own_is_a_later_run() -> None:
    assert steps(a_run(NONE), running(T1), running(T2)) == [SHOW, Step.REPLACED]
    assert steps(None, running(T1), running(T2)) == [SHOW, SHOW]  # without a run: whatever is shown


def test_once_a_later_run_was_asked_for_only_a_status_with_the_run_s_own_start_counts() -> None:
    # Sabotage: drop the test of `replaced` in RunTracker.observe.
    evidence = RunEvidence(told_apart=True, seen=True, started_at=T1, replaced=True)
    assert steps(a_run(NONE), ended(T1, code=143), evidence=evidence) == [END]
    assert steps(a_run(NONE), waiting(), evidence=evidence) == [Step.REPLACED]


def test_what_one_watch_found_out_the_next_one_knows() -> None:
    evidence = RunEvidence()
    assert steps(a_run(ended()), running(), evidence=evidence) == [SHOW]
    assert steps(a_run(ended()), ended(), evidence=evidence) == [END]
    assert evidence.end == ended()


def test_a_later_process_counts_the_time_since_the_run_was_asked_for() -> None:
    tracker = RunTracker(a_run(ended()), evidence=RunEvidence(), now_s=5.0, age_s=86_400.0)
    assert tracker.observe(ended(), now_s=5.0) is UNKNOWN
