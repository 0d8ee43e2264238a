"""The JSON envelope: what the standard library makes of the whole, or an error; never other bytes."""

from __future__ import annotations

import base64
import itertools
import json
import random
import tracemalloc
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emasync.config import Limits
from emasync.errors import ProtocolError
from emasync.wire.json_envelope import EnvelopeDecoder, ResponseMetadata

SHA = "0123456789abcdef" * 4
PLAIN = {"filename": "a.txt", "content": "aGVsbG8=", "size": 5, "hash": SHA}


def read(*pieces: bytes) -> tuple[bytes, ResponseMetadata]:
    reader = EnvelopeDecoder(Limits())
    out = b"".join([reader.feed(piece) for piece in pieces])
    return out, reader.finish()


def each_byte(wire: bytes) -> list[bytes]:
    return [wire[at : at + 1] for at in range(len(wire))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


def refused(wire: bytes, *, match: str | None = None) -> None:
    with pytest.raises(ProtocolError, match=match):
        read(wire)
    with pytest.raises(ProtocolError, match=match):
        read(*each_byte(wire))


def reference(wire: bytes) -> bytes:
    """The content by whole-text means; ValueError, KeyError or TypeError if there is none."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError
        return dict(pairs)

    def refuse(name: str) -> NoReturn:
        raise ValueError(name)

    text = json.loads(wire.decode(), object_pairs_hook=unique, parse_constant=refuse)["content"]
    plain = text.replace("\r", "").replace("\n", "").encode("ascii")
    data = base64.b64decode(plain, validate=True)
    if base64.b64encode(data) != plain:
        raise ValueError("not the canonical encoding")
    return data


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """`text` as a JSON string, some characters as escapes."""
    rand = random.Random(draw(st.integers(0, 2**32)))
    share = draw(st.sampled_from([0.0, 0.0, 0.1, 1.0]))
    out = []
    for char in text:
        if char in "\r\n":
            out.append({"\r": "\\r", "\n": "\\n"}[char] if rand.random() < 0.5 else f"\\u{ord(char):04x}")
        elif char == "/" and share and rand.random() < 0.7:
            out.append("\\/")
        elif rand.random() < share:
            out.append(f"\\u{ord(char):04X}" if rand.random() < 0.5 else f"\\u{ord(char):04x}")
        else:
            out.append(char)
    return f'"{"".join(out)}"'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.just("content"), inner, max_size=3)
    ),
    max_leaves=8,
)
space = st.text(alphabet=" \t\r\n", max_size=3)
file_names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.just('"content":"🛰\\')


@st.composite
def envelopes(draw: st.DrawFn) -> tuple[bytes, bytes, ResponseMetadata]:
    """An envelope as it might be sent, the file in it, and what it claims."""
    data = draw(st.binary(max_size=120))
    content = draw(st.sampled_from([base64.b64encode, base64.encodebytes]))(data).decode()
    if draw(st.booleans()):
        content = content.replace("\n", "\r\n")
    ascii_only = draw(st.booleans())
    name, size = draw(file_names), draw(st.integers(0, 2**63))
    sha = draw(st.sampled_from([SHA, SHA.upper()]))
    extra = draw(
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), json_values, max_size=3)
    )
    members = [
        (draw(spelled("content")), draw(spelled(content))),
        ('"filename"', json.dumps(name, ensure_ascii=ascii_only)),
        ('"size"', draw(st.sampled_from([f"{size}", f'"{size}"']))),
        ('"hash"', draw(spelled(sha))),
        *((json.dumps(f"x{key}"), json.dumps(value)) for key, value in extra.items()),
    ]
    order = draw(st.permutations(members))
    gap = [draw(space) for _ in range(6)]
    inside = f"{gap[1]},{gap[2]}".join(f"{key}{gap[3]}:{gap[4]}{value}" for key, value in order)
    wire = f"{gap[0]}{{{gap[5]}{inside}{gap[1]}}}{gap[0]}".encode()
    return wire, data, ResponseMetadata(filename=name, size=size, sha256=SHA)


# Sabotage: drop the unescaping, drop `_cut_escape`, or forget the base64 remainder.
@settings(max_examples=600, deadline=None, print_blob=True)
@given(envelope=envelopes(), places=st.lists(st.integers(min_value=0), max_size=10))
def test_every_legal_envelope_gives_its_file_however_it_is_cut(
    envelope: tuple[bytes, bytes, ResponseMetadata], places: list[int]
) -> None:
    wire, data, facts = envelope
    assert reference(wire) == data
    assert read(*cut(wire, places)) == (data, facts)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(envelopes())
def test_every_legal_envelope_gives_its_file_byte_by_byte(envelope: tuple[bytes, bytes, ResponseMetadata]) -> None:
    wire, data, facts = envelope
    assert read(*each_byte(wire)) == (data, facts)


# Sabotage: decode base64 with validate=False, or do not parse the frame at the end.
@settings(max_examples=700, deadline=None, print_blob=True)
@given(
    envelope=envelopes(),
    edits=st.lists(
        st.tuples(
            st.sampled_from(["delete", "insert", "replace"]),
            st.integers(min_value=0),
            st.sampled_from(
                [b"\\", b'"', b"u", b"n", b"=", b"-", b" ", b"\n", b"{", b"}", b"[", b",", b":", b"0", b"A"]
            )
            | st.binary(min_size=1, max_size=2),
        ),
        min_size=1,
        max_size=3,
    ),
    places=st.lists(st.integers(min_value=0), max_size=6),
)
def test_a_damaged_envelope_is_an_error_or_still_what_the_reference_reads(
    envelope: tuple[bytes, bytes, ResponseMetadata], edits: list[tuple[str, int, bytes]], places: list[int]
) -> None:
    wire = envelope[0]
    for kind, place, new in edits:
        at = place % (len(wire) + 1)
        wire = wire[:at] + (b"" if kind == "delete" else new) + wire[at + (kind != "insert") :]
    try:
        out, _ = read(*cut(wire, places))
    except ProtocolError:
        return
    assert out == reference(wire)


def test_the_documented_envelope_is_read() -> None:
    data, facts = read(json.dumps(PLAIN).encode())
    assert data == b"hello"
    assert facts == ResponseMetadata(filename="a.txt", size=5, sha256=SHA)


# Sabotage: return what is left of a file when the body ends early.
def test_every_cut_body_is_a_protocol_error() -> None:
    wire = json.dumps({**PLAIN, "filename": 'é"\\'}).encode()
    for length in range(1, len(wire)):
        with pytest.raises(ProtocolError, match="ends in the middle"):
            read(wire[:length])


@pytest.mark.parametrize("junk", [b"x", b"{}", b'""', b"}", b",", b"\x00", b"\xff", b"null"])
def test_junk_after_the_envelope_is_refused(junk: bytes) -> None:
    wire = json.dumps(PLAIN).encode()
    assert read(wire + b" \r\n\t")[0] == b"hello"
    refused(wire + junk)


@pytest.mark.parametrize(
    ("wire", "match"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not one JSON object"),
        (b'"content"', "not one JSON object"),
        (b'<html><a href="x">{', "not one JSON object"),
        (b'\xef\xbb\xbf{"content":""}', "JSON"),
        ('{"content":""}'.encode("utf-16"), None),
        (b"{}", "no content"),
        (b'{"a":{"content":"QUJD"}}', "no content"),
        (b'[{"content":"QUJD"}]', "not one JSON object"),
        (b'{"content":null}', "not a string"),
        (b'{"content":5}', "not a string"),
        (b'{"content":["QUJD"]}', "not a string"),
        (b'{"content":{"content":"QUJD"}}', "not a string"),
        (b'{"content":null "QUJD"}', "JSON"),
        (b'{"content"::"QUJD"}', "JSON"),
        (b'{"content" "QUJD"}', "JSON"),
        (b'{"content","QUJD"}', "not a string"),
        (b'{"content":"QUJD","content":"QUJD"}', "two contents"),
        (b'{"content":"QUJD","\\u0063ontent":"QUJD"}', "two contents"),
        (b'{"content":"","a":1,"a":2}', "twice"),
        (b'{"content":"","a":NaN}', "NaN"),
        (b'{"content":"","a":-Infinity}', "Infinity"),
        (b'{"content":"",}', "JSON"),
        (b'{"content":"" "a":1}', "JSON"),
        (b"{'content':''}", None),
        (b'{"content":"","a":[}', "JSON|middle"),
        (b'{"content":"","a":"\n"}', "JSON"),
        (b'{"content":"","a":"\xff"}', "UTF-8"),
        (b'{"content":"","a":"\\x"}', "JSON"),
        (b'{"content":"QUJD QUJD"}', "base64"),
        (b'{"content":"QUJD\nQUJD"}', "base64"),
        (b'{"content":"QUJ"}', "group of four"),
        (b'{"content":"QQ==QQ=="}', "base64"),
        (b'{"content":"QUJD","size":3.0}', "size"),
    ],
)
def test_what_is_no_envelope_is_refused_whole_and_byte_by_byte(wire: bytes, match: str | None) -> None:
    refused(wire, match=match)


@pytest.mark.parametrize(
    "spelling",
    [rb"\u0051UJD", rb"QUJD\n", rb"\r\nQU\nJD\r\n", rb"Q\u000aUJD", rb"QU\u000DJ\u0044", rb"\u0051\u0055\u004a\u0044"],
)
def test_escapes_inside_content_are_read(spelling: bytes) -> None:
    wire = b'{"content":"' + spelling + b'"}'
    assert read(wire)[0] == read(*each_byte(wire))[0] == b"ABC"


def test_escaped_slash_and_plus_are_read() -> None:
    assert read(rb'{"content":"\/+\u002b\u002F"}')[0] == base64.b64decode("/++/")


# Sabotage: drop the check for two backslashes, or replace \n before \u.
@pytest.mark.parametrize(
    "spelling",
    [
        rb"QUJD\t",
        rb"QUJD\"",
        rb"QUJ\\D",
        rb"\\u0051UJD",
        rb"\\nQUJD",
        rb"\\nrQUJD",
        rb"\\n/QUJ",
        rb"\\u006eQUJD",
        rb"QUJD\\",
        rb"\u00\n51UJD",
        rb"\u00 51UJD",
        rb"\u005cnQUJD",
        rb"\u0020QUJD",
        rb"\u0151UJD",
        rb"\ud83d\ude00",
        rb"\u0000QUJ",
        rb"\xQUJD",
        rb"\u51",
        rb"\N",
        rb"QUJD\u005c",
        rb"\\/QUJ",
    ],
)
def test_an_escape_that_is_no_base64_is_refused(spelling: bytes) -> None:
    refused(b'{"content":"' + spelling + b'"}')


@pytest.mark.parametrize(
    ("member", "size"),
    [('"size":0', 0), ('"size":"12345"', 12345), ('"size":null', None), ('"b":1', None)],
)
def test_the_size_is_a_number_or_its_digits_or_missing(member: str, size: int | None) -> None:
    assert read(f'{{"content":"",{member}}}'.encode())[1].size == size


@pytest.mark.parametrize(
    "size", ["-1", '"-1"', "1.5", "1e3", "true", '""', '"5 "', '"٣"', "[5]", f'"{"9" * 21}"', "9" * 5000]
)
def test_a_size_that_is_no_number_of_bytes_is_refused(size: str) -> None:
    refused(f'{{"content":"","size":{size}}}'.encode())


@pytest.mark.parametrize("sha", ["null", '""'])
def test_an_empty_hash_claims_nothing(sha: str) -> None:
    assert read(f'{{"content":"","hash":{sha}}}'.encode())[1].sha256 is None


@pytest.mark.parametrize("sha", ["5", "false", f'"{SHA}0"', f'"{SHA[1:]}"', f'"{"g" * 64}"', f'"{SHA}\\n"', '"md5"'])
def test_a_hash_that_is_no_sha256_is_refused(sha: str) -> None:
    refused(f'{{"content":"","hash":{sha}}}'.encode(), match="SHA-256")


def test_a_filename_may_hold_any_character_but_half_a_surrogate_pair() -> None:
    assert read(rb'{"content":"","filename":"\ud83d\ude80\u0000..\/x"}')[1].filename == "\U0001f680\x00../x"
    assert read(b'{"content":"","filename":null}')[1].filename is None
    refused(rb'{"content":"","filename":"\ud83d"}', match="filename")
    refused(b'{"content":"","filename":5}', match="filename")


def test_nesting_is_bounded() -> None:
    def nested(levels: int) -> bytes:
        return b'{"content":"","a":' + b"[" * levels + b"]" * levels + b"}"

    assert read(nested(Limits().json_depth - 1))[0] == b""
    refused(nested(Limits().json_depth), match="nested deeper")


# Sabotage: drop the check in `_keep`.
@pytest.mark.parametrize("filler", [b" ", b"x", b'"' + b"x" * 30 + b'",', b"\\n"])
def test_what_is_not_content_is_bounded(filler: bytes) -> None:
    reader = EnvelopeDecoder(Limits())
    reader.feed(b'{"a":["' if filler[:1] in (b"x", b"\\") else b'{"a":[')
    with pytest.raises(ProtocolError, match="65536 bytes"):
        for _ in range(70_000 // len(filler) // 10 + 1):
            reader.feed(filler * 10)


def test_an_error_text_in_place_of_a_file_is_handed_on() -> None:
    with pytest.raises(ProtocolError, match="no content") as caught:
        read(b'{"message":"file is gone"}')
    assert caught.value.detail == "file is gone"


def test_an_error_never_quotes_the_file() -> None:
    with pytest.raises(ProtocolError) as caught:
        read(b'{"content":"c2VjcmV0!c2VjcmV0"}')
    assert "c2Vj" not in f"{caught.value!r} {caught.value.__cause__!r}"


# Sabotage: collect the decoded pieces, or the content's text, anywhere in the reader.
def test_memory_does_not_grow_with_the_file() -> None:
    piece = base64.b64encode(bytes(range(256)) * 192)
    assert len(piece) == 65_536
    reader = EnvelopeDecoder(Limits())
    reader.feed(b'{"content":"A')  # off by one, so that every piece leaves a remainder
    tracemalloc.start()
    try:
        received = 0
        for _ in range(1024):
            received += len(reader.feed(piece))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    reader.feed(b'AAA"}')
    assert received == 1024 * 49_152
    assert peak < 1024 * 1024


# Sabotage: leave out the comparison with `_overrun`: such an answer never ends, and moves enough to be no stall.
@pytest.mark.parametrize("nothing", [b"\\n", b"\\r\\n", b"\\u000a", b"\\u000D"])
def test_escapes_that_stand_for_nothing_come_to_an_end(nothing: bytes) -> None:
    reader = EnvelopeDecoder(Limits())
    reader.feed(b'{"content": "' + b"QUJD" * 1000)
    with pytest.raises(ProtocolError, match="line breaks"):
        for _ in range(100):
            reader.feed(nothing * 1000)


# Sabotage: count escapes that stand for a character, too, or white space beyond what the file has of bytes alone.
@pytest.mark.parametrize("escape", [b"\\r\\n", b"\\u000d\\u000a"])
def test_a_file_of_short_lines_and_one_of_nothing_but_escapes_are_read(escape: bytes) -> None:
    data = bytes(range(256)) * 2000
    encoded = base64.b64encode(data)
    lines = escape.join(encoded[at : at + 76] for at in range(0, len(encoded), 76))
    assert read(b'{"content": "' + lines + b'"}')[0] == data
    escaped = b"".join(b"\\u%04x" % char for char in encoded)
    assert read(b'{"content": "' + escaped + b'"}')[0] == data


# Sabotage: leave out the comparison with `_METADATA_LIMIT`.
@pytest.mark.parametrize(
    "begin", [b"", b"{", b'{"content": "QQ=="', b'{"content": "QQ=="}', b'{"size": "', b'{"x": [1']
)
@pytest.mark.parametrize("more", [b" ", b",1"])
def test_what_is_beside_the_content_comes_to_an_end(begin: bytes, more: bytes) -> None:
    reader = EnvelopeDecoder(Limits())
    with pytest.raises(ProtocolError):
        reader.feed(begin)
        for _ in range(100):
            reader.feed(more * 1000)
