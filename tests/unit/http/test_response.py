"""Bodies that arrive whole, cut, late, compressed or as something else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from emasync.config import Limits, Timeouts
from emasync.errors import NotFoundError, ProtocolError, ServerError, TimedOutError, UnreachableError
from emasync.wire import requests
from emasync.wire.requests import Volume
from tests.unit.http.peer import QUICK, Line, Script, serving, transport

LIST = requests.list_files(Volume())
STALLS = Timeouts(connect_s=0.3, stall_s=0.05)  # for the servers that never come to an end


def saying(data: bytes, *, stay: bool = False) -> Script:
    """Sends `data` after the request; then closes, or stays without a word."""

    async def script(line: Line) -> None:
        await line.head()
        await line.send(data)
        if stay:
            await line.drained()

    return script


def answer(body: bytes, *headers: str, status: int = 200, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def received(data: bytes, *, stay: bool = False, timeouts: Timeouts = QUICK) -> bytes:
    got = b""
    async with serving(saying(data, stay=stay)) as peer, transport(peer, timeouts) as out, out.send(LIST) as reply:
        while chunk := await reply.receive():
            got += chunk
    return got


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        answer(b"abc"),
        CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
    ],
    ids=["by length", "chunked", "by close"],
)
async def test_a_body_arrives_whole_however_its_end_is_marked(data: bytes) -> None:
    assert await received(data) == b"abc"


@pytest.mark.parametrize(
    "data",
    [answer(b"abc", length=4), CHUNKED + b"3\r\nabc\r\n", CHUNKED + b"5\r\nabc"],
    ids=["by length", "without the last chunk", "inside a chunk"],
)
async def test_a_body_that_is_cut_is_an_unreachable_error(data: bytes) -> None:
    # Sabotage: return b"" on a ClientPayloadError: the cut would pass for the end.
    with pytest.raises(UnreachableError, match="cut") as caught:
        await received(data)
    assert caught.value.sent


async def test_a_body_that_stalls_is_a_time_out_of_receiving() -> None:
    # Sabotage: drop the time-out in `_read`: the test hangs.
    with pytest.raises(TimedOutError, match="stalled") as caught:
        await received(answer(b"abc", length=10), stay=True, timeouts=STALLS)
    assert (caught.value.phase, caught.value.sent) == ("receive", True)


async def test_a_body_that_drips_is_a_stall_although_it_moves() -> None:
    # Sabotage: drop the comparison with low_speed_bytes_s: the drip would be read to its end.
    dripping = Timeouts(stall_s=5.0, low_speed_window_s=0.05, low_speed_bytes_s=1e9)

    async def drip(line: Line) -> None:
        await line.head()
        await line.send(answer(b"", length=1000))
        for _ in range(1000):
            await line.send(b"x")
            await anyio.sleep(0.005)

    async with serving(drip) as peer, transport(peer, dripping) as out:
        with pytest.raises(TimedOutError, match=r"only \d+ bytes in"):
            async with out.send(LIST) as reply:
                while await reply.receive():
                    pass


async def parsed(data: bytes, *, limits: Limits | None = None) -> object:
    async with serving(saying(data)) as peer, transport(peer, limits=limits) as out, out.send(LIST) as reply:
        return await reply.json()


async def test_a_json_answer_is_taken_whatever_its_type_says() -> None:
    assert await parsed(answer(b'{"a": 1}', "Content-Type: text/plain")) == {"a": 1}


@pytest.mark.parametrize("body", [b"<!doctype html><title>Log in</title>", b"\n  <html>"])
async def test_a_page_with_200_is_a_protocol_error_that_doubts_the_base_url(body: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"GET em/files/list: .*an HTML page: is the base URL right\?"):
        await parsed(answer(body))


async def test_a_compressed_answer_is_refused() -> None:
    # Sabotage: drop the look at Content-Encoding: the refusal would speak of broken UTF-8.
    with pytest.raises(ProtocolError, match="compressed"):
        await parsed(answer(b"\x1f\x8b\x08\x00", "Content-Encoding: gzip"))


async def test_an_endless_answer_is_cut_off_at_the_limit() -> None:
    # Sabotage: drop the comparison.
    with pytest.raises(ProtocolError, match="larger than 1000 bytes"):
        await parsed(answer(b" " * 5000), limits=Limits(json_reply=1000))


async def test_an_error_whose_body_never_ends_is_still_that_error() -> None:
    # Sabotage: drop the time-out in `error_body`: it drips on, and never stalls.
    async def drip(line: Line) -> None:
        await line.head()
        await line.send(answer(b'{"det', status=404, length=10**6))
        while True:
            await line.send(b"x")
            await anyio.sleep(0.005)

    async with serving(drip) as peer, transport(peer, STALLS) as out:
        with pytest.raises(NotFoundError):
            async with out.send(LIST):
                pass


async def test_of_an_error_s_body_only_so_much_is_read() -> None:
    endless = answer(b"<title>down</title>" + b"x" * 200_000, status=500, length=10**12)
    async with serving(saying(endless, stay=True)) as peer, transport(peer) as out:
        with pytest.raises(ServerError, match="down"):
            async with out.send(LIST):
                pass


async def test_a_listing_names_the_call_when_it_is_none() -> None:
    async with serving(saying(answer(b'{"data": null, "message": "off"}'))) as peer, transport(peer) as out:
        async with out.send(LIST) as reply:
            with pytest.raises(ProtocolError, match=r"GET em/files/list: .*no listing.*off"):
                await reply.listing()


# Sabotage: `json` takes `listing_reply`, or `listing` takes `json_reply`, as its bound.
async def test_a_listing_may_be_larger_than_other_answers_and_has_its_own_bound() -> None:
    limits = Limits(json_reply=1000, listing_reply=4000)
    for size, whole in ((3000, True), (5000, False)):
        body = b'{"data": []' + b" " * size + b"}"
        async with (
            serving(saying(answer(body))) as peer,
            transport(peer, limits=limits) as out,
            out.send(LIST) as reply,
        ):
            if whole:
                assert len(await reply.listing()) == 0
                continue
            with pytest.raises(ProtocolError, match="larger than 4000 bytes"):
                await reply.listing()


# Sabotage: leave out the checkpoints in `listing`, in the loop of the pieces or in that of `finish`.
async def test_other_tasks_run_while_a_listing_is_parsed() -> None:
    entries = b",".join(b'{"name":"f%d"}' % number for number in range(60_000))
    body = b'{"data":[' + entries + b"]}"
    async with serving(saying(answer(body))) as peer, transport(peer) as out, out.send(LIST) as reply:
        reply.receive = _all_at_once(body)  # type: ignore[method-assign]  # not even waits for the network
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await anyio.sleep(0)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            tree = await reply.listing()
            tasks.cancel_scope.cancel()
    assert len(tree) == 60_000
    assert turns >= len(body) // 65_536 + 6  # and one for each 10,000 files that are indexed


def _all_at_once(body: bytes) -> Callable[[], Coroutine[Any, Any, bytes]]:
    pieces = [body, b""]

    async def receive() -> bytes:
        return pieces.pop(0)

    return receive
