"""Base64 in pieces: the standard library's answer, or an error."""

from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emasync.errors import ProtocolError
from emasync.wire.base64_decoder import Base64Decoder


def decode(*pieces: bytes) -> bytes:
    stream = Base64Decoder()
    out = b"".join([stream.feed(piece) for piece in pieces])
    stream.finish()
    return out


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


# Sabotage: keep nothing in `_remainder`, or do not put it before the next piece.
@settings(max_examples=300, deadline=None, print_blob=True)
@given(data=st.binary(max_size=300), places=st.lists(st.integers(min_value=0), max_size=12))
def test_any_split_decodes_like_the_standard_library(data: bytes, places: list[int]) -> None:
    assert decode(*cut(base64.b64encode(data), places)) == data


# Sabotage: validate=False, or drop the check of the bits behind the last byte.
@settings(max_examples=400, deadline=None, print_blob=True)
@given(
    text=st.text(alphabet="AQRg+/=-_ \n\x00é", max_size=12).map(str.encode),
    places=st.lists(st.integers(min_value=0), max_size=4),
)
def test_only_what_the_encoder_writes_is_decoded(text: bytes, places: list[int]) -> None:
    try:
        out = decode(*cut(text, places))
    except ProtocolError:
        return
    assert base64.b64encode(out) == text


def test_byte_by_byte_gives_the_same_bytes() -> None:
    data = bytes(range(256))
    assert decode(*(bytes((char,)) for char in base64.b64encode(data))) == data


def test_any_kind_of_buffer_is_taken_and_not_kept() -> None:
    buffer = bytearray(b"QUJDRE")
    stream = Base64Decoder()
    first = stream.feed(memoryview(buffer))
    buffer.clear()  # raises BufferError if the stream still held it
    assert first + stream.feed(bytearray(b"VG")) == b"ABCDEF"


def test_nothing_is_a_whole_base64_text() -> None:
    assert decode() == decode(b"", b"") == b""


@pytest.mark.parametrize(
    "text",
    [
        b"QUJD\n",
        b"QU JD",
        b"\nQUJD",
        b"\n\n\n\nQUJD",
        b"QUJD----QUJD",
        b"-_-_",
        b"QUJDQQ",
        b"Q",
        b"Q===",
        b"====",
        b"QQ=Q",
        b"QQ==QQ==",
        b"QQ==Q",
        b"QQ===",
        b"QUI=A",
        b"QR==",
        b"QUJ=",
        b"QUJD\x00\x00\x00\x00",
        "QUé".encode(),
    ],
)
def test_what_is_not_strict_base64_is_refused_whole_and_byte_by_byte(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(text)
    with pytest.raises(ProtocolError):
        decode(*(bytes((char,)) for char in text))


def test_the_error_says_where_and_not_what() -> None:
    stream = Base64Decoder()
    stream.feed(b"QUJDQ")
    with pytest.raises(ProtocolError, match=r"at character 9$") as caught:
        stream.feed(b"UJDQ!BC")
    assert "!" not in str(caught.value)


def test_the_end_inside_a_quad_says_after_how_many_characters() -> None:
    with pytest.raises(ProtocolError, match="after 6 characters"):
        decode(b"QUJDQQ")
