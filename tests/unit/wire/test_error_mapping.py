"""Answers other than 2xx: one status, one class, all the facts, no secret."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync import errors
from emasync.wire import requests
from emasync.wire.error_mapping import error_for_response, retry_after_s, scrub
from emasync.wire.requests import Volume

CALL = requests.downlink(Volume(), "a.txt")


def refused(
    status: int, body: object = b"", *, headers: dict[str, str] | None = None, secrets: tuple[str, ...] = ()
) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_for_response(CALL, status, headers=headers or {}, body=data, secrets=secrets)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, errors.ProtocolError),
        (304, errors.ProtocolError),
        (308, errors.ProtocolError),
        (400, errors.BadRequestError),
        (401, errors.AuthError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (405, errors.BadRequestError),
        (413, errors.TooLargeError),
        (415, errors.BadRequestError),
        (423, errors.BusyError),
        (429, errors.BusyError),
        (500, errors.ServerError),
        (502, errors.ServerError),
        (503, errors.BusyError),
        (504, errors.ServerError),
        (599, errors.ServerError),
        (199, errors.ProtocolError),
    ],
)
@pytest.mark.parametrize("body", [b"", b'{"detail": "why"}', b"<html>", b"[1]", b'"text"', b"\xff\x00", b'{"det'])
def test_every_status_has_its_class_whatever_the_body(status: int, kind: type[errors.EMError], body: bytes) -> None:
    error = refused(status, body)
    assert type(error) is kind
    assert (error.status, error.call) == (status, "GET em/files/downlink")
    assert str(status) in str(error)
    assert "a.txt" in str(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("BUILD_FAILED", errors.BuildFailedError),
        ("IMAGE_LOAD_FAILED", errors.ImageLoadError),
        ("MAX_UPLINK_SIZE_EXCEEDED", errors.TooLargeError),
        ("NO_FILES", errors.BadRequestError),
        ("SOMETHING_NEW", errors.BadRequestError),
    ],
)
def test_a_code_of_the_em_has_its_class(code: str, kind: type[errors.BadRequestError]) -> None:
    error = refused(400, {"error": code, "message": "because"})
    assert type(error) is kind
    assert (error.code, error.detail) == (code, "because")
    assert f"[{code}]: because" in str(error)


def test_a_log_tail_is_lines_without_their_ends_and_bounded() -> None:
    tail = [f"line {i}\r\n" for i in range(150)] + ["x" * 5000]
    error = refused(400, {"error": "BUILD_FAILED", "message": "m", "log_tail": tail})
    assert len(error.log_tail) == 100
    assert error.log_tail[0] == "line 51"
    assert len(error.log_tail[-1]) == 2000


def test_a_build_that_failed_is_known_although_its_log_was_cut() -> None:
    # The log may be longer than what is read of an error. Sabotage: let `_fields_of_cut_object` return {}.
    lines = ['Step 1: "error": "NO_FILES"\n', "x" * 100]
    whole = json.dumps({"error": "BUILD_FAILED", "message": 'step "2" failed', "log_tail": lines}).encode()
    for end in range(whole.index(b"log_tail"), len(whole)):
        error = refused(400, whole[:end])
        assert (type(error), error.code, error.detail) == (errors.BuildFailedError, "BUILD_FAILED", 'step "2" failed')


def test_validation_errors_are_kept_by_field_and_said() -> None:
    error = refused(400, {"filepath": ["This field is required."], "node": ["bad", "worse"]})
    assert error.fields == {"filepath": ("This field is required.",), "node": ("bad", "worse")}
    assert error.detail == "filepath: This field is required.; node: bad worse"
    assert error.code is None


@pytest.mark.parametrize("body", [{"error": {"a": 1}}, {"error": ["x"]}, {"message": None}, {"log_tail": "text"}, {}])
def test_an_error_of_an_odd_shape_is_still_an_error(body: dict[str, Any]) -> None:
    error = refused(400, body)
    assert (type(error), error.code, error.log_tail) == (errors.BadRequestError, None, ())


def test_an_html_page_is_told_by_its_title() -> None:
    page = b"<!doctype html><html><head><TITLE lang=en>\n  502 Bad&nbsp;Gateway </TITLE></head><body>secret</body>"
    assert refused(502, page).detail == "502 Bad Gateway"


def test_text_that_is_neither_is_shown_in_part() -> None:
    assert refused(500, b"a\n b " + b"x" * 1000).detail == "a b " + "x" * 196
    assert refused(500, b"  ").detail is None


def test_a_redirect_names_where_it_leads_and_is_not_followed() -> None:
    error = refused(302, headers={"location": "https://elsewhere.example/login"})
    assert "https://elsewhere.example/login" in str(error)
    assert "never follows" in str(error)
    assert "nowhere" in str(refused(302))


def test_what_the_server_says_cannot_reach_a_terminal_raw() -> None:
    # Sabotage: leave out one `safe`.
    body = {"error": "A\x1b[2J", "message": "\x1b]0;owned\x07\u202e"}
    for error in (refused(400, body), refused(302, headers={"location": "\x1b[31m"}), refused(500, b"\x1b[31m")):
        assert "\x1b" not in str(error)
        assert str(error).isprintable()


def test_a_busy_error_carries_the_servers_wish() -> None:
    assert refused(423, headers={"retry-after": "7"}).retry_after_s == 7.0
    assert refused(503).retry_after_s is None


NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("-3", 0.0),
        ("86400", 86400.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 13:00:30 +0100", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 12:00:30", 30.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("Thu, 99 Foo 2026 12:00:30 GMT", None),
        ("Thu, 01 Jan 99999999999999999999 12:00:30 GMT", None),
        ("Thu, 01 Jan 2026 12:00:30 +99999999999999", None),
    ],
)
def test_retry_after_is_a_number_a_date_or_nothing(text: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": text}, now=NOW) == seconds


@given(st.text(max_size=40) | st.from_regex(r"\A\w{3}, \d{1,3} (Jan|Feb) \d{1,20} \d\d:\d\d:\d\d [+-]\d{1,20}\Z"))
def test_no_retry_after_is_an_exception(text: str) -> None:
    # Sabotage: catch ValueError alone: an offset or a year beyond a C integer is an OverflowError.
    seconds = retry_after_s({"retry-after": text}, now=NOW)
    assert seconds is None or seconds >= 0


SECRET = "c4n/ry \"&'é+ü=%"
ESCAPED = json.dumps(SECRET)[1:-1].replace("/", "\\/")
SPELLINGS = {
    "plain": SECRET.encode(),
    "JSON": json.dumps({"detail": f"bad password {SECRET}"}).encode(),
    "JSON in UTF-8": json.dumps({"detail": f"bad password {SECRET}"}, ensure_ascii=False).encode(),
    "JSON with escaped slashes": f'{{"detail": "bad {ESCAPED}"}}'.encode(),
    "JSON escaped throughout": '{{"detail": "{}"}}'.format("".join(f"\\u{ord(c):04x}" for c in SECRET)).encode(),
    "percent": quote(SECRET).encode(),
    "percent throughout": quote(SECRET, safe="").encode(),
    "percent in lower case": quote(SECRET, safe="").lower().encode(),
    "form": quote_plus(SECRET).encode(),
    "HTML": html.escape(SECRET).encode(),
    "HTML title by code": "<title>{}</title>".format("".join(f"&#{ord(c)};" for c in SECRET)).encode(),
    "code": json.dumps({"error": SECRET}).encode(),
    "log": f'{{"error": "BUILD_FAILED", "log_tail": ["x {ESCAPED}\\n"]}}'.encode(),
    "field": f'{{"password": ["{ESCAPED} is too short"], "{ESCAPED}": ["x"]}}'.encode(),
}


@pytest.mark.parametrize("status", [400, 401, 500])
@pytest.mark.parametrize("body", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_secret_that_is_echoed_is_struck_in_every_spelling(body: bytes, status: int) -> None:
    # Sabotage: drop one spelling from `scrub`, or the second `scrub` after decoding.
    error = refused(status, body, secrets=("", SECRET))
    said = [str(error), repr(error), error.detail or ""]
    if isinstance(error, errors.BadRequestError):
        said += [error.code or "", *error.log_tail, *error.fields, *(line for f in error.fields.values() for line in f)]
    for text in said:
        for spelling in (SECRET, json.dumps(SECRET)[1:-1], quote(SECRET), quote_plus(SECRET), html.escape(SECRET)):
            assert spelling.lower() not in text.lower()
    if b"log_tail" not in body or status == 400:  # other errors show no log
        assert any("[secret]" in text for text in said)


def test_a_secret_in_a_redirect_is_struck_too() -> None:
    error = refused(302, headers={"location": f"http://x/?token={quote_plus(SECRET)}"}, secrets=(SECRET,))
    assert "http://x/?token=[secret]" in str(error)


def test_scrubbing_leaves_all_else_alone() -> None:
    assert scrub("a.c abc [x]", ("a.c",)) == "[secret] abc [x]"
    assert scrub("nothing", ()) == "nothing"


# Sabotage: `re.sub` without looking first: the last 512 tokens stay in the cache of `re` after the Client is closed.
def test_a_secret_that_is_not_there_is_compiled_into_no_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(*_: object, **__: object) -> str:
        raise AssertionError("a pattern was made of a secret")

    monkeypatch.setattr(re, "sub", compiled)
    assert scrub("nothing of it is in here", ["hunter2-token"]) == "nothing of it is in here"


# Sabotage: `casefold` alone, which tells a dotted I and a dotless i from i.
@pytest.mark.parametrize("echoed", ["hunt\u0130ng-token", "HUNT\u0131NG-TOKEN", "HuntIng-Token"])
def test_a_secret_is_struck_out_in_every_case_that_matches(echoed: str) -> None:
    assert scrub(f"<{echoed}>", ["hunting-token"]) == "<[secret]>"
