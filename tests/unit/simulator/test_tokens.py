from __future__ import annotations

import base64
import json

import pytest

from emasync.simulator.tokens import TokenRegistry, sign_jwt, verify_jwt


def registry() -> TokenRegistry:
    return TokenRegistry(b"key", lifetime_s=300.0, refresh_s=86_400.0)


def test_a_token_names_its_user_until_it_expires() -> None:
    tokens = registry()
    token = tokens.issue("client1", "access", now=1000.5)
    assert tokens.user_of(token, "access", now=1300.4) == "client1"
    assert tokens.user_of(token, "access", now=1300.5) is None


def test_the_claims_are_those_of_simplejwt() -> None:
    payload = registry().issue("client1", "access", now=1000.5).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert (claims["iat"], claims["exp"], claims["token_type"]) == (1000, 1300, "access")


def test_a_refresh_token_is_no_access_token() -> None:
    tokens = registry()
    refresh = tokens.issue("client1", "refresh", now=0.0)
    assert tokens.user_of(refresh, "access", now=1.0) is None
    assert tokens.user_of(refresh, "refresh", now=1.0) == "client1"


@pytest.mark.parametrize("token", ["", "a.b.c", "é.b.c", "a", ".."])
def test_junk_is_no_token(token: str) -> None:
    assert registry().user_of(token, "access", now=0.0) is None


def test_a_token_signed_with_another_key_is_refused() -> None:
    tokens, other = registry(), TokenRegistry(b"other key", lifetime_s=300.0, refresh_s=300.0)
    tokens.issue("client1", "access", now=0.0)
    # Sabotage: return the claims without comparing signatures.
    assert tokens.user_of(other.issue("client1", "access", now=0.0), "access", now=1.0) is None
    assert verify_jwt(sign_jwt({"jti": "1"}, b"a"), b"b") is None


def test_revoking_spares_refresh_tokens_unless_told_otherwise() -> None:
    tokens = registry()
    access, refresh = tokens.issue("a", "access", now=0.0), tokens.issue("a", "refresh", now=0.0)
    tokens.revoke(refresh=False)
    assert tokens.user_of(access, "access", now=1.0) is None
    assert tokens.user_of(refresh, "refresh", now=1.0) == "a"
    tokens.revoke(refresh=True)
    assert tokens.user_of(refresh, "refresh", now=1.0) is None
