"""`Token`: what a log-in gave, without ever showing it.

Owns: when a token should be replaced. Imports nothing. Knows neither JWTs (wire) nor clocks (passed in).
"""

from __future__ import annotations

from dataclasses import dataclass, field

_RENEW_AT = 0.8  # of its lifetime, so that a call sent now still finds it valid when it arrives


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """`received_at` is on the monotonic clock; `lifetime_s` is `exp - iat` (so clock skew cannot matter), None when the
    token is no JWT or does not say. Neither secret is part of the repr."""

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    received_at: float = 0.0
    lifetime_s: float | None = None

    def remaining_s(self, now: float) -> float | None:
        """Seconds until it expires, negative once it has; None when that cannot be known."""
        return None if self.lifetime_s is None else self.received_at + self.lifetime_s - now

    def is_due(self, now: float) -> bool:
        """Whether it has lived 80 % of its life and should be replaced before the next call."""
        return self.lifetime_s is not None and now - self.received_at >= _RENEW_AT * self.lifetime_s
