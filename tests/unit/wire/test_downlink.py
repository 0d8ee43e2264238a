"""Which reader an answer gets, the raw form, and the proof at the end."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emasync.config import Limits
from emasync.errors import IntegrityError, ProtocolError
from emasync.model import Verified
from emasync.wire.downlink import EnvelopeDecoder, RawDecoder, ResponseMetadata, open_decoder, verify

SHA = hashlib.sha256(b"hello").hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


def attached(disposition: str) -> str | None:
    return open_decoder({"Content-Disposition": disposition}, Limits()).finish().filename


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"])
def test_json_is_the_envelope(content_type: str) -> None:
    assert isinstance(open_decoder({"content-TYPE": content_type}, Limits()), EnvelopeDecoder)
    assert isinstance(
        open_decoder({"Content-Type": content_type, "Content-Disposition": "inline"}, Limits()), EnvelopeDecoder
    )


# Sabotage: look at the Content-Type before the Content-Disposition.
@pytest.mark.parametrize("content_type", ["application/json", "text/html", "application/octet-stream"])
def test_an_attachment_is_raw_whatever_its_type(content_type: str) -> None:
    headers = {"content-disposition": 'Attachment; filename="a.json"', "CONTENT-TYPE": content_type}
    reader = open_decoder(headers, Limits())
    assert reader.feed(b'{"content":') + reader.feed(b'"QUJD"}') == b'{"content":"QUJD"}'
    assert reader.finish() == ResponseMetadata(filename="a.json")


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/octet-stream"}, {"Content-Type": "text/plain"}])
def test_what_is_not_json_is_raw(headers: dict[str, str]) -> None:
    assert isinstance(open_decoder(headers, Limits()), RawDecoder)


@pytest.mark.parametrize("content_type", ["text/html", "TEXT/HTML; charset=utf-8", "application/xhtml+xml"])
def test_an_html_page_is_no_file(content_type: str) -> None:
    with pytest.raises(ProtocolError, match="HTML"):
        open_decoder({"Content-Type": content_type}, Limits())


def test_a_compressed_answer_is_refused() -> None:
    assert isinstance(open_decoder({"Content-Encoding": "Identity"}, Limits()), RawDecoder)
    for coding in ("gzip", "br", "identity, gzip"):
        with pytest.raises(ProtocolError, match="compressed"):
            open_decoder({"content-encoding": coding, "content-disposition": "attachment"}, Limits())


# Sabotage: do not count what passes through.
def test_a_raw_body_of_another_length_is_an_integrity_error() -> None:
    headers = {"Content-Length": "5", "Content-Disposition": "attachment"}
    for body in (b"hell", b"hello!", b""):
        reader = open_decoder(headers, Limits())
        reader.feed(body)
        with pytest.raises(IntegrityError) as caught:
            reader.finish()
        assert (caught.value.expected, caught.value.actual) == ("5", str(len(body)))
    reader = open_decoder(headers, Limits())
    reader.feed(b"hello")
    assert reader.finish().size == 5


@pytest.mark.parametrize("length", ["-1", "5, 5", "", "0x5", "٣", "9" * 30])
def test_a_content_length_that_is_no_number_is_refused(length: str) -> None:
    with pytest.raises(ProtocolError, match="Content-Length"):
        open_decoder({"Content-Length": length}, Limits())


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename=a.txt", "a.txt"),
        ('attachment;FILENAME = "a;b=c.txt" ; size=5', "a;b=c.txt"),
        (r'attachment; filename="a\"b\\c.txt"', 'a"b\\c.txt'),
        ("attachment; filename*=utf-8''na%C3%AFve%20%E5%90%8D.txt", "naïve 名.txt"),
        ("attachment; filename=\"x.txt\"; filename*=UTF-8'en'%C3%A9.txt", "é.txt"),
        ("attachment; filename*=iso-8859-1''%E9.txt", "é.txt"),
        ('attachment; filename="../../etc/passwd"', "../../etc/passwd"),
        ('attachment; filename="é.txt"', "é.txt"),
        ("attachment", None),
        ("attachment;", None),
        ('attachment; filename=""', None),
        ('attachment; filename="open', None),
        ("attachment; filename", None),
        ("attachment; filename=a b.txt", None),
        ("attachment; filename*=utf-8''%FF.txt", None),
        ("attachment; filename*=utf-7''a.txt", None),
        ("attachment; filename*=a.txt", None),
        ('attachment; filename="\udcff.txt"', None),
        ("attachment; filename*=utf-8''%ED%A0%80", None),
    ],
)
def test_the_name_in_a_content_disposition_is_read_or_left(disposition: str, name: str | None) -> None:
    assert attached(disposition) == name


@settings(max_examples=200, deadline=None, print_blob=True)
@given(st.text(alphabet="filename*=\";\\' %aé\udcff", max_size=40))
def test_no_content_disposition_raises(junk: str) -> None:
    attached(f"attachment;{junk}")


def test_a_readable_plain_name_stands_in_for_an_unreadable_extended_one() -> None:
    assert attached("attachment; filename=\"x.txt\"; filename*=utf-8''%FF") == "x.txt"


@pytest.mark.parametrize(
    ("facts", "listed_size", "listed_tag", "tag", "proof"),
    [
        (ResponseMetadata(), None, None, None, Verified.NONE),
        (ResponseMetadata(), None, None, 7, Verified.NONE),
        (ResponseMetadata(), None, 7, None, Verified.NONE),
        (ResponseMetadata(size=5), None, None, None, Verified.SIZE),
        (ResponseMetadata(), 5, None, 7, Verified.SIZE),
        (ResponseMetadata(size=5), 5, 7, 7, Verified.TAG),
        (ResponseMetadata(size=5, sha256=SHA), 5, 7, 7, Verified.SHA256),
        (ResponseMetadata(sha256=SHA), None, None, None, Verified.SHA256),
    ],
)
def test_the_strongest_proof_is_named(
    facts: ResponseMetadata, listed_size: int | None, listed_tag: int | None, tag: int | None, proof: Verified
) -> None:
    assert verify(facts, size=5, sha256=SHA.upper(), listed_size=listed_size, listed_tag=listed_tag, tag=tag) is proof


# Sabotage: remove any one of the four comparisons.
@pytest.mark.parametrize(
    ("facts", "listed_size", "listed_tag", "expected", "actual"),
    [
        (ResponseMetadata(size=6, sha256=SHA), 5, 7, "6", "5"),
        (ResponseMetadata(size=0), None, None, "0", "5"),
        (ResponseMetadata(size=5, sha256=SHA), 4, 7, "4", "5"),
        (ResponseMetadata(size=5, sha256=OTHER), 5, 7, OTHER, SHA),
        (ResponseMetadata(size=5, sha256=SHA), 5, 8, "8", "7"),
        (ResponseMetadata(), None, 0, "0", "7"),
    ],
)
def test_any_claim_that_differs_is_an_integrity_error(
    facts: ResponseMetadata, listed_size: int | None, listed_tag: int | None, expected: str, actual: str
) -> None:
    with pytest.raises(IntegrityError) as caught:
        verify(facts, size=5, sha256=SHA, listed_size=listed_size, listed_tag=listed_tag, tag=7)
    assert (caught.value.expected, caught.value.actual) == (expected, actual)
