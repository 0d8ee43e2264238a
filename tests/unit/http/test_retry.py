"""The retry table, row by row: kind of call x failure -> what next."""

from __future__ import annotations

import pytest

from emasync.config import RetryPolicy
from emasync.errors import (
    AuthError,
    BadRequestError,
    BusyError,
    EMError,
    ForbiddenError,
    IntegrityError,
    NotFoundError,
    ProtocolError,
    ServerError,
    SourceChangedError,
    TimedOutError,
    TooLargeError,
    UnreachableError,
)
from emasync.http.retry import AttemptHistory, RetryAction, RetryDecision, arrived, backoff_s, decide
from emasync.wire.requests import Kind

READ, DOWN, UP, DELETE, JOB, AUTH = Kind.READ, Kind.DOWNLINK, Kind.UPLINK, Kind.DELETE, Kind.JOB, Kind.AUTH
RETRY, WAIT, LOG_IN, LOOK, UNKNOWN, STOP = (
    RetryAction.RETRY,
    RetryAction.WAIT,
    RetryAction.LOG_IN,
    RetryAction.RECONCILE,
    RetryAction.UNKNOWN,
    RetryAction.STOP,
)
POLICY = RetryPolicy()

FAILURES: dict[str, EMError] = {
    "no connection": UnreachableError("x", sent=False),
    "connect time-out": TimedOutError("x", phase="connect", sent=False),
    "reset after sent": UnreachableError("x", sent=True),
    "time-out after sent": TimedOutError("x", sent=True),
    "502": ServerError("x", status=502),
    "504": ServerError("x", status=504),
    "423": BusyError("x", status=423),
    "429": BusyError("x", status=429),
    "503": BusyError("x", status=503),
    "401": AuthError("x", status=401),
    "400": BadRequestError("x", status=400),
    "413": TooLargeError("x", status=413),
    "403": ForbiddenError("x", status=403),
    "404": NotFoundError("x", status=404),
    "500": ServerError("x", status=500),
    "HTML with 200": ProtocolError("x"),
    "wrong bytes": IntegrityError("x"),
    "redirect": ProtocolError("x", status=302),
    "source changed": SourceChangedError("x"),
}

# fmt: off
TABLE: dict[str, tuple[RetryAction, RetryAction, RetryAction, RetryAction, RetryAction, RetryAction]] = {
    # first failure          READ    DOWN    UP      DELETE  JOB      AUTH
    "no connection":        (RETRY,  RETRY,  RETRY,  RETRY,  RETRY,   RETRY),
    "connect time-out":     (RETRY,  RETRY,  RETRY,  RETRY,  RETRY,   RETRY),
    "reset after sent":     (RETRY,  RETRY,  LOOK,   LOOK,   UNKNOWN, RETRY),
    "time-out after sent":  (RETRY,  RETRY,  LOOK,   LOOK,   UNKNOWN, RETRY),
    "502":                  (RETRY,  RETRY,  LOOK,   LOOK,   UNKNOWN, RETRY),
    "504":                  (RETRY,  RETRY,  LOOK,   LOOK,   UNKNOWN, RETRY),
    "423":                  (WAIT,   WAIT,   WAIT,   WAIT,   WAIT,    WAIT),
    "429":                  (WAIT,   WAIT,   WAIT,   WAIT,   WAIT,    WAIT),
    "503":                  (WAIT,   WAIT,   WAIT,   WAIT,   WAIT,    WAIT),
    "401":                  (LOG_IN, LOG_IN, LOG_IN, LOG_IN, LOG_IN,  STOP),
    "400":                  (STOP,   STOP,   STOP,   STOP,   STOP,    STOP),
    "413":                  (STOP,   STOP,   STOP,   STOP,   STOP,    STOP),
    "403":                  (STOP,   STOP,   STOP,   STOP,   STOP,    STOP),
    "404":                  (STOP,   STOP,   STOP,   STOP,   STOP,    STOP),
    "500":                  (RETRY,  RETRY,  LOOK,   LOOK,   STOP,    RETRY),
    "HTML with 200":        (RETRY,  RETRY,  LOOK,   LOOK,   UNKNOWN, STOP),
    "wrong bytes":          (RETRY,  RETRY,  LOOK,   LOOK,   STOP,    STOP),
    "redirect":             (STOP,   STOP,   STOP,   STOP,   STOP,    STOP),
    "source changed":       (STOP,   STOP,   STOP,   STOP,   STOP,    STOP),
}
# fmt: on
ROWS = [
    (name, kind, wanted)
    for name, row in TABLE.items()
    for kind, wanted in zip((READ, DOWN, UP, DELETE, JOB, AUTH), row, strict=True)
]


def after(failure: str, kind: Kind, *, errors: int = 1, refused: int = 0) -> RetryAction:
    return judged(failure, kind, AttemptHistory(errors=errors, refused=refused))


def judged(failure: str, kind: Kind, history: AttemptHistory, *, policy: RetryPolicy = POLICY) -> RetryAction:
    return decide(kind, FAILURES[failure], history=history, policy=policy, rand=0.5).next


def first(failure: str) -> AttemptHistory:
    """The counts after the first failure of this sort: neither 423 nor 401 is an error."""
    return AttemptHistory(
        errors=0 if isinstance(FAILURES[failure], BusyError | AuthError) else 1,
        refused=1 if failure == "401" else 0,
    )


@pytest.mark.parametrize(("failure", "kind", "wanted"), ROWS)
def test_the_first_failure_follows_the_table(failure: str, kind: Kind, wanted: RetryAction) -> None:
    # Sabotage: put Kind.UPLINK among _IDEMPOTENT, or let JOB be reconciled: cells of this table fail.
    assert judged(failure, kind, first(failure)) is wanted


@pytest.mark.parametrize(("failure", "kind", "wanted"), ROWS)
def test_a_spent_error_budget_stops_retries_and_hides_no_doubt(failure: str, kind: Kind, wanted: RetryAction) -> None:
    # What may have arrived is still looked for, and a busy EM still waited for. Sabotage: STOP whenever it is spent.
    history = AttemptHistory(errors=6 * first(failure).errors, refused=first(failure).refused)
    assert judged(failure, kind, history) is (STOP if wanted is RETRY else wanted)


@pytest.mark.parametrize(("failure", "kind", "wanted"), ROWS)
def test_no_retries_at_all_means_just_that(failure: str, kind: Kind, wanted: RetryAction) -> None:
    none = RetryPolicy(retries=0)
    assert judged(failure, kind, first(failure), policy=none) is (STOP if wanted is RETRY else wanted)


def test_the_table_names_every_failure() -> None:
    assert set(TABLE) == set(FAILURES)


@pytest.mark.parametrize("kind", [READ, DOWN])
@pytest.mark.parametrize("failure", ["500", "HTML with 200", "wrong bytes"])
def test_a_failing_server_gets_three_tries(kind: Kind, failure: str) -> None:
    # Sabotage: _SERVER_TRIES = 4.
    assert [after(failure, kind, errors=count) for count in (1, 2, 3)] == [RETRY, RETRY, STOP]


def test_a_log_in_gets_three_tries_for_a_500_and_two_for_a_lost_answer() -> None:
    assert [after("500", AUTH, errors=count) for count in (1, 2, 3)] == [RETRY, RETRY, STOP]
    assert [after("reset after sent", AUTH, errors=count) for count in (1, 2)] == [RETRY, STOP]


@pytest.mark.parametrize("kind", [READ, DOWN])
def test_a_broken_connection_gets_as_many_retries_as_the_policy_says(kind: Kind) -> None:
    decisions = [after("reset after sent", kind, errors=count) for count in range(1, 7)]
    assert decisions == [RETRY] * 5 + [STOP]


@pytest.mark.parametrize("kind", [READ, DOWN, UP, DELETE, JOB])
def test_a_second_refused_token_is_final(kind: Kind) -> None:
    # Two sends per item at most. Sabotage: `history.refused > 2`.
    assert after("401", kind, errors=0, refused=2) is STOP


@pytest.mark.parametrize("kind", list(Kind))
def test_a_busy_em_costs_no_retry_however_many_errors_there_were(kind: Kind) -> None:
    assert after("423", kind, errors=99) is WAIT


def test_jitter_is_full_and_the_delay_doubles_up_to_the_cap() -> None:
    policy = RetryPolicy(base_s=0.5, cap_s=30.0)
    tops = [backoff_s(errors, policy=policy, rand=1.0) for errors in range(1, 9)]
    assert tops == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert backoff_s(5, policy=policy, rand=0.0) == 0.0
    assert backoff_s(10_000, policy=policy, rand=0.5) == 15.0
    assert backoff_s(0, policy=policy, rand=1.0) == 0.5


def test_the_delay_of_a_retry_is_the_backoff() -> None:
    failure, policy = FAILURES["no connection"], RetryPolicy(retries=5, base_s=1.0)
    decision = decide(READ, failure, history=AttemptHistory(errors=3), policy=policy, rand=0.25)
    assert decision == RetryDecision(next=RETRY, delay_s=1.0)


@pytest.mark.parametrize(
    ("failure", "maybe"),
    [
        ("no connection", False),
        ("reset after sent", True),
        ("time-out after sent", True),
        ("500", True),
        ("502", True),
        ("HTML with 200", True),
        ("redirect", False),
        ("400", False),
        ("404", False),
        ("423", False),
    ],
)
def test_what_may_have_taken_effect_is_told_apart(failure: str, maybe: bool) -> None:
    assert arrived(FAILURES[failure]) is maybe
