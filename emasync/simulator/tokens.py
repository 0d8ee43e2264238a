"""JSON Web Tokens as SimpleJWT makes them: HS256, `iat`, `exp`, `jti`, `token_type`; issued, checked and revoked.

The time is passed in with every call. Must not import anything beyond the standard library.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any, Literal

TokenType = Literal["access", "refresh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Issued:
    user: str
    kind: TokenType
    expires_at: float


class TokenRegistry:
    """All valid tokens. `secret` signs them; `lifetime_s` is that of access tokens, `refresh_s` of refresh tokens.

    The claims carry whole seconds, as SimpleJWT's do; the registry remembers the exact moment, so that a lifetime of
    one second lasts one second.
    """

    def __init__(self, secret: bytes, *, lifetime_s: float, refresh_s: float) -> None:
        self._secret = secret
        self._lifetimes: dict[TokenType, float] = {"access": lifetime_s, "refresh": refresh_s}
        self._issued: dict[str, _Issued] = {}
        self._count = 0

    def issue(self, user: str, kind: TokenType, *, now: float) -> str:
        """A new token for `user`."""
        self._issued = {jti: issued for jti, issued in self._issued.items() if issued.expires_at > now}
        self._count += 1
        jti = hmac.new(self._secret, b"jti %d" % self._count, hashlib.sha256).hexdigest()[:32]
        lifetime = self._lifetimes[kind]
        self._issued[jti] = _Issued(user=user, kind=kind, expires_at=now + lifetime)
        iat = int(now)
        exp = iat + (int(lifetime) if lifetime == int(lifetime) else lifetime)
        claims = {"token_type": kind, "exp": exp, "iat": iat, "jti": jti, "user_id": user}
        return sign_jwt(claims, self._secret)

    def user_of(self, token: str, kind: TokenType, *, now: float) -> str | None:
        """The user the token was issued to; None for one that is forged, expired, revoked or of the other kind."""
        claims = verify_jwt(token, self._secret)
        issued = self._issued.get(str(claims.get("jti"))) if claims else None
        return issued.user if issued and issued.kind == kind and issued.expires_at > now else None

    def revoke(self, *, refresh: bool) -> None:
        """Make every access token invalid, and with `refresh` every refresh token too."""
        self._issued = {jti: issued for jti, issued in self._issued.items() if issued.kind == "refresh" and not refresh}


def sign_jwt(claims: dict[str, Any], secret: bytes) -> str:
    """`claims` as a JWT, signed with HS256."""
    header = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}, separators=(",", ":")).encode())
    payload = _encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{header}.{payload}.{_signature(f'{header}.{payload}', secret)}"


def verify_jwt(token: str, secret: bytes) -> dict[str, Any] | None:
    """The claims, or None when the signature or the form is wrong. Does not check the expiry."""
    signed, _, signature = token.rpartition(".")
    if not token.isascii() or not hmac.compare_digest(signature, _signature(signed, secret)):
        return None
    payload = signed.partition(".")[2]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def _signature(signed: str, secret: bytes) -> str:
    return _encode(hmac.new(secret, signed.encode("utf-8", "replace"), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
