"""What the width learns, one rule a test; no queue, no loop."""

from __future__ import annotations

import pytest

from emasync.http.limiter.aimd import AdaptiveLimit, LimitChangeReason, LimiterConfig, LimiterState


def learned(width: int, known_limit: int | None, **config: float) -> AdaptiveLimit:
    state = LimiterState(width=width, known_limit=known_limit, learned_at=0.0)
    return AdaptiveLimit(LimiterConfig(**config), now=0.0, state=state)  # type: ignore[arg-type]


def succeed(width: AdaptiveLimit, times: int) -> None:
    for _ in range(times):
        width.on_success(in_flight=width.width)


def test_at_the_start_every_success_adds_one() -> None:
    width = AdaptiveLimit(LimiterConfig(start=4), now=0.0)
    succeed(width, 4)
    assert width.width == 8
    assert {change.reason for change in width.changes} == {LimitChangeReason.OPENING}


def test_a_width_that_is_not_used_does_not_grow() -> None:
    # Sabotage: drop the `in_flight < self.width` return.
    width = AdaptiveLimit(LimiterConfig(start=4), now=0.0)
    for _ in range(100):
        width.on_success(in_flight=3)
    assert width.width == 4


@pytest.mark.parametrize(("in_flight", "after"), [(16, 8), (9, 4), (5, 2), (4, 2), (3, 1), (2, 1)])
def test_a_refusal_beside_other_calls_halves_what_was_refused(in_flight: int, after: int) -> None:
    width = learned(16, None)
    width.on_busy(in_flight=in_flight, now=1.0)
    assert width.width == after
    assert width.known_limit == in_flight
    assert width.changes[-1].reason is LimitChangeReason.REFUSED


def test_a_strict_lock_is_learned_from_one_burst() -> None:
    # Sabotage: let a burst narrow only once.
    width = learned(16, None)
    for in_flight in range(16, 1, -1):
        width.on_busy(in_flight=in_flight, now=1.0)
    width.on_success(in_flight=1)
    assert (width.width, width.known_limit) == (1, 2)


def test_a_burst_in_which_nothing_was_taken_is_another_user_and_halves_once() -> None:
    # Sabotage: in `on_busy`, return before the lesson from before the burst is restored.
    width = learned(16, None)
    for in_flight in range(16, 0, -1):
        width.on_busy(in_flight=in_flight, now=1.0)
    for _ in range(5):  # probes into the same lock
        width.on_busy(in_flight=1, now=9.0)
    assert (width.width, width.known_limit) == (8, None)
    assert width.changes[-1].reason is LimitChangeReason.LOCKED


def test_a_new_refusal_after_a_cheap_probe_was_taken_narrows_further() -> None:
    # Sabotage: empty `lifted`. A status call that is exempt from the lock must not let 8 bodies into it every time.
    width = learned(16, None)
    seen = []
    for _ in range(6):
        for in_flight in range(width.width, 0, -1):
            width.on_busy(in_flight=in_flight, now=1.0)
        width.on_probe_success()
        seen.append(width.width)
    assert seen == [8, 4, 2, 1, 1, 1]


def test_below_a_refused_width_a_round_of_successes_widens_by_one() -> None:
    width = learned(2, 8)
    succeed(width, 2)
    assert width.width == 3
    succeed(width, 2)
    assert width.width == 3
    succeed(width, 1)
    assert width.width == 4
    assert {change.reason for change in width.changes} == {LimitChangeReason.SUCCESS}


def test_a_refused_width_is_tried_again_with_doubling_patience() -> None:
    # Sabotage: return `known` from `_learn` always (patience never grows).
    width = learned(1, 2, patience=10)
    waits = []
    for _ in range(4):
        successes = 0
        while width.width == 1:
            succeed(width, 1)
            successes += 1
        waits.append(successes)
        width.on_busy(in_flight=2, now=1.0)
        assert width.width == 1
    assert waits == [10, 20, 40, 80]


def test_patience_is_also_timed_so_that_one_long_call_does_not_hold_the_limit_down() -> None:
    # Sabotage: `due_at` returns None once the opening is over.
    width = learned(1, 2, patience_s=60.0)
    dues = []
    now = 0.0
    for _ in range(3):
        due = width.due_at(full_since=0.0)
        assert due is not None
        dues.append(due - now)
        now = due
        width.widen_by_time()
        assert width.due_at(full_since=0.0) is None, "one trial at a time"
        width.on_busy(in_flight=2, now=now)  # all within one call of ours that still runs: no success between
    assert dues == [60.0, 120.0, 240.0]


def test_a_trial_that_holds_makes_the_limiter_forget_the_refusal() -> None:
    width = learned(1, 2, patience=1, confirm=8)
    seen = []
    for successes in (1, 7, 1, 2):
        succeed(width, successes)
        seen.append((width.width, width.known_limit))
    assert seen == [(2, 2), (2, 2), (2, None), (3, None)]


def test_time_alone_doubles_only_up_to_its_limit() -> None:
    width = AdaptiveLimit(LimiterConfig(start=4, ramp_to=16, ramp_s=0.02), now=0.0)
    while (due := width.due_at(full_since=1.0)) is not None:
        assert due == pytest.approx(1.02)
        width.widen_by_time()
    assert width.width == 16


def test_the_width_never_leaves_its_bounds() -> None:
    width = AdaptiveLimit(LimiterConfig(start=4, widest=6), now=0.0)
    succeed(width, 50)
    assert width.width == 6
    for _ in range(10):
        width.on_busy(in_flight=2, now=1.0)
    assert width.width == 1


def test_a_remembered_width_beyond_the_policy_is_cut() -> None:
    assert (
        AdaptiveLimit(
            LimiterConfig(widest=8), now=0.0, state=LimiterState(width=64, known_limit=None, learned_at=0)
        ).width
        == 8
    )


@pytest.mark.parametrize("wrong", [{"start": 0}, {"widest": 0}])
def test_a_limit_of_nothing_is_misuse(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LimiterConfig(**wrong)
