"""How long a token says it lives; anything doubtful is None, nothing raises."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emasync.wire.jwt import lifetime_s

YEAR_S = 365 * 86_400


def jwt(payload: str | bytes) -> str:
    raw = payload.encode() if isinstance(payload, str) else payload
    return f"e30.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}.c2ln"


def test_the_lifetime_is_from_issue_to_expiry() -> None:
    assert lifetime_s(jwt(json.dumps({"exp": 1_700_000_300, "iat": 1_700_000_000, "jti": "ÿþ?>"}))) == 300.0


def test_the_clock_counts_only_where_the_token_does_not_say_when_it_was_issued() -> None:
    assert lifetime_s(jwt('{"exp": 1000.5}'), server_now=900) == 100.5
    assert lifetime_s(jwt('{"exp": 1000, "iat": 990}'), server_now=900) == 10.0
    assert lifetime_s(jwt('{"exp": 1000}')) is None


@pytest.mark.parametrize(
    "payload",
    [
        "{}",
        "[1]",
        "7",
        "null",
        '{"exp": "1000", "iat": 0}',
        '{"exp": true, "iat": false}',
        '{"exp": NaN, "iat": 0}',
        '{"exp": 10, "iat": NaN}',
        '{"exp": Infinity, "iat": 0}',
        '{"exp": 1e999, "iat": 1e999}',
        '{"exp": 1' + "0" * 400 + ', "iat": 0}',
        '{"exp": 1' + "0" * 5000 + ', "iat": 0}',
        '{"exp": 10, "iat": 10}',
        '{"exp": 10, "iat": 11}',
        '{"exp": 10, "iat": null}',
        '{"exp": -5, "iat": -4}',
        f'{{"exp": {10 * YEAR_S + 1}, "iat": 0}}',
        "[" * 10_000,
        "{",
        "",
    ],
)
def test_a_payload_that_describes_no_pod_sensible_gives_none(payload: str) -> None:
    assert lifetime_s(jwt(payload), server_now=5.0) is None


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b", "a.b.c.d.e", "..", "a.!!!!.c", "a.é.c", "a.\ud800.c", "a.QQ=.c"]
)
def test_an_opaque_token_gives_none(token: str) -> None:
    assert lifetime_s(token, server_now=0.0) is None


def test_bytes_that_are_not_utf_8_give_none() -> None:
    assert lifetime_s(jwt(b'{"exp": 10, "iat": 1, "x": "\xff"}')) is None


def test_a_huge_token_is_not_looked_into() -> None:
    claims = {"exp": 10, "iat": 0}
    assert lifetime_s(jwt(json.dumps(claims))) == 10.0
    assert lifetime_s(jwt(json.dumps({**claims, "x": "y" * 16_384}))) is None


# Sabotage: drop any of the excepts.
@settings(max_examples=200, deadline=None, print_blob=True)
@given(st.text() | st.binary().map(jwt))
def test_no_token_raises(token: str) -> None:
    lifetime_s(token, server_now=1e9)
