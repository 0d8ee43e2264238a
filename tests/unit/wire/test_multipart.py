"""The uplink body: its length, and what a parser like the server's makes of it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.parser import BytesFeedParser

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from emasync.errors import UnsafePathError
from emasync.wire.multipart import (
    Multipart,
    Part,
    arrival_name,
    multipart,
    name_problem,
    new_boundary,
    part_overhead,
)

BOUNDARY = new_boundary(lambda count: bytes(range(count)))

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40) | st.text(
    alphabet='ab"\\;=&amp;%/. \r\n', min_size=1, max_size=20
)


def body(made: Multipart, files: Sequence[bytes]) -> bytes:
    return b"".join([made.head(index) + data for index, data in enumerate(files)]) + made.tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    name: str
    filename: str | None
    data: bytes


def django_parameters(header: str) -> dict[str, str]:
    """As Django splits and un-escapes header parameters: it counts quotes to find the semicolons that count."""
    found: dict[str, str] = {}
    rest = ";" + header
    while rest[:1] == ";":
        rest = rest[1:]
        end = rest.find(";")
        while end > 0 and (rest.count('"', 0, end) - rest.count('\\"', 0, end)) % 2:
            end = rest.find(";", end + 1)
        end = len(rest) if end < 0 else end
        key, equals, value = rest[:end].strip().partition("=")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1].replace("\\\\", "\\").replace('\\"', '"')
        if equals:
            found[key.strip().lower()] = value
        rest = rest[end:]
    return found


def django_filename(sent: str) -> str | None:
    base = html.unescape(sent).rsplit("/")[-1].rsplit("\\")[-1]
    base = "".join([char for char in base if char.isprintable()])
    return None if base in {"", ".", ".."} else base


def received(sent: bytes) -> list[Received]:
    opening, *sections, closing = (b"\r\n" + sent).split(f"\r\n--{BOUNDARY}".encode())
    assert opening == b""
    assert closing == b"--\r\n"
    out = []
    for section in sections:
        header, _, data = section.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        assert len(header) < 1024  # Django reads no more of a part's headers
        disposition = header.split(b"\r\n")[0].decode().partition(":")[2]
        values = django_parameters(disposition)
        filename = django_filename(values["filename"]) if "filename" in values else None
        out.append(Received(name=values["name"], filename=filename, data=data))
    return out


# Sabotage: leave the quote in a name unescaped, or do not check `name_problem` first.
@settings(max_examples=300, deadline=None, print_blob=True)
@given(
    files=st.lists(st.tuples(names, st.binary(max_size=30)), min_size=1, max_size=4),
    fields=st.dictionaries(st.sampled_from(["dest_path", "pod_name", "pvc_name"]), st.text(max_size=20)),
)
def test_every_accepted_body_arrives_as_it_was_meant(files: list[tuple[str, bytes]], fields: Mapping[str, str]) -> None:
    parts = [Part(name=name, size=len(data)) for name, data in files]
    if any(name_problem(name) for name, _ in files):
        with pytest.raises(UnsafePathError):
            multipart(fields, parts, boundary=BOUNDARY)
        return
    made = multipart(fields, parts, boundary=BOUNDARY)
    sent = body(made, [data for _, data in files])
    assert len(sent) == made.length
    wanted = [Received(name=name, filename=None, data=value.encode()) for name, value in fields.items()]
    wanted += [Received(name="files", filename=name, data=data) for name, data in files]
    assert received(sent) == wanted


@settings(max_examples=200, deadline=None, print_blob=True)
@given(name=names, size=st.integers(min_value=0, max_value=2**40))
def test_the_overhead_of_a_part_is_never_more_than_said(name: str, size: int) -> None:
    assume(name_problem(name) is None)
    for boundary in ("x", BOUNDARY, "x" * 70):
        one = multipart({}, [Part(name=name, size=size)], boundary=boundary)
        two = multipart({}, [Part(name=name, size=size)] * 2, boundary=boundary)
        assert two.length - one.length <= size + part_overhead(name)


def test_the_standard_library_reads_the_same_body() -> None:
    files = {"Dockerfile": b"FROM scratch\n\r\n--", "empty": b"", "a 'b'.bin": bytes(range(256))}
    made = multipart(
        {"dest_path": "echo-test"},
        [Part(name=name, size=len(data)) for name, data in files.items()],
        boundary=BOUNDARY,
    )
    parser = BytesFeedParser()
    parser.feed(f"Content-Type: {made.content_type}\r\n\r\n".encode())
    parser.feed(body(made, list(files.values())))
    message = parser.close()
    assert not message.defects
    dest, *seen = [part for part in message.walk() if not part.is_multipart()]
    assert dest.get_payload() == "echo-test"
    assert dest.get_param("name", header="content-disposition") == "dest_path"
    assert {part.get_filename(): part.get_payload(decode=True) for part in seen} == files
    assert {part.get_content_type() for part in seen} == {"application/octet-stream"}
    assert {part.get_param("name", header="content-disposition") for part in seen} == {"files"}


def test_the_bytes_of_a_small_body_are_these() -> None:
    made = multipart({"dest_path": "d"}, [Part(name='é".txt', size=2)], boundary="B")
    assert made.content_type == "multipart/form-data; boundary=B"
    assert body(made, [b"hi"]) == (
        b'--B\r\nContent-Disposition: form-data; name="dest_path"\r\n\r\nd'
        b'\r\n--B\r\nContent-Disposition: form-data; name="files"; filename="\xc3\xa9\\".txt"'
        b"\r\nContent-Type: application/octet-stream\r\n\r\nhi\r\n--B--\r\n"
    )


@pytest.mark.parametrize(
    ("name", "arrives"),
    [
        ("a.txt", "a.txt"),
        (".env", ".env"),
        ('a";b.txt', 'a";b.txt'),
        ("ü 名.txt", "ü 名.txt"),
        ("50%25.txt", "50%25.txt"),
        ("a/b.txt", "b.txt"),
        ("c:\\b.txt", "b.txt"),
        ("a&amp;b", "a&b"),
        ("a&#47;b", "b"),
        ("a\r\nb", "ab"),
        ("a\u202eb", "ab"),
        ("a\xa0b", "ab"),
        ("", None),
        (".", None),
        ("..", None),
        ("a/", None),
        ("\n", None),
    ],
)
def test_a_name_arrives_as_the_server_stores_it(name: str, arrives: str | None) -> None:
    assert arrival_name(name) == arrives
    assert (name_problem(name) is None) is (name == arrives)


# Sabotage: let a name through that is not the same on both sides.
@settings(max_examples=300, deadline=None, print_blob=True)
@given(names)
def test_the_arrival_name_is_what_django_makes_of_it(name: str) -> None:
    assert arrival_name(name) == django_filename(name)


def test_a_name_must_be_utf_8_and_fit_a_file_system() -> None:
    assert name_problem("a" * 255) is None
    assert "256 bytes" in str(name_problem("é" * 128))
    assert name_problem("\udcff.txt") == "the name is not valid UTF-8"
    assert part_overhead("\udcff.txt") > 0


def test_a_refused_name_is_shown_without_its_control_characters() -> None:
    with pytest.raises(UnsafePathError) as caught:
        multipart({}, [Part(name="a\x1b[2Jb", size=0)], boundary="B")
    assert "\x1b" not in str(caught.value)
    assert caught.value.name == "a\x1b[2Jb"
    assert caught.value.reason


def test_a_field_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(UnsafePathError):
        multipart({"dest_path": "\udcff"}, [Part(name="a", size=0)], boundary="B")


def test_misuse_is_a_value_error() -> None:
    part = Part(name="a", size=0)
    with pytest.raises(ValueError, match="at least one file"):
        multipart({}, [], boundary="B")
    with pytest.raises(ValueError, match="negative"):
        multipart({}, [Part(name="a", size=-1)], boundary="B")
    with pytest.raises(ValueError, match="form field"):
        multipart({"a\r\nb": ""}, [part], boundary="B")
    for boundary in ("", "a b", "a\r\nb", "x" * 71):
        with pytest.raises(ValueError, match="boundary"):
            multipart({}, [part], boundary=boundary)


def test_two_boundaries_are_never_the_same() -> None:
    assert len({new_boundary() for _ in range(100)}) == 100
    assert len(new_boundary()) >= 32
