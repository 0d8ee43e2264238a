"""The retry table: what to do after a request failed, decided without waiting.

Pure: counts and a random number are passed in. Must not import other modules of http.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from emasync.config import RetryPolicy
from emasync.errors import AuthError, BusyError, EMError, IntegrityError, ProtocolError, ServerError, TimedOutError
from emasync.errors import UnreachableError as Unreachable
from emasync.wire.requests import Kind

_SERVER_TRIES = 3  # after a 500 or an unusable response, where repeating is harmless
_IDEMPOTENT = frozenset({Kind.READ, Kind.DOWNLINK})


class RetryAction(StrEnum):
    """What to do after a failure."""

    RETRY = "retry"  # send it again after delay_s
    WAIT = "wait"  # the EM is busy: send it again when it is not; costs no retry
    LOG_IN = "log in"  # get a fresh token, then send it again
    RECONCILE = "reconcile"  # it may have arrived: look before sending again
    UNKNOWN = "unknown"  # it may have arrived, and a second one would do harm: say so
    STOP = "stop"  # raise the error


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDecision:
    """`delay_s` is for RETRY (and for RECONCILE, before the look)."""

    next: RetryAction
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptHistory:
    """The failures of one request so far, the last one included. `errors` counts those other than busy and 401,
    `refused` counts 401 responses to fresh tokens."""

    errors: int = 0
    refused: int = 0


def decide(kind: Kind, error: EMError, *, history: AttemptHistory, policy: RetryPolicy, rand: float) -> RetryDecision:
    """The row of the table for `kind` and `error`. `rand` in [0, 1) gives the jitter."""
    decision = _row(kind, error, history=history, delay=backoff_s(history.errors, policy=policy, rand=rand))
    exhausted = history.errors > policy.retries
    return RetryDecision(next=RetryAction.STOP) if exhausted and decision.next is RetryAction.RETRY else decision


def _row(kind: Kind, error: EMError, *, history: AttemptHistory, delay: float) -> RetryDecision:  # noqa: C901 - the retry table, one case after the other
    if isinstance(error, BusyError):
        return RetryDecision(next=RetryAction.WAIT)
    if isinstance(error, AuthError):
        final = kind is Kind.AUTH or history.refused > 1
        return RetryDecision(next=RetryAction.STOP if final else RetryAction.LOG_IN)
    if isinstance(error, Unreachable) and error.permanent:
        return RetryDecision(next=RetryAction.STOP)
    if isinstance(error, Unreachable | TimedOutError) or _gateway(error):
        if not arrived(error) or kind in _IDEMPOTENT:
            return RetryDecision(next=RetryAction.RETRY, delay_s=delay)
        if kind is Kind.AUTH:
            return RetryDecision(next=RetryAction.RETRY if history.errors <= 1 else RetryAction.STOP, delay_s=delay)
        return RetryDecision(next=RetryAction.UNKNOWN if kind is Kind.JOB else RetryAction.RECONCILE, delay_s=delay)
    if isinstance(error, ServerError | IntegrityError | ProtocolError) and not _redirect(error):
        if kind in _IDEMPOTENT or (kind is Kind.AUTH and isinstance(error, ServerError)):
            return RetryDecision(
                next=RetryAction.RETRY if history.errors < _SERVER_TRIES else RetryAction.STOP, delay_s=delay
            )
        if kind in (Kind.UPLINK, Kind.DELETE):
            return RetryDecision(next=RetryAction.RECONCILE, delay_s=delay)
        if kind is Kind.JOB and isinstance(error, ProtocolError):
            return RetryDecision(next=RetryAction.UNKNOWN)
    return RetryDecision(next=RetryAction.STOP)


def arrived(error: EMError) -> bool:
    """Whether the request may have taken effect although no usable response came."""
    if isinstance(error, Unreachable | TimedOutError):
        return error.sent
    return isinstance(error, ServerError | ProtocolError | IntegrityError) and not _redirect(error)


def backoff_s(errors: int, *, policy: RetryPolicy, rand: float) -> float:
    """Full jitter: anything up to base x 2^(errors-1), capped."""
    return rand * min(policy.cap_s, policy.base_s * 2.0 ** max(0, min(errors, 32) - 1))


def busy_backoff_s(refusals: int, error: BusyError, *, policy: RetryPolicy, rand: float) -> float:
    """The wait of a request without a permit after its n-th refusal; longer if the server asks for it."""
    step_s = min(policy.cap_s, policy.base_s * 2.0 ** min(refusals - 1, 16))
    return max(step_s * (0.5 + rand), min(error.retry_after_s or 0.0, policy.retry_after_cap_s))


def busy_budget_spent(error: EMError, *, waited_s: float) -> BusyError:
    """The error of a request that waited for a busy EM as long as its budget allows."""
    return BusyError(
        f"{error}; the EM stayed busy for {waited_s:.0f} s, which is all the busy budget allows",
        call=error.call,
        status=error.status,
        detail=error.detail,
        waited_s=waited_s,
    )


def _gateway(error: EMError) -> bool:
    return isinstance(error, ServerError) and error.status in (502, 504)


def _redirect(error: EMError) -> bool:
    return isinstance(error, ProtocolError) and error.status is not None and 300 <= error.status < 400
