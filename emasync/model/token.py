"""`Token`: the secrets that a log-in returned, and when they should be replaced.

Small, but its own idea: http, api and cli pass it around. Must not import anything of emasync; has no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_TOO_YOUNG = 0.2  # of its lifetime: a younger token is not replaced for a long body, the next would hardly live longer
_RENEW_AT = 0.8  # of its lifetime, so that it is still valid when a request that is sent now arrives


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access and a refresh token; neither is part of the repr.

    `received_at` is on the monotonic clock; `lifetime_s` is `exp - iat`, so that clock skew cannot matter, None if the
    token is no JWT or does not say.
    """

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    received_at: float = 0.0
    lifetime_s: float | None = None

    def remaining_s(self, now: float) -> float | None:
        """Seconds until the token expires, negative once it has; None if that is unknown."""
        return None if self.lifetime_s is None else self.received_at + self.lifetime_s - now

    def is_due(self, now: float, *, needed_s: float = 0.0) -> bool:
        """Whether the token should be replaced before the next request.

        That is so after 80 % of its lifetime, or if it expires within the `needed_s` seconds that the request takes.
        """
        if self.lifetime_s is None:
            return False
        age = now - self.received_at
        return age >= _RENEW_AT * self.lifetime_s or (
            age >= _TOO_YOUNG * self.lifetime_s and self.lifetime_s - age < needed_s
        )
