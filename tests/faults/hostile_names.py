"""Names that a hostile server may use for its files, made by families, and at random from the same dangerous parts.

Owns: the names and what must become of each. Imports nothing of emasync: it judges emasync's rules from outside.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Verdict = Literal["refuse", "inside"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """A name. `refuse`: no file may come of it. `inside`: if a file comes of it, it lies below the destination."""

    name: str
    family: str
    verdict: Verdict


_OUT: Final = ("outside/canary", "etc/passwd", "x", ".ssh/authorized_keys")
_CONTROLS: Final = (*range(0x01, 0x20), 0x7F, 0x80, 0x85, 0x8D, 0x9B, 0x9F)
_DIRECTIONS: Final = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c"
_INVISIBLE: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u2028\u2029\U000e0041"
_SURROGATES: Final = "\ud800\udbff\udc00\udc80\udcff\udfff"
_DEVICES: Final = (
    *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"),
    *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789\u00b9\u00b2\u00b3"),
)
_COMPATIBLE: Final = (  # what NFKC turns into a separator, a dot folder, a colon or a device
    *("\uff0e\uff0e", "\uff0e", "\u2025", "..\uff0fx", "a\uff0fb", "a\uff3cb", "a\u2100b", "a\u2101b", "a\u2105b"),
    *("a\u2106b", "C\uff1ax", "C\ufe55x", "C\ufe13x", "x\ufe52", "x\u2024", "\uff23\uff2f\uff2e", "\uff2e\uff35\uff2c"),
    *("\U0001d402\U0001d40e\U0001d40d", "\u24b8\u24c4\u24c3", "LPT\uff11", "\uff43\uff4f\uff4d\u2460", "NU\u2112"),
    *(".\uff45masync-x", "\uff0eemasync-x.part", "x\u3000", "x\u00a0", "\ufe68x", "\u2025\uff0fx", "\u2026"),
)
_OURS: Final = (
    *(".emasync-0123456789abcdef.part", ".emasync-", ".EMASYNC-x", ".Emasync-state", ".emasync-x/y", "a/.emasync-z"),
    *(".emasync-journal.sqlite3", "\u002eemasync-lock"),
)
_CODED: Final = (
    *("%2e%2e%2foutside", "..%2foutside%2fcanary", "%2fetc%2fpasswd", "..%5coutside", "%252e%252e%252fx", "%00x"),
    *("&sol;etc&sol;passwd", "&#47;etc&#47;passwd", "..&#x2f;x", "&period;&period;", "&bsol;x", "&lowbar;&NewLine;"),
    *("..%c0%af..%c0%afx", "%u002e%u002e%u2215x", "\\u002e\\u002e/x"[2:], "=?utf-8?b?Li4v?=", "~", "~root", "-rf"),
    *("$HOME", "${PATH}", "`id`", "$(id)", "|id", ";id", "a b", "'", '"', "*", "?", "[a]", "{a,b}", "!x", "#x", "=x"),
    *("\u2215etc", "..\u2215x", "..\u2044x", "\u29f8x", "\u29f5x", "\u3014x", "\U0001f4c1"),
)


def families() -> list[Hostile]:
    """All fixed names, some 500; no two alike."""
    found: dict[str, Hostile] = {}
    for hostile in _fixed():
        found.setdefault(hostile.name, hostile)
    return list(found.values())


def _fixed() -> Iterator[Hostile]:
    def each(family: str, verdict: Verdict, names: list[str]) -> Iterator[Hostile]:
        return (Hostile(name=name, family=family, verdict=verdict) for name in names)

    ups = [f"{'../' * depth}{out}" for depth in (1, 2, 3, 8, 40) for out in _OUT]
    yield from each("parent", "refuse", [*ups, "..", "../", "a/..", "a/../../x", "./..", ".//..//x", "a/b/../../../x"])
    yield from each("this", "inside", [".", "./", "a/.", "./x", "a/./b", "a//b", "//", "///x"])
    yield from each("absolute", "inside", [f"{slashes}{out}" for slashes in ("/", "//", "/./") for out in _OUT])
    winds = [f"..\\{out}" for out in _OUT] + [
        "a\\b",
        "\\x",
        "\\\\server\\share",
        "..\\..\\x",
        "a/..\\..\\x",
        "\\",
        "x\\",
    ]
    yield from each("backslash", "refuse", winds)
    drives = ["C:", "C:x", "C:\\x", "C:/x", "c:..\\x", "x:stream", "x::$DATA", "a/C:x", ":", "file:///etc/passwd"]
    yield from each("colon", "refuse", drives)
    yield from each("nul", "refuse", ["\0", "x\0", "\0x", "x\0/../y", "x.txt\0.png", "a/b\0c", "../x\0"])
    yield from each("control", "refuse", [f"a{chr(code)}b" for code in _CONTROLS] + ["\n", "\x1b[2J", "x\r\ny: z"])
    yield from each("direction", "refuse", [f"x{mark}gnp.exe" for mark in _DIRECTIONS])
    yield from each("invisible", "refuse", [f"x{mark}y" for mark in _INVISIBLE] + list(_INVISIBLE))
    yield from each("surrogate", "refuse", [f"x{mark}" for mark in _SURROGATES] + ["\udc2e\udc2e\udc2f", "a/\ud800b"])
    yield from each("device", "refuse", [text for device in _DEVICES for text in _spellings(device)])
    tails = [f"x{tail}" for tail in (".", "..", " ", ". ", " .", "...", "   ")]
    yield from each("tail", "refuse", [*tails, "...", "....", " ", "  ", "a /b", "a./b", "..a/x. "])
    yield from each("compatible", "refuse", list(_COMPATIBLE))
    yield from each("long", "refuse", ["x" * 256, "\u00fc" * 128, "\U0001f680" * 64, f"a/{'y' * 300}", "z" * 5000])
    yield from each("long", "inside", ["a/" * 60 + "x", "x" * 255, "\u00fc" * 127])
    yield from each("ours", "refuse", list(_OURS))
    yield from each("coded", "inside", list(_CODED))
    yield from each(
        "twin", "inside", ["Twin", "twin", "TWIN", "\u00e9", "e\u0301", "\u212a", "k", "stra\u00dfe", "STRASSE"]
    )


def _spellings(device: str) -> list[str]:
    return [device, device.lower(), f"{device}.txt", f"{device.title()} .tar.gz", f"a/{device}", f"{device}/x"]


_BAD: Final = (
    *("..", "/../", "\\", ":", "\0", "\x1b", "\n", "\u202e", "\u2066", "\ud800", "\udcff", "\u200b", "\u2028"),
    *("\uff0f", "\uff3c", "\uff1a", "\u2100", "\x85", "\x7f", "\\..\\", "C:\\", "::$DATA"),
)
_GOOD: Final = ("a", "b", "results", "x.txt", "\u00fc", "\u65e5\u672c", " ", "-", "_", "1", "%2e", "&sol;", "~", "'")


def random_names(rng: random.Random, count: int) -> Iterator[Hostile]:
    """`count` names that must all be refused: each holds, in some part, at least one thing no name may hold."""
    for _ in range(count):
        before = [rng.choice(_GOOD) for _ in range(rng.randrange(4))]
        after = [rng.choice(_GOOD) for _ in range(rng.randrange(4))]
        match rng.randrange(8):
            case 0:
                name = rng.choice(_spellings(rng.choice(_DEVICES)))
                name = "".join(char.upper() if rng.random() < 0.5 else char for char in name)
            case 1:
                name = f"{''.join(before)}x{rng.choice('. ')}"
            case 2:
                name = "/".join([*before, "..", *after])
            case 3:
                name = f"{'/'.join(before)}/.{_shuffled('emasync-', rng)}{''.join(after)}x".lstrip("/")
            case 4:
                name = "".join(before) + "y" * rng.randrange(256, 600)
            case _:
                bad = rng.choice(_BAD)
                name = f"{''.join(before)}{bad if bad != '..' else '/../'}{''.join(after)}"
        yield Hostile(name=name, family="random", verdict="refuse")


def _shuffled(text: str, rng: random.Random) -> str:
    return "".join(char.upper() if rng.random() < 0.5 else char for char in text)
