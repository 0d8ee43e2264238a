"""Properties of responses, however spelled, cut or damaged: other bytes are never taken for the file.

Covers envelopes, base64, JSON responses, error responses, Retry-After and tokens. Does no I/O. The JSON texts and the
expected results are made with the standard library alone.
"""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import quote

from hypothesis import strategies as st

from emasync import EMError, ProtocolError, Verified
from emasync.config import Limits
from emasync.model import safe
from emasync.wire import requests
from emasync.wire.base64_decoder import Base64Decoder
from emasync.wire.content_tag import content_tag
from emasync.wire.downlink import open_decoder, verify
from emasync.wire.error_mapping import error_for_response, retry_after_s
from emasync.wire.jwt import lifetime_s
from tests.faults.properties import Property

_NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_TEN_YEARS_S: Final = 10 * 365 * 86_400.0
_SECRET: Final = "canary/pass+word"


def pieces(data: bytes, rng: random.Random) -> list[bytes]:
    """`data` as it may be received: in one piece, byte by byte, or cut anywhere."""
    if rng.random() < 0.2:
        return [data[at : at + 1] for at in range(len(data))]
    marks = [0, *sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6))), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


def json_string(text: str, rng: random.Random) -> str:
    """`text` as JSON, every character plain or escaped at random."""
    share = rng.choice((0.0, 0.0, 0.05, 1.0))
    return '"' + "".join(_escaped(char, rng) if rng.random() < share else json.dumps(char)[1:-1] for char in text) + '"'


def _escaped(char: str, rng: random.Random) -> str:
    if char == "/" and rng.random() < 0.5:
        return "\\/"
    code = "".join(f"\\u{unit:04x}" for unit in memoryview(char.encode("utf-16-le")).cast("H"))
    return code.upper().replace("\\U", "\\u") if rng.random() < 0.5 else code


def envelope(data: bytes, rng: random.Random, *, with_hash: bool) -> bytes:
    """`data` in an envelope of the seed generation, with random order, white space and spelling."""
    encode = rng.choice((base64.b64encode, base64.encodebytes))
    members: list[tuple[str, str]] = [("content", json_string(encode(data).decode(), rng))]
    if with_hash:
        digest = hashlib.sha256(data).hexdigest()
        members.append(("hash", json_string(rng.choice((digest, digest.upper())), rng)))
    if rng.random() < 0.7:
        members.append(("size", rng.choice((str(len(data)), f'"{len(data)}"'))))
    if rng.random() < 0.7:
        members.append(("filename", json_string(rng.choice(("a.txt", "ü/..\\", '"content":"QQ=="')), rng)))
    if rng.random() < 0.3:
        members.append(("more", rng.choice(('{"content":"QQ=="}', "[[1.5e3]]", "null", '"\\ud83d\\ude80"'))))
    rng.shuffle(members)

    def gap() -> str:
        return "".join(rng.choices(" \t\r\n", k=rng.choice((0, 0, 1, 3))))

    inside = ",".join(f"{gap()}{json_string(key, rng)}{gap()}:{gap()}{value}{gap()}" for key, value in members)
    return f"{gap()}{{{inside}}}{gap()}".encode()


def damaged(wire: bytes, rng: random.Random) -> bytes:
    """`wire` with one byte changed, missing, more, or at another place."""
    at = rng.randrange(len(wire))
    byte = rng.choice((bytes((wire[at] ^ (1 << rng.randrange(8)),)), rng.randbytes(1), rng.choice(_TELLING)))
    kind = rng.randrange(4)
    if kind == 0:
        return wire[:at] + byte + wire[at + 1 :]
    if kind == 1:
        return wire[:at] + wire[at + 1 :]
    if kind == 2:
        return wire[:at] + byte + wire[at:]
    return wire[:at] + wire[at + 1 : at + 2] + wire[at : at + 1] + wire[at + 2 :]


_TELLING: Final = [bytes((char,)) for char in b'\\"{}[]:,=+/-_ \nuAQw0']


@dataclass(frozen=True, slots=True, kw_only=True)
class SentBody:
    """A file that is sent, and the random numbers that decide its spelling and its damage."""

    data: bytes
    chance: int
    tagged: bool


_sent = st.builds(SentBody, data=st.binary(max_size=200), chance=st.integers(0, 2**32), tagged=st.booleans())


def _received(headers: dict[str, str], wire: list[bytes], *, tag: int | None = None) -> tuple[bytes, Verified]:
    """Decode a response as a downlink does it: the bytes, and how they were verified."""
    reader = open_decoder(headers, Limits())
    out = b"".join([reader.feed(piece) for piece in wire])
    digest, mine = hashlib.sha256(out).hexdigest(), content_tag(out)
    facts = reader.finish()
    how = verify(facts, size=len(out), sha256=digest, listed_size=None, listed_tag=tag, tag=mine)
    return out, how


_JSON: Final = {"content-type": "application/json"}


def _any_spelling(sent: SentBody) -> bool:
    rng = random.Random(sent.chance)
    wire = envelope(sent.data, rng, with_hash=True)
    assert _received(_JSON, pieces(wire, rng)) == (sent.data, Verified.SHA256)
    return False


def _one_wrong_byte(sent: SentBody) -> bool:
    # The damaged byte may be one that says nothing (white space, a file name): then the file is the file.
    rng = random.Random(sent.chance)
    whole = envelope(sent.data, rng, with_hash=not sent.tagged)
    wire = damaged(whole, rng)
    try:
        out, how = _received(_JSON, pieces(wire, rng), tag=content_tag(sent.data) if sent.tagged else None)
    except EMError:
        return True
    assert out == sent.data or how not in (Verified.SHA256, Verified.TAG), f"{how} of other bytes: {wire!r}"
    assert out == sent.data, f"one damaged byte made another file of it, {how}: {wire!r}"
    return wire != whole


def _cut(sent: SentBody) -> bool:
    rng = random.Random(sent.chance)
    whole = envelope(sent.data, rng, with_hash=True)
    last = len(whole.rstrip())
    wire = whole[: rng.randrange(last)]
    try:
        out, how = _received(_JSON, pieces(wire, rng))
    except EMError:
        return True
    raise AssertionError(f"{len(wire)} of {last} bytes were taken for a file of {len(out)} bytes, {how}: {wire!r}")


def _many_wrong_bytes(sent: SentBody) -> bool:
    """However damaged: the decoder reads what the standard library reads, and verified bytes are those of the file."""
    rng = random.Random(sent.chance)
    wire = envelope(sent.data, rng, with_hash=True)
    for _ in range(rng.randrange(1, 6)):
        wire = damaged(wire, rng)
    try:
        out, how = _received(_JSON, pieces(wire, rng))
    except EMError:
        return True
    content = json.loads(wire)["content"]
    assert base64.b64decode(re.sub(r"[\r\n]", "", content), validate=True) == out
    assert how is not Verified.SHA256 or out == sent.data
    return True


def _base64_damaged(sent: SentBody) -> bool:
    rng = random.Random(sent.chance)
    whole = base64.b64encode(sent.data)
    wire = damaged(whole, rng) if whole else b"="
    stream = Base64Decoder()
    try:
        out = b"".join([stream.feed(piece) for piece in pieces(wire, rng)])
        stream.finish()
    except ProtocolError:
        return True
    assert base64.b64encode(out) == wire, "what was read would not be written so"
    return wire != whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Headers of any kind over a body of any kind."""

    headers: dict[str, str]
    sent: SentBody
    form: str


_header_values = {
    "content-type": ["application/json", "APPLICATION/JSON; charset=x", "text/html", "application/octet-stream", ""],
    "content-disposition": ["attachment", "attachment; filename=x", "inline", 'ATTACHMENT; filename="a\\', "é;=;"],
    "content-length": ["0", "5", "-1", "9" * 30, "\uff15", "x", ""],
    "content-encoding": ["gzip", "identity", "", "br"],
}
_headers = st.fixed_dictionaries({}, optional={key: st.sampled_from(v) for key, v in _header_values.items()})
_answers = st.builds(
    Answer, headers=_headers, sent=_sent, form=st.sampled_from(["envelope", "damaged", "raw", "page", "junk"])
)


def _any_answer(answer: Answer) -> bool:
    rng = random.Random(answer.sent.chance)
    data = answer.sent.data
    bodies: dict[str, Callable[[], bytes]] = {
        "envelope": lambda: envelope(data, rng, with_hash=True),
        "damaged": lambda: damaged(envelope(data, rng, with_hash=True), rng),
        "raw": lambda: data,
        "page": lambda: b"<!doctype html><title>Sign in</title>",
        "junk": lambda: rng.randbytes(rng.randrange(60)),
    }
    wire = bodies[answer.form]()
    tag = content_tag(data) if answer.sent.tagged else None
    try:
        out, how = _received(answer.headers, pieces(wire, rng), tag=tag)
    except EMError:
        return True
    if how in (Verified.SHA256, Verified.TAG):
        assert out == data
    compressed = answer.headers.get("content-encoding", "") not in ("", "identity")
    assert not compressed, "a compressed body was taken for a file"
    length = answer.headers.get("content-length")
    raw = out == wire
    assert not raw or not length or int(length) == len(out), "a body of another length than announced"
    return answer.form not in ("raw", "envelope")


_json_keys = st.sampled_from(["error", "message", "detail", "log_tail", "data", "files"]) | st.text(max_size=6)
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just(_SECRET),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_json_keys, inner, max_size=4),
    max_leaves=12,
)


def _nested(depth: int) -> bytes:
    return b'{"log_tail":[' + b"[" * depth + b"]" * depth + b'],"x":' + b"[" * depth + b"]" * depth + b"}"


def _echoed(rng: random.Random) -> bytes:
    """A server that echoes what it was sent, in any spelling of JSON, HTML or URLs."""
    said = rng.choice((_SECRET, quote(_SECRET, safe=""), html.escape(_SECRET), f"you sent {_SECRET}!"))
    key = rng.choice(("error", "message", "detail", "log_tail", "files", _SECRET))
    value = json_string(said, rng)
    return f"{{{json_string(key, rng)}:{rng.choice((value, f'[{value}]'))}}}".encode()


_bodies = (
    _json_values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=80)
    | st.text(max_size=40).map(lambda text: f"<html><title>{text}</title>".encode("utf-8", "replace"))
    | st.integers(0, 2**32).map(lambda chance: _echoed(random.Random(chance)))
    | st.integers(0, 3000).map(_nested)
    | st.integers(900, 1000).map(_nested)
)
_refusals = st.tuples(
    st.sampled_from([100, 204, 301, 302, 400, 401, 403, 404, 413, 418, 423, 429, 499, 500, 502, 503, 504, 599]),
    st.dictionaries(st.sampled_from(["retry-after", "location", "content-type"]), st.text(max_size=20), max_size=3),
    _bodies,
    st.integers(0, 200),
)


def _any_refusal(told: tuple[int, dict[str, str], bytes, int]) -> bool:
    status, headers, body, cut = told
    body = body[: max(0, len(body) - cut)] if cut % 3 == 0 else body
    error = error_for_response(requests.uplink(), status, headers=headers, body=body, secrets=[_SECRET])
    text = str(error)
    assert isinstance(error, EMError)
    assert safe(text, limit=len(text) * 8 + 8) == text, "a character that a terminal obeys"
    assert _SECRET not in f"{error!r}{error.detail}{vars(error)}"
    return True


_date_words = ["Mon,", "Fri", "32", "2", "Feb", "Jan", "2026", "1", "99999", "0", "25:61:61", "03:04:05", "GMT"]
_date_words += ["+0000", "-9999", "+99999999999999999999", "(", ")", "EST", "", ":", "1e400", "nan", "-inf", "٣"]
_moments = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2090, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
_wishes = (
    _moments.map(
        lambda moment: (format_datetime(moment, usegmt=True), max(0.0, (moment - _NOW) / timedelta(seconds=1)))
    )
    | st.integers(0, 10**9).map(lambda seconds: (str(seconds), float(seconds)))
    | st.from_regex(r"\A\w{3}, \d{1,3} (Jan|Feb) \d{1,20} \d\d:\d\d:\d\d [+-]\d{1,20}\Z").map(lambda text: (text, None))
    | st.lists(st.sampled_from(_date_words), max_size=9).map(lambda words: (" ".join(words), None))
    | st.text(max_size=30).map(lambda text: (text, None))
)


def _any_retry_after(header: tuple[str, float | None]) -> bool:
    text, seconds = header
    read = retry_after_s({"retry-after": text}, now=_NOW)
    assert read is None or 0 <= read < float("inf")
    if seconds is not None:
        assert read == seconds
    return seconds is None


_moment = st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=4) | st.floats(1e9, 2e9)
_claims = st.fixed_dictionaries({}, optional={"exp": _moment, "iat": _moment, "jti": st.text(max_size=4)})
_tokens = st.tuples(_claims | _json_values, st.none() | st.floats(0, 2e9), st.booleans())


def _any_token(made: tuple[Any, float | None, bool]) -> bool:
    claims, now, padded = made
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
    life = lifetime_s(f"e30.{payload if padded else payload.rstrip('=')}.sig", server_now=now)
    if life is None:
        return True
    assert 0 < life <= _TEN_YEARS_S
    assert life == float(claims["exp"]) - float(claims.get("iat", now))
    return False


# sabotage of each, where it belongs (all tried): forget the cut escape (`_cut_escape`) in EnvelopeDecoder | no sha256
# from its `finish` | no check of what is held in Base64Decoder.finish | drop `_require_equal` for the tag in verify |
# let gzip pass in open_decoder | no `safe`, or no second `scrub`, in error_for_response | except ValueError alone in
# retry_after_s | no `0 < lifetime` in lifetime_s.
WIRE: Final[tuple[Property[Any], ...]] = (
    Property(name="every spelling of an envelope is read", inputs=_sent, holds=_any_spelling),
    Property(name="one damaged byte never makes another file", inputs=_sent, holds=_one_wrong_byte),
    Property(name="a cut envelope is never a file", inputs=_sent, holds=_cut),
    Property(name="damage is refused or read as the standard reads it", inputs=_sent, holds=_many_wrong_bytes),
    Property(name="only what an encoder writes is base64", inputs=_sent, holds=_base64_damaged),
    Property(name="any answer is refused or truly verified", inputs=_answers, holds=_any_answer),
    Property(name="any refusal is one of our errors, fit to be shown", inputs=_refusals, holds=_any_refusal),
    Property(name="any Retry-After is a time or nothing", inputs=_wishes, holds=_any_retry_after),
    Property(name="any token lives for exp - iat or an unknown time", inputs=_tokens, holds=_any_token),
)
