"""`Token`: what a log-in gave, without ever showing it.

Owns: when a token should be replaced. Imports nothing. Knows neither JWTs (wire) nor clocks (passed in).
"""

from __future__ import annotations

from dataclasses import dataclass, field

_YOUNG = 0.2  # of its lifetime: a younger one is not replaced for a long body, the next would hardly live longer
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

    def is_due(self, now: float, *, needed_s: float = 0.0) -> bool:
        """Whether it should be replaced before the next call: it has lived 80 % of its life, or has less left than the
        `needed_s` seconds that the call will take."""
        if self.lifetime_s is None:
            return False
        age = now - self.received_at
        return age >= _RENEW_AT * self.lifetime_s or (
            age >= _YOUNG * self.lifetime_s and self.lifetime_s - age < needed_s
        )
