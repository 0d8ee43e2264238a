"""Answers that nobody asked for, on connections that are kept: none is taken for the answer to a later request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from emasync import Client, Settings
from tests.unit.http.peer import Line, serving

_NAMES = "abcdefgh"
_EVIL = b"EVIL" * 25


def _ok(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _envelope(name: str, data: bytes) -> bytes:
    facts = {"filename": name, "content": base64.b64encode(data).decode(), "size": len(data)}
    return _ok(json.dumps({**facts, "hash": hashlib.sha256(data).hexdigest()}).encode())


@dataclass(frozen=True, kw_only=True)
class _TooTalkative:
    """An EM without content tags that sends a whole false answer after the `asked` call, at once or a little later.
    `named`: what its answers call the file, None for its own name."""

    asked: str
    delay_s: float
    named: str | None

    async def __call__(self, line: Line) -> None:
        while head := await line.head():
            target = urlsplit(head.split(" ")[1])
            length = head.lower().partition("content-length: ")[2].partition("\r")[0]
            await line.reader.readexactly(int(length or 0))
            answer, name = self._answer(target.path, parse_qs(target.query))
            if not target.path.endswith(self.asked):
                await line.send(answer)
                continue
            false = _envelope(self.named or name, _EVIL)
            if not self.delay_s:
                await line.send(answer + false)
                continue
            await line.send(answer)
            await asyncio.sleep(self.delay_s)
            await line.send(false)

    def _answer(self, path: str, query: dict[str, list[str]]) -> tuple[bytes, str]:
        if path.endswith("auth/"):
            return _ok(b'{"access": "t.t.tttttttttttttttt"}'), "a"
        if path.endswith("list"):
            listed = [{"type": "file", "name": name, "size": "100"} for name in _NAMES]
            return _ok(json.dumps({"data": listed}).encode()), "a"
        name = query["filepath"][0]
        return _envelope(self.named or name, name.encode() * 100), name


# Sabotage (each tried): `force_close` is left out in DownlinkConnector (after the log-in, after the listing);
# `StaleResponses.check` returns at once (after each, later); `connector.trust()`
# whatever the two answers claim (after each, later, all of one name).
@pytest.mark.parametrize("named", [None, "a"])
@pytest.mark.parametrize("delay_s", [0.0, 0.003, 0.02])
@pytest.mark.parametrize("asked", ["auth/", "files/list", "files/downlink"])
async def test_an_answer_too_many_is_never_taken_for_a_file(
    tmp_path: Path, asked: str, delay_s: float, named: str | None
) -> None:
    async with serving(_TooTalkative(asked=asked, delay_s=delay_s, named=named)) as peer:
        settings = Settings(state_dir=None, durable=False)
        async with Client(peer.url, username="u", password="p", settings=settings) as em:
            report = await em.downlink([""], into=tmp_path / "out", workers=1)
    assert report.ok, [str(outcome.error) for outcome in report.failed]
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        name: name.encode() * 100 for name in _NAMES
    }
