"""`safe`: nothing a server says can move a cursor, hide itself or start a line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync.model import safe

TRICKS = {
    "C0": "a\x07b",
    "newline": "a\nb",
    "DEL": "a\x7fb",
    "C1": "a\x9bb",
    "ESC": "\x1b[31mred",
    "bidi override": "exe\u202efdp.",
    "bidi isolate": "a\u2066b",
    "zero width": "a\u200bb",
    "BOM": "a\ufeffb",
    "lone surrogate": "a\udcffb",
    "line separator": "a\u2028b",
    "tag": "a\U000e0041b",
    "private use": "a\ue000b",
}


# Sabotage: take "Cf" out of _HIDDEN, and the bidi, zero-width and tag rows fail; "Cs" the surrogate.
@pytest.mark.parametrize("text", TRICKS.values(), ids=TRICKS.keys())
def test_what_does_not_simply_print_is_written_out(text: str) -> None:
    shown = safe(text)
    assert shown.isprintable()
    assert "\\x" in shown or "\\u" in shown or "\\U" in shown


def test_the_code_written_is_the_character_s_own() -> None:
    assert safe("\x1b") == "\\x1b"
    assert safe("\u202e") == "\\u202e"
    assert safe("\U000e0041") == "\\U000e0041"


def test_ordinary_text_in_any_script_stays_as_it_is() -> None:
    assert safe("Größe: 東京 [bold] \\n") == "Größe: 東京 [bold] \\n"


def test_a_long_text_is_cut_at_the_limit_with_an_ellipsis() -> None:
    assert safe("x" * 500) == "x" * 500
    assert safe("x" * 501) == "x" * 499 + "…"
    assert len(safe("\x00" * 400)) == 500


def test_what_is_no_text_is_shown_as_text() -> None:
    assert safe(42) == "42"


@given(st.text())
def test_nothing_hidden_survives_in_any_text(text: str) -> None:
    # Sabotage: return `raw[:limit]`.
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not any(unicodedata.category(char) in hidden for char in safe(text))
    assert len(safe(text, limit=20)) <= 20
