"""The limiter's decisions in virtual time: whole runs against model servers, and one rule a test. No loop, no sleep."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise

import pytest

from emasync.http.limiter.aimd import LimitChanged, LimiterConfig, LimiterState
from emasync.http.limiter.scheduler import LimiterScheduler, LimiterWaiting, Priority, Ticket
from tests.unit.http.limiter.limiter_world import Server, Trace, VirtualRun


def scheduler_of(
    *, rand: Callable[[], float] | None = None, state: LimiterState | None = None, **config: float
) -> LimiterScheduler:
    made = LimiterConfig(**config)  # type: ignore[arg-type]
    return LimiterScheduler(made, now=0.0, rand=rand or random.Random(5).random, state=state)


def narrow() -> LimiterState:
    return LimiterState(width=1, known_limit=2, learned_at=0.0)


def run_on(server: Server, *, calls: int, workers: int = 16, probes: bool = True) -> Trace:
    return VirtualRun(scheduler_of(), server, calls=calls, workers=workers, probes=probes).run()


def ask(
    scheduler: LimiterScheduler,
    ticket_id: int,
    priority: Priority = Priority.BULK,
    *,
    now: float,
    budget_s: float = 1e9,
) -> None:
    scheduler.request(Ticket(id=ticket_id, priority=priority, busy_budget_s=budget_s), now)


def granted(scheduler: LimiterScheduler, now: float) -> list[int]:
    return [grant.id for grant in scheduler.decide(now).grants]


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latency_s", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("workers", [2, 16, 64])
def test_a_strictly_exclusive_server_runs_at_serial_speed_with_few_refusals(latency_s: float, workers: int) -> None:
    # Sabotage: `return known` at the top of `AdaptiveLimit._learn`, or grant the next only after a delay.
    told = run_on(Server(capacity=1, hold_s=0.05, latency_s=latency_s), calls=200, workers=workers)
    assert sorted(told.finished) == list(range(200))
    assert told.refused_after(20) <= 0.05 * (len(told.requests) - 20)
    assert told.seconds <= 1.05 * 200 * (0.05 + latency_s)


def test_a_strict_lock_with_ten_minute_calls_still_sees_few_refusals() -> None:
    # Sabotage: do not double `patience_s`.
    told = run_on(Server(capacity=1, hold_s=600.0, latency_s=0.6), calls=100)
    assert told.refused_after(20) <= 0.05 * (len(told.requests) - 20) + 1
    assert told.seconds <= 1.05 * 100 * 600.6


@pytest.mark.parametrize("calls", [64, 200, 400])
def test_an_open_server_is_filled_at_once(calls: int) -> None:
    # Sabotage: `due_at` returns None in the opening (64 calls then take six rounds, not four and a bit).
    told = run_on(Server(latency_s=0.1), calls=calls)
    ideal_s = -(-calls // 16) * 0.1
    assert told.seconds <= 1.101 * ideal_s
    assert calls * 0.1 >= 12 * told.seconds, "16 workers are to be at least 12 x faster than one"
    assert told.widest == 16


@pytest.mark.parametrize("capacity", [2, 3, 5, 8])
def test_a_server_that_bears_a_few_is_used_to_nine_tenths(capacity: int) -> None:
    # Sabotage: never widen after a refusal (drop the last branch of `AdaptiveLimit.on_success`).
    told = run_on(Server(capacity=capacity, hold_s=0.05, latency_s=0.01), calls=400)
    assert told.seconds <= 400 / capacity * 0.06 / 0.9
    assert told.refused_after(20) <= 0.05 * (len(told.requests) - 20)


@pytest.mark.parametrize("seed", range(10))
def test_a_lock_of_another_user_sees_at_most_8_probes_in_any_5_s(seed: int) -> None:
    # Sabotage: drop `self._backoff_level += 1` (or the jitter's fixed half).
    server = Server(latency_s=0.01, hold_s=0.05, locked=((0.0, 60.0),))
    world = VirtualRun(scheduler_of(rand=random.Random(seed).random), server, calls=100, workers=16, probes=True)
    told = world.run()
    probes = [time for time, taken in told.requests if not taken][4:]  # the first four found the lock
    assert max(bisect_left(probes, time + 5.0) - at for at, time in enumerate(probes)) <= 8
    assert len(told.finished) == 100
    assert told.seconds <= 60.0 + 5.0 + 3.0
    assert world.scheduler.busy_s(world.now) == pytest.approx(60.0, abs=6.0)


def test_a_passing_lock_of_another_user_does_not_leave_an_open_limiter_at_one() -> None:
    server = Server(latency_s=0.1, hold_s=0.05, locked=((1.0, 1.5),))
    world = VirtualRun(scheduler_of(), server, calls=400, workers=16, probes=True)
    world.run()
    assert world.scheduler.width > 8
    assert world.scheduler.known_limit is None


def test_one_run_remembered_spares_the_next_one_its_refusals() -> None:
    scheduler = scheduler_of(state=LimiterState(width=1, known_limit=2, learned_at=0.0))
    told = VirtualRun(scheduler, Server(capacity=1, hold_s=0.05), calls=30, workers=16).run()
    assert told.refused_after(0) == 0


def test_every_change_of_width_is_told_and_they_connect() -> None:
    told = run_on(Server(capacity=3, hold_s=0.05, latency_s=0.01), calls=300)
    changes = [event for event in told.events if isinstance(event, LimitChanged)]
    assert changes[0].width_before == 4
    assert all(a.width_after == b.width_before for a, b in pairwise(changes))
    assert all(change.width_before != change.width_after for change in changes)


def test_a_bulk_call_that_waits_is_overtaken_by_small_ones_but_not_for_ever() -> None:
    # Sabotage: drop the `_small_run` condition in `_choose`.
    scheduler = scheduler_of(state=narrow(), small_run=8)
    ask(scheduler, 0, now=0.0)
    assert granted(scheduler, 0.0) == [0]
    ask(scheduler, 1, now=0.0)
    order: list[int] = []
    for number in range(2, 40):
        ask(scheduler, number, Priority.SMALL, now=0.0)
    for step in range(39):
        running = order[-1] if order else 0
        scheduler.on_success(running, float(step) / 1e3)
        scheduler.release(running, float(step) / 1e3)
        order += granted(scheduler, float(step) / 1e3)
    assert order[:8] == list(range(2, 10)), "small calls go first, in their order"
    assert order.index(1) == 8, "the ninth place is the bulk call's"
    assert len(order) == 39


# -- the park ---------------------------------------------------------------------------------------------------------


def in_backoff(**config: float) -> LimiterScheduler:
    """One bulk call was refused at 0 with nothing else running; the next probe is due at 0.2 s at the latest."""
    scheduler = scheduler_of(state=narrow(), rand=lambda: 1.0, **config)
    ask(scheduler, 0, now=0.0)
    assert granted(scheduler, 0.0) == [0]
    scheduler.on_busy(0, 0.0)
    return scheduler


def test_a_refusal_with_nothing_else_running_parks_everybody_until_one_probe() -> None:
    # Sabotage: in `_grant_probe` drop the check for a probe under way.
    scheduler = in_backoff()
    ask(scheduler, 1, now=0.0)
    ask(scheduler, 2, now=0.0)
    decision = scheduler.decide(0.0)
    assert decision.grants == ()
    assert decision.wake_at == pytest.approx(0.2)
    assert [event for event in decision.events if isinstance(event, LimiterWaiting)] == [
        LimiterWaiting(since=0.0, next_probe_at=0.2)
    ]
    assert granted(scheduler, 0.19) == []
    (probe,) = scheduler.decide(0.21).grants
    assert (probe.id, probe.probe_first) == (1, True)
    assert probe.waited_s == pytest.approx(0.21)
    assert granted(scheduler, 5.0) == []


def test_a_small_call_is_the_probe_where_one_waits() -> None:
    scheduler = in_backoff()
    ask(scheduler, 1, now=0.0)
    ask(scheduler, 2, Priority.SMALL, now=0.0)
    (probe,) = scheduler.decide(1.0).grants
    assert (probe.id, probe.probe_first) == (2, False)


def test_a_probe_that_is_taken_lets_the_next_ones_go() -> None:
    scheduler = in_backoff()
    ask(scheduler, 1, Priority.SMALL, now=0.0)
    ask(scheduler, 2, now=0.0)
    assert granted(scheduler, 1.0) == [1]
    scheduler.on_success(1, 1.1)
    scheduler.release(1, 1.1)
    assert granted(scheduler, 1.1) == [2]


def test_the_backoff_doubles_to_its_cap_and_starts_again_after_a_success() -> None:
    scheduler = in_backoff()
    delays, now = [], 0.0
    for ticket in range(1, 9):
        ask(scheduler, ticket, now=now)
        wake_at = scheduler.decide(now).wake_at
        assert wake_at is not None
        delays.append(round(wake_at - now, 6))
        now = wake_at
        assert granted(scheduler, now) == [ticket]
        scheduler.on_busy(ticket, now)
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    ask(scheduler, 9, now=now)
    assert granted(scheduler, now + 5.0) == [9]
    scheduler.on_success(9, now + 5.0)
    scheduler.release(9, now + 5.0)
    ask(scheduler, 10, now=now + 6.0)
    assert granted(scheduler, now + 6.0) == [10]
    scheduler.on_busy(10, now + 6.0)
    ask(scheduler, 11, now=now + 6.0)
    assert scheduler.decide(now + 6.0).wake_at == pytest.approx(now + 6.2)


def test_a_cheap_probe_that_is_taken_does_not_reset_the_backoff() -> None:
    # Sabotage: set `_backoff_level` to 0 in `on_probe_success`: an exempt status call would probe for ever.
    scheduler = in_backoff()
    now, delays = 0.0, []
    for ticket in range(1, 5):
        ask(scheduler, ticket, now=now)
        wake_at = scheduler.decide(now).wake_at
        assert wake_at is not None
        delays.append(round(wake_at - now, 6))
        now = wake_at
        assert granted(scheduler, now) == [ticket]
        scheduler.on_probe_success(ticket, now)
        scheduler.on_busy(ticket, now)
    assert delays == sorted(set(delays)), "each wait is longer than the one before"


@pytest.mark.parametrize(
    ("wish", "wait"), [(None, 0.2), (0.0, 0.2), (7.0, 7.0), (300.0, 300.0), (86_400.0, 300.0), (-5.0, 0.2)]
)
def test_retry_after_is_kept_within_its_bounds(wish: float | None, wait: float) -> None:
    # Sabotage: ignore `retry_after_s`, or its cap, in `_wait`.
    scheduler = scheduler_of(state=narrow(), rand=lambda: 1.0)
    ask(scheduler, 0, now=0.0)
    scheduler.decide(0.0)
    scheduler.on_busy(0, 0.0, retry_after_s=wish)
    ask(scheduler, 1, now=0.0)
    assert scheduler.decide(0.0).wake_at == pytest.approx(wait)


def test_a_lock_of_our_own_is_waited_out_without_a_delay() -> None:
    scheduler = scheduler_of()
    for ticket in range(2):
        ask(scheduler, ticket, now=0.0)
    scheduler.decide(0.0)
    scheduler.on_busy(1, 0.01, retry_after_s=60.0)
    ask(scheduler, 2, now=0.01)
    assert granted(scheduler, 0.02) == []
    scheduler.on_success(0, 0.05)
    scheduler.release(0, 0.05)
    assert granted(scheduler, 0.05) == [2]


def test_an_overloaded_server_that_names_a_time_is_left_alone_until_then() -> None:
    # Sabotage: drop the `overloaded` branch of `on_busy`.
    scheduler = scheduler_of()
    for ticket in range(2):
        ask(scheduler, ticket, now=0.0)
    scheduler.decide(0.0)
    scheduler.on_busy(1, 0.01, retry_after_s=60.0, overloaded=True)
    scheduler.on_success(0, 0.05)
    scheduler.release(0, 0.05)
    ask(scheduler, 2, now=0.05)
    assert granted(scheduler, 60.0) == []
    assert granted(scheduler, 60.02) == [2]


def test_no_probe_is_added_to_calls_of_our_own_that_fill_the_limit() -> None:
    # Sabotage: drop the `_end_backoff` in `decide`.
    scheduler = scheduler_of()
    for ticket in range(2):
        ask(scheduler, ticket, now=0.0)
    scheduler.decide(0.0)
    scheduler.on_busy(1, 0.0, retry_after_s=5.0, overloaded=True)
    ask(scheduler, 2, now=0.0, budget_s=20.0)
    scheduler.decide(0.0)
    assert scheduler.decide(5.0).grants == ()
    assert scheduler.decide(30.0).expired == (), "that wait is for a call of our own"
    scheduler.on_success(0, 31.0)
    scheduler.release(0, 31.0)
    assert granted(scheduler, 31.0) == [2]


def test_a_probe_that_ends_without_an_answer_is_followed_by_another_after_a_wait() -> None:
    scheduler = in_backoff()
    ask(scheduler, 1, now=0.0)
    ask(scheduler, 2, now=0.0)
    assert granted(scheduler, 1.0) == [1]
    scheduler.release(1, 1.5)
    decision = scheduler.decide(1.5)
    assert decision.grants == ()
    assert decision.wake_at is not None
    assert granted(scheduler, decision.wake_at) == [2]


def test_a_probe_that_is_withdrawn_unused_is_passed_on_at_once() -> None:
    # Sabotage: do not clear `_probe_id` in `withdraw`.
    scheduler = in_backoff()
    ask(scheduler, 1, now=0.0)
    ask(scheduler, 2, now=0.0)
    assert granted(scheduler, 1.0) == [1]
    scheduler.withdraw(1, 1.0)
    assert granted(scheduler, 1.0) == [2]


def test_a_trial_of_a_refused_width_sends_no_large_body_unprobed() -> None:
    scheduler = scheduler_of(state=narrow(), patience=1)
    for ticket in range(4):
        ask(scheduler, ticket, now=0.0)
    (first,) = scheduler.decide(0.0).grants
    assert not first.probe_first
    scheduler.on_success(0, 0.1)
    scheduler.release(0, 0.1)
    assert [(grant.id, grant.probe_first) for grant in scheduler.decide(0.1).grants] == [(1, False), (2, True)]


def test_what_is_said_of_a_call_that_has_ended_is_ignored() -> None:
    # Sabotage: drop the checks for a running ticket in `on_success` and `on_busy`.
    scheduler = scheduler_of()
    ask(scheduler, 0, now=0.0)
    ask(scheduler, 1, now=0.0)
    scheduler.decide(0.0)
    scheduler.on_busy(0, 0.1)
    scheduler.decide(0.1)
    scheduler.on_busy(0, 0.2)
    scheduler.on_success(0, 0.2)
    scheduler.release(0, 0.2)
    scheduler.withdraw(0, 0.2)
    assert scheduler.decide(0.2).events == ()
    assert (scheduler.width, scheduler.in_flight) == (1, 1)


# -- budgets ----------------------------------------------------------------------------------------------------------


def test_a_ticket_is_refused_when_it_has_waited_parked_for_its_budget() -> None:
    # Sabotage: leave the budgets out of `_wake_at`, or never call `_expire`.
    scheduler = in_backoff()
    scheduler.decide(0.0)
    ask(scheduler, 1, now=0.0, budget_s=0.1)
    ask(scheduler, 2, now=0.0, budget_s=50.0)
    decision = scheduler.decide(0.05)
    assert decision.expired == ()
    assert decision.wake_at == pytest.approx(0.1)
    decision = scheduler.decide(0.1)
    assert [expired.id for expired in decision.expired] == [1]
    assert decision.expired[0].waited_s == pytest.approx(0.1)
    assert scheduler.waiting == 1


def test_waiting_for_calls_of_our_own_spends_no_busy_budget() -> None:
    scheduler = scheduler_of(state=narrow())
    ask(scheduler, 0, now=0.0)
    scheduler.decide(0.0)
    ask(scheduler, 1, now=0.0, budget_s=1.0)
    decision = scheduler.decide(7000.0)  # a trial of width two is due, so it goes, probed first
    assert decision.expired == ()
    assert scheduler.busy_s(7000.0) == 0.0


def test_no_busy_time_passes_while_nobody_wants_to_go() -> None:
    scheduler = in_backoff(backoff_base_s=100.0, backoff_cap_s=100.0)
    assert scheduler.busy_s(50.0) == 0.0
    ask(scheduler, 1, now=50.0)
    assert scheduler.busy_s(60.0) == pytest.approx(10.0)


def test_an_exhausted_budget_is_refused_at_once_only_while_parked() -> None:
    scheduler = in_backoff()
    ask(scheduler, 1, now=0.0, budget_s=0.0)
    assert [expired.id for expired in scheduler.decide(0.0).expired] == [1]
    free = scheduler_of()
    ask(free, 1, now=0.0, budget_s=0.0)
    assert granted(free, 0.0) == [1]


def test_a_lock_met_without_a_ticket_holds_all_back_and_teaches_nothing_of_the_limit() -> None:
    # Sabotage: `pass` for the body of `on_busy_without_permit`.
    scheduler = scheduler_of(rand=lambda: 1.0)
    scheduler.on_busy_without_permit(0.0, retry_after_s=3.0, overloaded=False)
    ask(scheduler, 0, now=0.0)
    assert (granted(scheduler, 0.0), scheduler.backoff_s(1.0), scheduler.width) == ([], 2.0, 4)
    assert granted(scheduler, 3.0) == [0]
    scheduler.on_success(0, 3.1)
    assert scheduler.backoff_s(3.1) == 0.0


def test_a_lock_met_without_a_ticket_beside_requests_of_our_own_is_theirs() -> None:
    scheduler = scheduler_of()
    ask(scheduler, 0, now=0.0)
    assert granted(scheduler, 0.0) == [0]
    scheduler.on_busy_without_permit(0.1, retry_after_s=3.0, overloaded=False)
    assert scheduler.backoff_s(0.1) == 0.0
    scheduler.on_busy_without_permit(0.1, retry_after_s=3.0, overloaded=True)
    assert scheduler.backoff_s(0.1) == 3.0
