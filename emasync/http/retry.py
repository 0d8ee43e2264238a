"""The retry table: what to do after a call failed, decided without waiting.

Owns: which failure of which kind of call is repeated, when, and when it is not. May import errors, config and
`wire.calls.Kind`. Knows nothing of clocks or requests: counts and a random number are passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from emasync.config import RetryPolicy
from emasync.errors import AuthError, BusyError, EMError, IntegrityError, ProtocolError, ServerError, TimedOutError
from emasync.errors import UnreachableError as Unreachable
from emasync.wire.requests import Kind

_SERVER_TRIES = 3  # for a 500, or an answer that makes no sense, where repeating is harmless
_IDEMPOTENT = frozenset({Kind.READ, Kind.DOWNLINK})


class RetryAction(StrEnum):
    """What to do now."""

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
    """What a call has been through, this failure included. `errors` counts failures other than busy and 401;
    `refused` counts 401 answers to fresh tokens."""

    errors: int = 0
    refused: int = 0


def decide(kind: Kind, error: EMError, *, history: AttemptHistory, policy: RetryPolicy, rand: float) -> RetryDecision:
    """The row of the table for `kind` and `error`. `rand` in [0, 1) gives the jitter."""
    decision = _row(kind, error, history=history, delay=backoff_s(history.errors, policy=policy, rand=rand))
    spent = history.errors > policy.retries
    return RetryDecision(next=RetryAction.STOP) if spent and decision.next is RetryAction.RETRY else decision


def _row(kind: Kind, error: EMError, *, history: AttemptHistory, delay: float) -> RetryDecision:
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
        return RetryDecision(next=_action_for_ambiguous_failure(kind), delay_s=delay)
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
    """Whether the request may have taken effect although no good answer came."""
    if isinstance(error, Unreachable | TimedOutError):
        return error.sent
    return isinstance(error, ServerError | ProtocolError | IntegrityError) and not _redirect(error)


def backoff_s(errors: int, *, policy: RetryPolicy, rand: float) -> float:
    """Full jitter: anything up to base x 2^(errors-1), capped."""
    return rand * min(policy.cap_s, policy.base_s * 2.0 ** max(0, min(errors, 32) - 1))


def _action_for_ambiguous_failure(kind: Kind) -> RetryAction:
    return RetryAction.UNKNOWN if kind is Kind.JOB else RetryAction.RECONCILE


def _gateway(error: EMError) -> bool:
    return isinstance(error, ServerError) and error.status in (502, 504)


def _redirect(error: EMError) -> bool:
    return isinstance(error, ProtocolError) and error.status is not None and 300 <= error.status < 400
