"""How long a token lives, as far as it says so itself.

Owns: reading the payload of a JWT, unverified (the key is the server's). Imports nothing of emasync.
Knows no clock: a moment is passed in. A token is never part of an error, because there are none.
"""

from __future__ import annotations

import json
import math

import pybase64

_LONGEST_TOKEN = 16 * 1024
_LONGEST_LIFE_S = 10 * 365 * 86_400.0
_LATEST_MOMENT_S = 1e12  # far beyond any date; keeps arithmetic with a server's numbers finite


def lifetime_s(token: str, *, server_now: float | None = None) -> float | None:
    """Seconds from issue to expiry of `token`: ``exp - iat``, so that no clock of ours is involved.

    Without ``iat`` it is counted from `server_now`, the moment of issue on the server's wall clock (from the answer's
    ``Date``; seconds since 1970). None when the token is no JWT, does not say, or says something absurd: expired when
    issued, or valid for more than ten years. Raises nothing.
    """
    claims = _claims(token)
    expires = _moment(claims.get("exp"))
    issued = _moment(claims.get("iat", server_now))
    if expires is None or issued is None:
        return None
    life = expires - issued
    return life if 0 < life <= _LONGEST_LIFE_S else None


def _claims(token: str) -> dict[str, object]:
    parts = token.split(".") if len(token) <= _LONGEST_TOKEN else []
    if len(parts) != 3:
        return {}
    payload = parts[1]
    try:
        padded = payload.encode("ascii") + b"=" * (-len(payload) % 4)
        claims = json.loads(pybase64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _moment(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _LATEST_MOMENT_S and not math.isnan(value) else None
