from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync.simulator.multipart import (
    MultipartError,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
    stored_name,
)

from .raw_client import BOUNDARY, multipart

Part = tuple[str, str | None, bytes, bool]


def parse(pieces: list[bytes], *, boundary: str = BOUNDARY) -> list[Part]:
    """The parts as (name, file name, data, complete)."""
    parser, parts = MultipartParser(boundary.encode()), list[Part]()
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, PartBegin):
                parts.append((event.name, event.filename, b"", False))
                continue
            name, filename, data, _ = parts[-1]
            more = event.data if isinstance(event, PartData) else b""
            parts[-1] = (name, filename, data + more, isinstance(event, PartEnd))
    return parts


BODY = multipart([("a.txt", b"one\r\n--b0undar"), ("empty", b""), ("c", b"\r\n\r\n")], dest_path="x/y")
PARTS: list[Part] = [
    ("dest_path", None, b"x/y", True),
    ("files", "a.txt", b"one\r\n--b0undar", True),
    ("files", "empty", b"", True),
    ("files", "c", b"\r\n\r\n", True),
]


def test_a_body_comes_apart_whole_and_byte_by_byte() -> None:
    assert parse([BODY]) == PARTS
    # Sabotage: keep one byte less of the tail in `_seek_mark`, and a mark that is cut in two is missed.
    assert parse([BODY[i : i + 1] for i in range(len(BODY))]) == PARTS
    assert parse([b"preamble\r\n" + BODY + b"junk behind the end"]) == PARTS


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.lists(st.integers(0, 400), max_size=8))
def test_any_cut_gives_the_same_parts(contents: list[bytes], cuts: list[int]) -> None:
    contents = [data for data in contents if f"--{BOUNDARY}".encode() not in data]
    body = multipart([(f"f{number}", data) for number, data in enumerate(contents)])
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(pieces) == [("files", f"f{number}", data, True) for number, data in enumerate(contents)]


def test_a_part_ends_only_with_its_mark() -> None:
    for cut in range(len(BODY)):
        ended = [part for part in parse([BODY[:cut]]) if part[3]]
        # Sabotage: end the part that is open when the body ends.
        assert ended == PARTS[: max(0, BODY[:cut].count(f"\r\n--{BOUNDARY}".encode()))]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\dir\\a.txt", "a.txt"),
        ("a&amp;b", "a&b"),
        ("a&#47;b", "b"),
        ("a\u202eb\x07", "ab"),
        ("..", ""),
        (".", ""),
        ("dir/", ""),
        ("ü 1%20.bin", "ü 1%20.bin"),
    ],
)
def test_names_are_kept_as_django_keeps_them(sent: str, kept: str) -> None:
    assert stored_name(sent) == kept


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('form-data; name="files"; filename="a\\"b;c.txt"', 'a"b;c.txt'),
        ("form-data; name=files; filename=plain", "plain"),
        ("form-data; name=\"files\"; filename*=UTF-8''%C3%BC.txt", "ü.txt"),
        ('form-data; name="files"; filename="ü"', "ü"),
    ],
)
def test_every_spelling_of_a_file_name_is_read(header: str, name: str) -> None:
    body = f"--{BOUNDARY}\r\ncontent-disposition: {header}\r\nContent-Type: x/y\r\n\r\n.\r\n--{BOUNDARY}--".encode()
    assert parse([body]) == [("files", name, b".", True)]


@pytest.mark.parametrize(
    "body", [b"--b0undaryXY", b"--b0undary\r\nX: y\r\n\r\n", b"--b0undary\r\n" + b"x" * 20_000], ids=range(3)
)
def test_nonsense_is_an_error_and_not_a_crash(body: bytes) -> None:
    with pytest.raises(MultipartError):
        parse([body])


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=x; boundary="a b"', b"a b"),
        ("multipart/form-data", None),
        ("application/json; boundary=abc", None),
        ("", None),
    ],
)
def test_the_boundary_is_found(kind: str, boundary: bytes | None) -> None:
    assert boundary_of(kind) == boundary
