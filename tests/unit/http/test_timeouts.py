"""How long the transport waits, phase by phase, over real sockets; and that nothing else ends a request."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from emasync.config import Limits, Timeouts
from emasync.errors import TimedOutError
from emasync.http import Transport
from emasync.wire import requests
from emasync.wire.requests import ApiRequest, Volume
from tests.unit.http.peer import QUICK, Line, ZeroBody, serving, transport

LIST = requests.list_files(Volume())
UPLINK = requests.uplink()
LOG_IN = requests.log_in("u", "p")
TICK_S = 0.02
TIGHT = Timeouts(connect_s=0.2, stall_s=0.2, low_speed_window_s=0.1, low_speed_bytes_s=50.0, answer_s=0.2)
"""All of them together are over in less time than a steady body of the tests takes."""


# Sabotage: leave `connect` and `sock_connect` out of ClientTimeout: it ends much later, as a request that was sent.
@pytest.mark.parametrize("call", [LIST, LOG_IN, UPLINK])
async def test_a_host_that_does_not_answer_the_knock_is_given_up_with_nothing_sent(call: ApiRequest) -> None:
    body = ZeroBody(1000) if call is UPLINK else None
    timeouts = Timeouts(connect_s=0.1, stall_s=5.0, answer_s=5.0, long_answer_s=5.0)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:  # its queue of one is full, it accepts nobody
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        began = time.monotonic()
        async with Transport(f"http://127.0.0.1:{deaf.getsockname()[1]}/", timeouts=timeouts, limits=Limits()) as out:
            with pytest.raises(TimedOutError, match=r"no connection to 127\.0\.0\.1:\d+ in 0\.1 s") as caught:
                async with out.send(call, body=body):
                    pass
        for one in waiting:
            one.close()
    assert (caught.value.phase, caught.value.sent) == ("connect", False)
    assert time.monotonic() - began < 3
    assert body is None or not body.closed  # it was never begun


# Sabotage: give `total=300` (aiohttp's own default), or `sock_read`, to ClientTimeout; or `allow_redirects=True`.
@pytest.mark.parametrize("call", [LIST, LOG_IN, UPLINK])
async def test_aiohttp_itself_has_no_time_out_but_that_of_connecting(
    call: ApiRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    request = aiohttp.ClientSession._request

    async def remember(self: aiohttp.ClientSession, *args: Any, **words: Any) -> aiohttp.ClientResponse:
        asked.append(words)
        return await request(self, *args, **words)

    async def answers(line: Line) -> None:
        await line.head()
        await line.answer()

    monkeypatch.setattr(aiohttp.ClientSession, "_request", remember)
    async with serving(answers) as peer, transport(peer) as out:
        async with out.send(call, body=ZeroBody(1) if call is UPLINK else None) as reply:
            await reply.json()
    (words,) = asked
    patience = words["timeout"]
    assert (patience.total, patience.sock_read) == (None, None)
    assert patience.connect == patience.sock_connect == QUICK.connect_s
    assert words["allow_redirects"] is False


# Sabotage: put the whole of `_read`'s loop under one `asyncio.timeout`, or give `total` to ClientTimeout: it is cut.
async def test_an_answer_that_moves_steadily_may_take_longer_than_all_time_outs_together() -> None:
    pieces = 50

    async def steadily(line: Line) -> None:
        await line.head()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * pieces))
        for _ in range(pieces):
            await line.send(bytes(100))
            await asyncio.sleep(TICK_S)

    began, got = time.monotonic(), 0
    async with serving(steadily) as peer, transport(peer, TIGHT) as out, out.send(LIST) as reply:
        while data := await reply.receive():
            got += len(data)
    assert got == 100 * pieces
    assert time.monotonic() - began > 0.9 > TIGHT.connect_s + TIGHT.stall_s + TIGHT.answer_s


# Sabotage: leave out `self._allow(self._timeouts.stall_s + late_s)` in Upload._progress: the first scope ends it.
async def test_a_body_that_moves_steadily_may_take_longer_than_all_time_outs_together() -> None:
    pieces = 50

    class Steady(ZeroBody):
        async def chunks(self) -> AsyncGenerator[bytes, None]:
            for _ in range(pieces):
                await asyncio.sleep(TICK_S)
                yield bytes(100)

    async def takes(line: Line) -> None:
        await line.head()
        await line.reader.readexactly(100 * pieces)
        await line.answer()

    began = time.monotonic()
    async with serving(takes) as peer, transport(peer, TIGHT) as out:
        async with out.send(UPLINK, body=Steady(100 * pieces)) as reply:
            assert await reply.json() == {}
    assert time.monotonic() - began > 0.9
