"""The request path on a fake transport and limiter: what is sent again, when, and what it costs."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import anyio
import pytest

from emasync.config import RetryPolicy
from emasync.errors import (
    AuthError,
    BadRequestError,
    BusyError,
    EMError,
    ProtocolError,
    ServerError,
    TimedOutError,
    UnknownOutcomeError,
    UnreachableError,
)
from emasync.http import Body
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.http.limiter.scheduler import Priority
from emasync.http.pipeline import RequestStats
from emasync.model import Node, Token
from emasync.wire import requests
from emasync.wire.requests import ApiRequest, Volume
from tests.unit.fake_em import FakeEM, FakeLimiter, FakePermit

LIST = requests.list_files(Volume())
DELETE = requests.delete(Volume(), "a")
UPLINK = requests.uplink()
RUN = requests.run_pod(Volume(), "i", node=Node.FPGA, max_duration=1)
BUILD = requests.build_image(Volume(), "i", dockerfile="d", context="c")
DOWNLINK = requests.downlink(Volume(), "a")

RESET = UnreachableError("reset", sent=True)
REFUSED = UnreachableError("no connection", sent=False)
LOCKED = BusyError("locked", call="GET em/files/list", status=423, retry_after_s=3.0)
UNAUTHORISED = AuthError("401", status=401)
OK = {"data": "ok"}


def em(call: ApiRequest, *answers: object, retries: int = 5, busy_timeout_s: float = 1800.0) -> FakeEM:
    policy = RetryPolicy(retries=retries, busy_timeout_s=busy_timeout_s)
    return FakeEM(answers={call.path: list(answers)}, policy=policy)


async def test_a_call_logs_in_once_and_carries_the_token() -> None:
    fake = em(LIST, OK)
    pipeline = fake.pipeline()
    assert await pipeline.json(LIST) == OK
    assert await pipeline.json(LIST) == OK
    assert fake.sent == ["auth/", LIST.path, LIST.path]
    assert fake.tokens == [None, "token-1", "token-1"]
    assert fake.limiter.reports == ["success", "success"]


async def test_retries_wait_with_back_off_and_hold_nothing_meanwhile() -> None:
    # Sabotage: sleep inside the `async with`: the fake's `_sleep` sees a held permit.
    fake = em(LIST, REFUSED, RESET, RESET, OK)
    stats = RequestStats()
    assert await fake.pipeline().json(LIST, stats=stats) == OK
    assert fake.slept == [0.25, 0.5, 1.0]
    assert (stats.requests, stats.errors) == (4, 3)


async def test_errors_beyond_the_retries_are_raised_as_they_are() -> None:
    fake = em(LIST, RESET, retries=2)
    with pytest.raises(UnreachableError) as caught:
        await fake.pipeline().json(LIST)
    assert caught.value is RESET
    assert fake.count(LIST.path) == 3


async def test_a_busy_em_uses_no_retry_and_no_sleep_of_the_callers() -> None:
    # The limiter does the waiting. Sabotage: count BusyError among the errors.
    fake = em(LIST, *[LOCKED] * 50, OK, retries=0)
    stats = RequestStats()
    assert await fake.pipeline().json(LIST, stats=stats) == OK
    assert (stats.requests, stats.errors, fake.slept) == (51, 0, [])
    assert fake.limiter.reports == ["busy 3.0"] * 50 + ["success"]


@pytest.mark.parametrize(("status", "report"), [(423, "busy None"), (429, "busy None overloaded")])
async def test_the_limiter_is_told_a_lock_from_an_overload(status: int, report: str) -> None:
    fake = em(LIST, BusyError("busy", status=status), OK)
    await fake.pipeline().json(LIST)
    assert fake.limiter.reports == [report, "success"]


async def test_a_spent_busy_budget_is_a_busy_error_with_the_time_waited() -> None:
    # Sabotage: start each entry with the whole budget: `budgets` would not fall, and it would go on for ever.
    fake = em(LIST, LOCKED, busy_timeout_s=100.0)
    fake.limiter.waits = [0.0, 40.0, 60.0]
    stats = RequestStats()
    with pytest.raises(BusyError, match="stayed busy for 100 s") as caught:
        await fake.pipeline().json(LIST, stats=stats)
    assert fake.limiter.budgets == [100.0, 100.0, 60.0]
    assert (caught.value.waited_s, caught.value.status, stats.busy_s) == (100.0, 423, 100.0)


# Sabotage: leave out `2.0 **`: a log-in every half second for half an hour, 3,600 of them.
async def test_a_log_in_that_is_told_to_come_later_comes_ever_later() -> None:
    fake = FakeEM(policy=RetryPolicy())
    fake.answers["auth/"] = [BusyError("busy", status=503)]
    with pytest.raises(BusyError):
        await fake.pipeline().json(LIST)
    assert fake.count("auth/") < 100
    assert all(later >= sooner for sooner, later in zip(fake.slept, fake.slept[1:], strict=False))


async def test_a_limiter_that_gives_up_ends_the_call_unsent() -> None:
    fake = em(LIST, OK, busy_timeout_s=10.0)
    fake.limiter.waits = [11.0]
    stats = RequestStats()
    with pytest.raises(BusyError) as caught:
        await fake.pipeline().json(LIST, stats=stats)
    assert fake.count(LIST.path) == 0
    assert (caught.value.waited_s, stats.busy_s, stats.requests) == (10.0, 10.0, 0)


@pytest.mark.parametrize("call", [RUN, BUILD])
@pytest.mark.parametrize("lost", [RESET, TimedOutError("slow", sent=True), ServerError("x", status=502)])
async def test_a_job_whose_answer_was_lost_is_sent_once_and_of_unknown_outcome(call: ApiRequest, lost: EMError) -> None:
    # Sabotage: put Kind.JOB among retry._IDEMPOTENT: a pod would be stopped by its own second start.
    fake = em(call, lost)
    with pytest.raises(UnknownOutcomeError) as caught:
        await fake.pipeline().json(call)
    assert fake.count(call.path) == 1
    assert caught.value.cause is lost
    assert "shows what" in str(caught.value) or "shows whether" in str(caught.value)


async def test_a_job_that_never_left_is_sent_again() -> None:
    fake = em(RUN, REFUSED, LOCKED, OK)
    assert await fake.pipeline().json(RUN) == OK
    assert fake.count(RUN.path) == 3


@pytest.mark.parametrize("call", [DELETE, UPLINK])
async def test_an_uplink_or_delete_in_doubt_is_left_to_whoever_can_look(call: ApiRequest) -> None:
    fake = em(call, RESET)
    with pytest.raises(UnknownOutcomeError, match=r"files\.list"):
        await fake.pipeline().json(call)
    assert fake.count(call.path) == 1


async def test_a_refused_token_is_replaced_and_the_call_repeated() -> None:
    fake = em(LIST, UNAUTHORISED, OK)
    assert await fake.pipeline().json(LIST) == OK
    assert fake.tokens == [None, "token-1", None, "token-2"]
    assert fake.slept == []


@pytest.mark.parametrize("call", [LIST, RUN, DELETE, UPLINK])
async def test_a_server_that_refuses_every_fresh_token_gets_two_sends_per_item(call: ApiRequest) -> None:
    fake = em(call, UNAUTHORISED)
    with pytest.raises(AuthError):
        await fake.pipeline().json(call)
    assert fake.count(call.path) == 2


async def test_a_refused_log_in_is_one_request_and_the_call_is_never_sent() -> None:
    fake = em(LIST, OK)
    fake.answers["auth/"] = [UNAUTHORISED]
    pipeline = fake.pipeline()
    for _ in range(3):
        with pytest.raises(AuthError, match="refuses the log-in"):
            await pipeline.json(LIST)
    assert fake.sent == ["auth/"]


@pytest.mark.parametrize("call", [RUN, UPLINK, DELETE])
@pytest.mark.parametrize("lost", [RESET, TimedOutError("slow", sent=True), ProtocolError("HTML")])
async def test_a_log_in_that_fails_leaves_no_doubt_about_the_call(call: ApiRequest, lost: EMError) -> None:
    # Nothing of the call was sent. Sabotage: drop `unsent`: the lost answer would pass for the call's own.
    fake = em(call, OK)
    fake.answers["auth/"] = [lost]
    with pytest.raises(type(lost)) as caught:
        await fake.pipeline().json(call)
    assert caught.value is lost
    assert fake.count(call.path) == 0
    assert fake.count("auth/") <= 2


async def test_a_log_in_that_stays_busy_ends_within_the_busy_budget() -> None:
    # Sabotage: drop `unsent`: the call's own budget is untouched by the log-in's, and it would go on for ever.
    fake = em(LIST, OK, busy_timeout_s=10.0)
    fake.answers["auth/"] = [BusyError("overloaded", status=503, retry_after_s=4.0)]
    with pytest.raises(BusyError, match="stayed busy"):
        await fake.pipeline().json(LIST)
    assert fake.slept == [4.0, 4.0]


async def test_a_log_in_honours_the_servers_wish_only_so_far() -> None:
    fake = em(LIST, OK)
    fake.answers["auth/"] = [BusyError("x", status=429, retry_after_s=9999.0), BusyError("x"), {"access": "t"}]
    assert await fake.pipeline().json(LIST) == OK
    assert fake.slept == [300.0, 1.0]


async def test_a_log_in_waits_for_no_permit() -> None:
    fake = em(LIST, OK)
    await fake.pipeline().json(LIST)
    assert len(fake.limiter.priorities) == 1


async def test_a_token_replaced_during_the_wait_for_a_permit_is_not_sent() -> None:
    # A large body would be pushed in vain. Sabotage: authorise before the permit only.
    fake = em(LIST, OK)
    pipeline = fake.pipeline()
    old = await pipeline.tokens.get()

    class Slow(FakeLimiter):
        @asynccontextmanager
        async def acquire(self, priority: Priority, *, busy_budget_s: float) -> AsyncIterator[FakePermit]:
            await pipeline.tokens.replace(old)
            yield FakePermit(self, 0.0)

    pipeline._limiter = cast(ConcurrencyLimiter, Slow())
    await pipeline.json(LIST)
    assert fake.tokens[-1] == "token-2"


# Sabotage: authorise for a body as for any call; measure no body; or measure small ones, too.
async def test_a_body_is_sent_with_a_token_that_lives_as_long_as_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = em(UPLINK, OK)
    pipeline, needed, now = fake.pipeline(), list[float](), 0.0
    get = pipeline.tokens.get

    async def remember(*, needed_s: float = 0.0) -> Token:
        needed.append(needed_s)
        return await get(needed_s=needed_s)

    def clock() -> float:
        nonlocal now
        now += 2.0
        return now

    monkeypatch.setattr(pipeline.tokens, "get", remember)
    monkeypatch.setattr(pipeline, "_clock", clock)
    for size in (4_000_000, 1000, 2_000_000):
        async for attempt in pipeline.attempts(UPLINK, size=size):
            async with attempt as response:
                await response.json()
    assert needed[1::2] == [4.0, 1000 * 2.0 / 4e6, 1.0]


@pytest.mark.parametrize(
    ("call", "priority"),
    [
        (LIST, Priority.SMALL),
        (DELETE, Priority.SMALL),
        (RUN, Priority.SMALL),
        (UPLINK, Priority.BULK),
        (DOWNLINK, Priority.BULK),
    ],
)
async def test_what_moves_files_or_takes_hours_is_bulk(call: ApiRequest, priority: Priority) -> None:
    fake = em(call, OK)
    await fake.pipeline().json(call)
    assert fake.limiter.priorities == [priority]


# Sabotage: make `bulk` leave out `request.long`.
async def test_a_build_is_not_the_probe_of_a_locked_em() -> None:
    fake = FakeEM()
    await fake.pipeline().json(BUILD)
    assert fake.limiter.priorities == [Priority.BULK]


async def test_each_attempt_gets_a_fresh_body() -> None:
    # Sabotage: make the body once, in `attempts`.
    class Nothing:
        content_type, length = "text/plain", 0

    made: list[Body] = []

    def body() -> Body:
        made.append(Nothing())  # type: ignore[arg-type]
        return made[-1]

    fake = em(UPLINK, REFUSED, UNAUTHORISED, LOCKED, OK)
    async for attempt in fake.pipeline().attempts(UPLINK, body=body):
        async with attempt as response:
            await response.json()
    assert len(set(map(id, made))) == 4
    assert [sent for sent in fake.bodies if sent is not None] == made


async def test_what_the_block_raises_is_judged_like_the_server_s_own() -> None:
    fake, numbers = em(LIST, OK), list[int]()
    async for attempt in fake.pipeline().attempts(LIST):
        async with attempt:
            numbers.append(attempt.number)
            if len(numbers) < 3:
                raise ProtocolError("not what was asked for")
    assert (numbers, fake.count(LIST.path), fake.open_responses) == ([1, 2, 3], 3, 0)


async def test_a_final_error_of_the_block_is_raised_as_it_is() -> None:
    # Sabotage: in `Attempt.__aexit__`, return True for every EMError.
    fake = em(LIST, OK)
    refused = BadRequestError("400", status=400)
    with pytest.raises(BadRequestError) as caught:
        async for attempt in fake.pipeline().attempts(LIST):
            async with attempt:
                raise refused
    assert caught.value is refused
    assert (fake.count(LIST.path), fake.open_responses, fake.limiter.inside) == (1, 0, 0)


async def test_an_attempt_counts_responses_and_not_what_was_sent_in_vain() -> None:
    fake = em(LIST, REFUSED, UNAUTHORISED, LOCKED, OK)
    async for attempt in fake.pipeline().attempts(LIST):
        async with attempt:
            assert attempt.number == 1
    assert fake.count(LIST.path) == 4


async def test_a_loop_that_is_left_from_its_block_leaves_nothing_open() -> None:
    # Sabotage: let `__anext__` send the request.
    fake = em(LIST, OK)

    async def first() -> int:
        async for attempt in fake.pipeline().attempts(LIST):
            async with attempt:
                return attempt.number
        return 0

    assert await first() == 1
    async for _ in fake.pipeline().attempts(LIST):
        break
    assert (fake.count(LIST.path), fake.open_responses, fake.limiter.inside) == (1, 0, 0)


async def test_the_wait_before_the_next_attempt_is_the_one_of_the_stats() -> None:
    # Sabotage: leave `state.stats.retry_sleep` out of `_prepare`: a worker that waits holds up all others.
    fake, slept = em(LIST, REFUSED, OK), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await fake.pipeline().json(LIST, stats=RequestStats(parent=RequestStats(sleep=sleep)))
    assert (slept, fake.slept) == ([0.25], [])


async def test_a_log_in_that_meets_a_lock_holds_back_other_requests_and_waits_for_the_limiter() -> None:
    # Sabotage: leave `on_busy_without_permit` out of `LoginSender`; or `backoff_s` out of its delay.
    fake = em(LIST, OK)
    fake.answers["auth/"] = [BusyError("x", status=423, retry_after_s=2.0), {"access": "t"}]
    fake.limiter.backoff_s = 7.0
    assert await fake.pipeline().json(LIST) == OK
    assert fake.limiter.reports == ["busy without permit 2.0", "success"]
    assert fake.slept == [7.0]


async def test_an_exception_that_is_not_ours_passes_through_at_once() -> None:
    fake = em(LIST, OK)
    with pytest.raises(OSError, match="disk full"):
        async for attempt in fake.pipeline().attempts(LIST):
            async with attempt:
                raise OSError("disk full")
    assert (fake.count(LIST.path), fake.open_responses, fake.limiter.inside) == (1, 0, 0)


async def test_the_error_budget_of_stats_ends_retries_for_all_its_calls() -> None:
    # Sabotage: look at the call's own errors alone.
    fake = em(LIST, RESET)
    stats = RequestStats(error_budget=3)
    pipeline = fake.pipeline()
    with pytest.raises(UnreachableError):
        await pipeline.json(LIST, stats=stats)
    assert fake.count(LIST.path) == 4
    with pytest.raises(UnreachableError):
        await pipeline.json(LIST, stats=stats)
    assert fake.count(LIST.path) == 5


async def test_a_spent_error_budget_does_not_end_the_waiting_for_a_busy_em() -> None:
    fake = em(LIST, LOCKED, LOCKED, OK)
    assert await fake.pipeline().json(LIST, stats=RequestStats(error_budget=-1)) == OK


def test_stats_are_added_to_their_parent_too() -> None:
    parent = RequestStats(error_budget=1)
    child = RequestStats(parent=parent)
    child.add(requests=2, busy_s=1.5, errors=1)
    parent.add(errors=1)
    assert (child.requests, child.busy_s, child.errors) == (2, 1.5, 1)
    assert (parent.requests, parent.busy_s, parent.errors) == (2, 1.5, 2)
    assert (child.exhausted, RequestStats().exhausted) == (True, False)


async def test_an_opened_reply_keeps_its_permit_until_the_block_ends() -> None:
    fake = em(DOWNLINK, REFUSED, b"abcdefghij")
    async with fake.pipeline().open(DOWNLINK) as reply:
        assert (fake.limiter.inside, fake.open_responses) == (1, 1)
        assert await reply.receive() == b"abcdefg"
    assert (fake.limiter.inside, fake.open_responses) == (0, 0)


async def test_what_happens_inside_an_opened_reply_is_not_repeated() -> None:
    fake = em(DOWNLINK, b"abc")
    with pytest.raises(UnreachableError):
        async with fake.pipeline().open(DOWNLINK):
            raise RESET
    assert (fake.count(DOWNLINK.path), fake.limiter.inside, fake.open_responses) == (1, 0, 0)


async def test_cancellation_gives_back_permit_and_connection() -> None:
    fake = em(LIST, OK)

    async def hang() -> None:
        async for attempt in fake.pipeline().attempts(LIST):
            async with attempt:
                await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang)
        await anyio.wait_all_tasks_blocked()
        assert fake.limiter.inside == 1
        tasks.cancel_scope.cancel()
    assert (fake.limiter.inside, fake.open_responses) == (0, 0)


@pytest.mark.parametrize(
    ("answer", "taken"),
    [(OK, True), (LOCKED, False), (BusyError("x", status=503), False), (BadRequestError("x"), True), (RESET, True)],
)
async def test_a_probe_asks_once_without_a_permit(answer: object, taken: bool) -> None:
    fake = em(LIST, answer)
    assert await fake.pipeline().probe(LIST) is taken
    assert (fake.count(LIST.path), fake.limiter.priorities) == (1, [])


async def test_the_log_names_calls_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    fake = em(LIST, UNAUTHORISED, RESET, OK)
    with caplog.at_level(logging.DEBUG, logger="emasync"):
        await fake.pipeline().json(LIST)
    assert "GET em/files/list: AuthError: log in" in caplog.text
    assert "canary" not in caplog.text
    assert "token-" not in caplog.text


# Sabotage: count a shortage in the stats; or leave `raise_shortage` out of `_judge`.
async def test_a_shortage_of_open_files_is_nobodys_error_and_raised_at_once_where_others_can_make_room() -> None:
    short = UnreachableError("no connection", errno=errno.EMFILE)
    fake, stats = em(LIST, short, short, OK), RequestStats()
    assert await fake.pipeline().json(LIST, stats=stats) == OK
    assert (stats.requests, stats.errors, len(fake.slept)) == (3, 0, 2)

    fake = em(DOWNLINK, short, OK)
    with pytest.raises(UnreachableError) as caught:
        async for attempt in fake.pipeline().attempts(DOWNLINK, raise_shortage=True):
            async with attempt as response:
                await response.json()
    assert caught.value is short
    assert fake.slept == []
