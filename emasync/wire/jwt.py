"""The lifetime that a JWT claims, read from its payload without verifying it (only the server has the key).

Must not import anything of emasync. Has no clock: the time is passed in. Raises nothing, so no error can hold a token.
"""

from __future__ import annotations

import json
import math

import pybase64

_MAX_TOKEN_CHARACTERS = 16 * 1024
_MAX_LIFETIME_S = 10 * 365 * 86_400.0
_MAX_TIMESTAMP_S = 1e12  # far beyond any date; keeps arithmetic with a server's numbers finite


def lifetime_s(token: str, *, server_now: float | None = None) -> float | None:
    """Seconds from issue to expiry of `token`: ``exp - iat``, so that this machine's clock does not matter.

    Without ``iat`` it is counted from `server_now`, the moment of issue on the server's wall clock (from the answer's
    ``Date``; seconds since 1970). None if the token is no JWT, has no such claim, or an absurd one: expired when
    issued, or valid for more than ten years. Raises nothing.
    """
    claims = _claims(token)
    expires = _timestamp(claims.get("exp"))
    issued = _timestamp(claims.get("iat", server_now))
    if expires is None or issued is None:
        return None
    lifetime = expires - issued
    return lifetime if 0 < lifetime <= _MAX_LIFETIME_S else None


def _claims(token: str) -> dict[str, object]:
    parts = token.split(".") if len(token) <= _MAX_TOKEN_CHARACTERS else []
    if len(parts) != 3:
        return {}
    payload = parts[1]
    try:
        padded = payload.encode("ascii") + b"=" * (-len(payload) % 4)
        claims = json.loads(pybase64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _timestamp(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _MAX_TIMESTAMP_S and not math.isnan(value) else None
