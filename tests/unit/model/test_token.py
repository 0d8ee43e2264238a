"""`Token` knows when it is due, and shows no secret."""

from __future__ import annotations

from emasync.model import Token


def test_a_token_is_due_at_80_percent_of_its_life() -> None:
    # Sabotage: set _RENEW_AT to 1.0.
    token = Token(access="a", received_at=1000.0, lifetime_s=300.0)
    assert not token.is_due(1239.9)
    assert token.is_due(1240.0)
    assert token.remaining_s(1240.0) == 60.0
    assert token.remaining_s(1310.0) == -10.0


def test_a_token_that_does_not_say_is_never_due() -> None:
    token = Token(access="opaque")
    assert not token.is_due(1e9)
    assert token.remaining_s(1e9) is None


def test_the_repr_shows_neither_secret() -> None:
    assert "canary" not in repr(Token(access="canary-access", refresh="canary-refresh"))
