"""A listing read in pieces is what parsing the whole of it means, or an error where that is one."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emasync.config import Limits
from emasync.errors import ProtocolError
from emasync.model import FileTree
from emasync.wire.listing import ListingParser
from tests.unit.wire.listings import parsed_whole, read_listing

Facts = tuple[list[object], tuple[str, ...], frozenset[str]]

_NAMES = st.sampled_from(["a", "b", "é", "x y", 'q"', "}{", "][", "\\", "c/d", ".", "..", "", "\ud83d", "🚀"])
_SCALARS = st.sampled_from(["1", "-5", 7, 10**30, -3, 1.5, None, True, "", "2025-11-20-12-31"])


def _entries(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    odd = _SCALARS | st.lists(_SCALARS, max_size=2) | st.dictionaries(st.sampled_from(["name", "k"]), _SCALARS)
    fields = {
        "type": st.sampled_from(["file", "directory", 5]),
        "size": _SCALARS,
        "hash": _SCALARS,
        "time": _SCALARS,
        "contents": inner | odd,
        "data": inner | odd,
        "error": st.sampled_from([None, "", "EIO"]),
        "more": odd,
    }
    entry = st.fixed_dictionaries({"name": _NAMES}, optional=fields)
    return st.lists(entry, max_size=4)


_LISTS: st.SearchStrategy[list[Any]] = st.recursive(st.just([]), _entries, max_leaves=6)
_ANSWERS = st.fixed_dictionaries(
    {"data": _LISTS},
    optional={
        "message": st.text(max_size=5),
        "error": st.sampled_from([None, "", "E"]),
        "name": _NAMES,
        "contents": _LISTS,
        "more": st.recursive(_SCALARS, lambda one: st.lists(one, max_size=2)),
    },
)


def spelled(value: Any, rng: random.Random) -> str:
    """`value` as JSON with keys in any order, any white space and, now and then, escapes."""

    def gap() -> str:
        return rng.choice(("", "", "", " ", "\n\t", "\r  "))

    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        inside = ",".join(f"{gap()}{spelled(key, rng)}{gap()}:{spelled(one, rng)}" for key, one in items)
        return f"{gap()}{{{inside}{gap()}}}{gap()}"
    if isinstance(value, list):
        return f"{gap()}[{','.join(spelled(one, rng) for one in value)}{gap()}]{gap()}"
    if isinstance(value, str) and rng.random() < 0.3:
        return '"' + "".join(f"\\u{unit:04x}" for char in value for unit in _utf16(char)) + '"'
    return f"{gap()}{json.dumps(value)}{gap()}"


def _utf16(char: str) -> memoryview:
    return memoryview(char.encode("utf-16-le", "surrogatepass")).cast("H")


def damaged(text: str, rng: random.Random) -> str:
    """`text` with one character changed, missing, more, or twice the same part."""
    at = rng.randrange(len(text) + 1)
    more = (
        rng.choice('{}[],:" \\x0nN-') if rng.random() < 0.8 else rng.choice((',"name":"z"', "NaN", "{}", "[]", '"a"'))
    )
    return rng.choice((text[:at] + more + text[at + 1 :], text[:at] + text[at + 1 :], text[:at] + more + text[at:]))


def facts(tree: FileTree) -> Facts:
    return list(tree), tree.folders, tree.unknown_folders


def outcome(read: Any) -> Facts | None:
    """None for a ProtocolError."""
    try:
        return facts(read())
    except ProtocolError:
        return None


# Sabotage (each tried): `_value_end` does not wait for the end of a number; `_after_entry` goes on although the
# character is not there yet; `_FLAT` does not stop at brackets behind a string.
@settings(max_examples=400)
@given(answer=_ANSWERS, chance=st.integers(0, 2**32), damages=st.integers(0, 2))
def test_a_listing_in_pieces_is_the_listing_as_a_whole(answer: dict[str, Any], chance: int, damages: int) -> None:
    rng = random.Random(chance)
    text = spelled(answer, rng)
    for _ in range(damages):
        text = damaged(text, rng)
    data = text.encode("utf-8", "surrogatepass")
    expected = outcome(lambda: parsed_whole(text))
    marks = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(5)))
    assert outcome(lambda: read_listing(data, cuts=marks)) == expected
    assert outcome(lambda: read_listing(data, cuts=range(1, len(data)))) == expected


# Sabotage (each tried): `_key` does not compare keys; `_after_entry`, `_after_value` or `_colon` take any character.
@pytest.mark.parametrize(
    "text",
    [
        '{"data": [{"name": "a"},]}',
        '{"data": [,{"name": "a"}]}',
        '{"data": [{"name": "a"} {"name": "b"}]}',
        '{"data": [{"name": "a"};{"name": "b"}]}',
        '{"data": [{"name": "a", "contents": [];"size": 1}]}',
        '{"data"=[]}',
        '{"data": [{"name": "a", "name": "b"}]}',
        '{"data": [{"name": "a", "contents": [], "contents": []}]}',
        '{"data": [], "data": []}',
        '{"data": [], "\\u0064ata": []}',
        '{"data": [{"name": "a", "size": NaN}]}',
        '{"data": [{"name": "a", "contents": [], "size": Infinity}]}',
        '{"data": [{"name": "a\tb"}]}',
        '{"data": [{"name": "a", "contents": [], "x": 012}]}',
        '{"data": []} x',
        '{"data": []}{"data": []}',
        '{"data": []',
        '{"data": [],}',
        '{"data" []}',
        "{data: []}",
        '{"data": [{"name": "a"]}',
        '{"data": [}]}',
        '[{"name": "a"}]',
        "\ufeff{}",
        "",
    ],
)
def test_what_is_no_strict_json_is_a_protocol_error_in_pieces_too(text: str) -> None:
    assert outcome(lambda: parsed_whole(text)) is None
    assert outcome(lambda: read_listing(text)) is None
    assert outcome(lambda: read_listing(text, cuts=range(1, len(text.encode())))) is None


def test_text_that_is_no_utf8_is_a_protocol_error() -> None:
    data = b'{"data": [{"name": "\xff"}]}'
    for cuts in ((), range(1, len(data))):
        with pytest.raises(ProtocolError, match="UTF-8"):
            read_listing(data, cuts=cuts)


# Sabotage: leave out `self._needed`: 2,000 names of a megabyte would be looked through byte by byte, for hours.
def test_a_value_that_comes_byte_by_byte_is_not_looked_through_for_every_byte() -> None:
    reader = ListingParser(Limits())
    reader.feed(b'{"data": [{"name": "')
    began = time.process_time()
    for _ in range(100_000):
        reader.feed(b"x")
    assert time.process_time() - began < 5


_HOSTILE = {
    "lists": (b'{"data":[', b"[],"),
    "numbers": (b'{"data":[', b"1,"),
    "a name": (b'{"data":[{"name":"', b"xx"),
    "keys": (b'{"data":[{"contents":[],', b'"%07d":1,'),
    "fields": (b'{"data":[{', b'"a":1,'),
    "a value": (b'{"data":[{"contents":[],"x":', b"[1,"),
    "values": (b'{"data":[],"x":[', b"[],"),
    "words": (b'{"data":', b"99"),
    "depth": (b'{"data":[', b'{"contents":['),
    "files": (b'{"data":[', b'{"name":"a"},'),
    "folders": (b'{"data":[', b'{"name":"a","contents":[]},'),
}


# Sabotage (each tried): leave out the comparison with `_MAX_TEXT` in `_take` (a name, a value, words), in `_count`
# (keys), with `listing_entries` (files, folders).
@pytest.mark.parametrize("kind", _HOSTILE)
def test_an_endless_listing_of_any_kind_ends_in_bounded_memory(kind: str) -> None:
    begin, more = _HOSTILE[kind]
    reader = ListingParser(Limits(listing_entries=20_000))
    count = 65_536 // len(more)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            reader.feed(begin)
            for piece in range(100):
                each = (more % (piece * count + number) if b"%" in more else more for number in range(count))
                reader.feed(b"".join(each))
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()
