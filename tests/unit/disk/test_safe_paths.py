from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync.disk import case_fold_key, local_parts, name_problem
from emasync.errors import UnsafePathError
from emasync.model import RemotePath

DEVICES = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"] + [
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789¹²³"
]

REFUSED = {
    "empty": [""],
    "means": [".", ".."],
    "separator": ["a/b", "/a", "a/", "/", "..\\a", "a\\b", "\\", "\\\\host\\share", "a/../b"],
    "NUL": ["\0", "a\0", "a\0.txt"],
    "control": [f"a{chr(code)}b" for code in [*range(1, 0x20), *range(0x7F, 0xA0)]] + ["a\n", "\tb", "\x1b[31m"],
    "invisible": [
        f"a{char}b.txt"
        for char in "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
        "\u2060\u2061\u2066\u2067\u2068\u2069\ufeff\ufff9\U000e0041\U000e007f"
    ],
    "line": ["a\u2028b"],
    "paragraph": ["a\u2029b"],
    "surrogate": ["a\ud800", "\udfffb", "\udc80"],
    "colon": ["C:", "C:a", "a.txt:stream", "a::$DATA", ":"],
    "ends in": ["a.", "a ", "...", " ", "a. .", "a.txt ", ".. "],
    "device": DEVICES
    + [name.lower() for name in DEVICES]
    + [f"{name}.txt" for name in DEVICES]
    + [f"{name.title()}.tar.gz" for name in DEVICES]
    + ["nul .txt", "com1  .a"],
    "starts with": [".emasync-", ".emasync-0.part", ".EMASYNC-state", ".ema\u017fync-x"],
    "longer": ["a" * 256, "é" * 128, "\U0001f600" * 64],
    "NFKC": [
        "\uff0e\uff0e",  # fullwidth dots
        "a\uff0fb",
        "a\uff3cb",
        "C\uff1aa",
        "\u2100",  # a/c as one character
        "\u2024",  # one dot leader
        "\u2025",  # two dot leader: ..
        "a\u2026",  # ends in ...
        "a\u3000",
        "\uff23\uff2f\uff2e",
        "\uff2e\uff35\uff2c.txt",
        "CO\u2098\u00b9".replace("\u2098", "\uff2d"),
        "COM\u2081",
        "\uff0eemasync-x",
    ],
}


@pytest.mark.parametrize(("reason", "name"), [(reason, name) for reason, names in REFUSED.items() for name in names])
def test_a_hostile_name_is_refused_with_its_reason(reason: str, name: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert reason in problem
    assert problem.isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "Dockerfile", "a b", " a", ".hidden", "..a", "a..b", "…x", "é.txt", "e\u0301.txt", "日本語", "\U0001f680",
        "console", "com10", "com0", "nullable", "auxiliary.txt", ".con", "a.nul", "-rf", "*", "a?b", "$HOME", "ﬁ",
        "½", "~", "a" * 255, "é" * 127, ".emasync", "emasync-",
    ],
)  # fmt: skip
def test_a_harmless_name_passes(name: str) -> None:
    assert name_problem(name) is None


# Sabotage: drop the NFKC half of name_problem, or any key of _CATEGORIES.
@given(st.text(st.characters(codec=None), max_size=12))
def test_a_name_that_passes_is_harmless_in_every_reading(name: str) -> None:
    if name_problem(name) is not None:
        return
    for reading in (name, unicodedata.normalize("NFKC", name), unicodedata.normalize("NFC", name)):
        assert reading not in ("", ".", "..")
        assert not set(reading) & set("/\\:\0")
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in reading)
        assert not reading.endswith((".", " "))
    assert name.encode()  # and it can be written


def test_the_parts_of_a_path_are_its_names() -> None:
    assert local_parts(RemotePath("/results/./run 1//out.txt")) == ("results", "run 1", "out.txt")


@pytest.mark.parametrize("path", ["../../etc/passwd", "a/../b", "a/..", "a/b\\c", "ok/NUL/x", "\u202egpj.exe"])
def test_the_error_names_the_part_the_reason_and_the_way_out(path: str) -> None:
    with pytest.raises(UnsafePathError) as caught:
        local_parts(RemotePath(path))
    assert caught.value.name in path
    assert caught.value.reason == name_problem(caught.value.name)
    assert "em.files.read" in str(caught.value)
    assert str(caught.value).isprintable()
    assert isinstance(caught.value, ValueError)


def test_the_root_is_no_file() -> None:
    with pytest.raises(UnsafePathError, match="root of the volume"):
        local_parts(RemotePath("/./"))


@pytest.mark.parametrize(
    ("one", "other"),
    [("README", "readme"), ("caf\u00e9", "cafe\u0301"), ("STRASSE", "straße"), ("\u212a", "k"), ("A/É", "a/e\u0301")],
)
def test_twins_share_a_key(one: str, other: str) -> None:
    assert case_fold_key(one) == case_fold_key(other)


def test_different_names_do_not_share_a_key() -> None:
    names = ["a", "b", "a/b", "ab", "e", "é", "file", "ﬁl", "1", "¹"]
    assert len({case_fold_key(name) for name in names}) == len(names)
