"""JSON is taken strictly, and whatever is wrong with it is a ProtocolError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync.errors import ProtocolError
from emasync.wire.json_parser import parse_json


def test_a_plain_value_is_parsed() -> None:
    assert parse_json(b' {"a": [1, "\\u00e9", null, true]}\n') == {"a": [1, "é", None, True]}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not valid JSON"),
        (b"<html>", "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),  # a BOM
        (b'"\xff"', "not valid UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not valid UTF-8"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"x": [{"a": 1, "\\u0061": 2}]}', "twice"),  # the same key in another spelling
        (b'{"size": NaN}', "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"9" * 5000, "cannot be read"),
    ],
)
def test_what_is_not_strict_json_is_a_protocol_error(data: bytes, why: str) -> None:
    # Sabotage: drop object_pairs_hook, parse_constant or one `except`: its rows fail.
    with pytest.raises(ProtocolError, match=why):
        parse_json(data)


def test_a_listing_of_300_nested_folders_is_still_read() -> None:
    depth = 300
    value = parse_json(b'{"contents":[' * depth + b"]}" * depth)
    for _ in range(depth - 1):
        value = value["contents"][0]
    assert value == {"contents": []}


def test_the_error_does_not_drag_the_parser_s_along() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_json(b'{"password": "canary" x')
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        parse_json(data)
    except ProtocolError:
        pass
