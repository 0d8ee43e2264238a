"""Well-framed answers whose content is broken, hostile or false.

Owns: scripts about JSON, base64, sizes, hashes and the shape of listings and receipts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.faults.raw_server import TARGETS, Exchange, Play, Target, envelope, head
from tests.faults.scripts import JUNK, LIST_ONLY, NO_FILE, NOT_FOR_RAW, WRONG, Script, every

_SIZES: tuple[object, ...] = ("-1", "1e3", None, True, [], "9" * 400, "٣")
_OVERRUN = 200_000  # more than a downlink may run past its listed size
_JSON_ENDS: Mapping[Target, str] = {"list": JUNK, "json": JUNK, "up": "done"}
_NO_LIST: Mapping[Target, str] = {"list": NO_FILE, "up": NO_FILE}
_JSON_ONLY: Mapping[Target, str] = {"list": NO_FILE, "up": NO_FILE, "raw": "about the envelope"}


def _text(change: Callable[[Exchange, bytes], bytes]) -> Play:
    """The right JSON, changed as text."""

    async def play(ex: Exchange) -> None:
        await ex.answer(change(ex, await ex.body()), *ex.extra)

    return play


def _sealed(change: Callable[[Exchange, bytes], Mapping[str, Any]]) -> Play:
    """An envelope with changes, which are made from the file's bytes."""

    async def play(ex: Exchange) -> None:
        data = base64.b64decode(json.loads(await ex.body())["content"])
        await ex.answer(json.dumps(envelope(data, **change(ex, data))).encode())

    return play


def _content(change: Callable[[Exchange, str], str]) -> Play:
    """An envelope whose base64 is changed as text, and sent as it is (no JSON escapes are added)."""

    async def play(ex: Exchange) -> None:
        whole = json.loads(await ex.body())
        content = whole.pop("content")
        frame = json.dumps({"content": "HERE", **whole})
        await ex.answer(frame.replace("HERE", change(ex, content)).encode())

    return play


def _listed(change: Callable[[list[Any]], object]) -> Play:
    """A listing with another `data`, or (None returned) with its entries changed in place."""

    async def play(ex: Exchange) -> None:
        entries = json.loads(await ex.body())["data"]
        data = change(entries)
        await ex.answer(json.dumps({"message": "", "data": entries if data is None else data}).encode())

    return play


def _received(data: object) -> Play:
    """A receipt with another `data`."""

    async def play(ex: Exchange) -> None:
        await ex.body()
        await ex.answer(json.dumps({"message": "", "data": data}).encode())

    return play


def _put(text: str, at: int, piece: str, *, over: int = 0) -> str:
    return text[:at] + piece + text[at + over :]


def _twice(ex: Exchange, body: bytes) -> bytes:
    key = {"list": b'"data": null', "json": b'"content": "QUJD"', "up": b'"data": {"file_count": 1}'}[ex.target or "up"]
    return b"{" + key + b", " + body[1:]


def _flip(ex: Exchange, body: bytes) -> bytes:
    at = ex.point(len(body))
    return body[:at] + bytes((body[at] ^ (1 << ex.rng.randrange(8)),)) + body[at + 1 :]


def _other_letter(ex: Exchange, content: str) -> str:
    at = ex.point(len(content.rstrip("=")) - 1) if len(content) > 4 else 0
    return _put(content, at, "B" if content[at] == "A" else "A", over=1)


def _other_file(ex: Exchange, data: bytes) -> Mapping[str, Any]:
    return envelope(bytes(byte ^ 0xFF for byte in data))


def _shorter(ex: Exchange, data: bytes) -> Mapping[str, Any]:
    return envelope(data[: ex.point(len(data))])


def _longer(ex: Exchange, data: bytes) -> Mapping[str, Any]:
    return envelope(data + bytes(_OVERRUN))


def _unsealed(ex: Exchange, data: bytes) -> Mapping[str, Any]:
    return envelope(bytes(byte ^ 1 for byte in data), size=None, hash=None)


async def _overrun(ex: Exchange) -> None:
    body = (await ex.body()) + ex.rng.randbytes(_OVERRUN)
    await ex.answer(body, *ex.extra)


async def _endless(ex: Exchange) -> None:
    await ex.take()
    await ex.send(head(*ex.extra, kind=ex.kind))
    if ex.target != "raw":
        await ex.send(b'{"message": "", "data": "' if ex.target != "json" else b'{"content": "')
    while not ex.em.released.is_set():
        await ex.send(b"QUJD" * 4096)
    ex.close()


async def _endless_space(ex: Exchange) -> None:
    body = await ex.body()
    await ex.send(head(kind=ex.kind) + body)
    while not ex.em.released.is_set():
        await ex.send(b" " * 16384)
    ex.close()


async def _text_type(ex: Exchange) -> None:
    await ex.answer(await ex.body(), kind="text/plain")


async def _json_type(ex: Exchange) -> None:
    await ex.answer(await ex.body(), kind="application/json")


def _for_json(name: str, change: Callable[[Exchange, bytes], bytes]) -> Script:
    return Script(name=name, play=_text(change), ends=_JSON_ENDS, not_for=NOT_FOR_RAW, sort="input")


def _for_envelope(name: str, play: Play, ends: str, *, most: int = 3) -> Script:
    return Script(name=name, play=play, ends={"json": ends}, not_for=_JSON_ONLY, sort="input", most=most)


def _for_listing(name: str, change: Callable[[list[Any]], object], ends: str) -> Script:
    others: dict[Target, str] = {target: LIST_ONLY for target in TARGETS if target != "list"}
    return Script(name=name, play=_listed(change), ends={"list": ends}, not_for=others, sort="input")


def _for_receipt(name: str, data: object) -> Script:
    others: dict[Target, str] = {target: "about an uplink's receipt" for target in TARGETS if target != "up"}
    return Script(name=name, play=_received(data), ends={"up": "done"}, not_for=others, sort="input")


JSON = (
    _for_json("json-cut", lambda ex, body: body[: ex.point(len(body))]),
    _for_json("json-then-junk", lambda ex, body: body + b"x" + ex.rng.randbytes(4)),
    _for_json("json-twice", lambda ex, body: body * 2),
    _for_json("json-of-another-code", lambda ex, body: body.decode().encode("utf-16")),
    _for_json("json-with-a-mark", lambda ex, body: b"\xef\xbb\xbf" + body),
    _for_json("json-that-is-a-text", lambda ex, body: b'"ok"'),
    _for_json("json-that-is-null", lambda ex, body: b"null"),
    _for_json("json-that-is-a-list", lambda ex, body: b"[" + body + b"]"),
    _for_json("json-depth-bomb", lambda ex, body: b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b", " + body[1:]),
    _for_json("json-open-depth-bomb", lambda ex, body: b'{"x":' * 50_000),
    _for_json("json-nan", lambda ex, body: b'{"x": NaN, ' + body[1:]),
    _for_json("json-infinity", lambda ex, body: b'{"x": -Infinity, ' + body[1:]),
    _for_json("json-key-twice", _twice),
    _for_json("json-giant-number", lambda ex, body: b'{"x": ' + b"9" * 5000 + b", " + body[1:]),
    _for_json("json-not-utf-8", lambda ex, body: b'{"x": "\xff\xfe", ' + body[1:]),
    _for_json("json-single-quotes", lambda ex, body: body.replace(b'"', b"'")),
    Script(
        name="a-flipped-bit-in-the-body",
        play=_text(_flip),
        ends=every(f"done|{JUNK}|{WRONG}", "done", raw=WRONG),
        sort="input",
        most=6,
    ),
)

ENVELOPES = (
    _for_envelope("base64-with-a-line-break", _content(lambda ex, text: _put(text, ex.point(len(text)), "\n")), JUNK),
    _for_envelope("base64-with-a-space", _content(lambda ex, text: _put(text, ex.point(len(text)), " ")), JUNK),
    _for_envelope("base64-for-urls", _content(lambda ex, text: _put(text, ex.point(len(text)), "-_")), JUNK),
    _for_envelope("base64-padded-inside", _content(lambda ex, text: "QQ==" + text), JUNK),
    _for_envelope("base64-letter-lost", _content(lambda ex, text: text[1:]), JUNK),
    _for_envelope("base64-cut", _content(lambda ex, text: text[: ex.point(len(text))]), f"{JUNK}|{WRONG}"),
    _for_envelope("base64-escaped-junk", _content(lambda ex, text: _put(text, ex.point(len(text)), "\\t")), JUNK),
    _for_envelope("base64-escaped-backslash", _content(lambda ex, text: _put(text, 0, "\\\\n")), JUNK),
    _for_envelope("base64-not-ascii", _content(lambda ex, text: _put(text, ex.point(len(text)), "é")), JUNK),
    _for_envelope("base64-another-letter", _content(_other_letter), f"{WRONG}|{JUNK}"),
    _for_envelope("content-null", _sealed(lambda ex, data: {"content": None}), JUNK),
    _for_envelope("content-a-list", _sealed(lambda ex, data: {"content": ["QUJD"]}), JUNK),
    _for_envelope("content-missing", _text(lambda ex, body: b'{"filename": "x", "size": 3}'), JUNK),
    _for_envelope("hash-of-other-bytes", _sealed(lambda ex, data: {"hash": "0" * 64}), WRONG),
    _for_envelope("hash-of-no-use", _sealed(lambda ex, data: {"hash": "not hex"}), JUNK),
    _for_envelope("hash-a-number", _sealed(lambda ex, data: {"hash": 5}), JUNK),
    _for_envelope("size-off-by-one", _sealed(lambda ex, data: {"size": len(data) + 1}), WRONG),
    _for_envelope("size-negative", _sealed(lambda ex, data: {"size": -1}), JUNK),
    _for_envelope("size-huge", _sealed(lambda ex, data: {"size": 10**18}), WRONG),
    _for_envelope("filename-a-number", _sealed(lambda ex, data: {"filename": 7}), JUNK),
    _for_envelope("metadata-beyond-measure", _sealed(lambda ex, data: {"filename": "x" * 100_000}), JUNK),
    _for_envelope("another-file-well-sealed", _sealed(_other_file), WRONG, most=6),
    _for_envelope("other-bytes-unsealed", _sealed(_unsealed), WRONG, most=6),
    _for_envelope("a-shorter-file-well-sealed", _sealed(_shorter), WRONG, most=6),
    _for_envelope("a-far-longer-file-well-sealed", _sealed(_longer), WRONG, most=6),
)

FILES = (
    Script(name="runs-past-its-size", play=_overrun, ends={"raw": WRONG, "json": JUNK}, not_for=_NO_LIST, sort="input"),
    Script(name="endless", play=_endless, ends=every(JUNK, "unknown", json=WRONG, raw=WRONG), sort="input"),
    Script(name="endless-space", play=_endless_space, ends=every(JUNK, "done", raw=WRONG), sort="input"),
    Script(name="says-it-is-text", play=_text_type, ends=every("done", "done", json=WRONG), sort="input"),
    Script(
        name="says-it-is-json",
        play=_json_type,
        ends={"raw": JUNK},
        not_for={"list": "it is", "json": "it is", "up": "it is"},
        sort="input",
    ),
)

LISTINGS = (
    _for_listing("listing-a-text", lambda entries: "nothing", JUNK),
    _for_listing("listing-an-object", lambda entries: {"a": 1}, JUNK),
    _for_listing("entry-a-number", lambda entries: entries.append(5), JUNK),
    _for_listing("entry-without-a-name", lambda entries: entries.append({"type": "file", "size": "1"}), JUNK),
    _for_listing("entry-with-an-empty-name", lambda entries: entries.append({"type": "file", "name": ""}), JUNK),
    _for_listing("folder-that-holds-a-text", lambda entries: entries.append({"name": "d", "contents": "x"}), "done"),
    _for_listing(
        "sizes-of-no-use",
        lambda entries: entries.extend(
            {"type": "file", "name": f"n{n}", "size": size, "hash": [], "time": 3} for n, size in enumerate(_SIZES)
        ),
        "done",
    ),
)

RECEIPTS = (
    _for_receipt("receipt-of-fewer-files", {"file_count": 1}),
    _for_receipt("receipt-of-more-files", {"file_count": 10**30}),
    _for_receipt("receipt-of-half-a-file", {"file_count": 0.5}),
    _for_receipt("receipt-in-words", {"file_count": "three", "total_size_kb": "1e999"}),
    _for_receipt("receipt-that-is-a-list", [1, 2]),
    _for_receipt("receipt-of-nothing", None),
)

DATA = (*JSON, *ENVELOPES, *FILES, *LISTINGS, *RECEIPTS)
