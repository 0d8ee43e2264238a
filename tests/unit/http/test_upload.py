"""A body on its way out: stopped by an early answer, a peer that does not read, its own failure, or cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from aiohttp.abc import AbstractStreamWriter

from emasync.config import Timeouts
from emasync.errors import BusyError, ProtocolError, SourceChangedError, TimedOutError, UnreachableError
from emasync.http.upload import Upload
from emasync.wire import requests
from tests.unit.http.peer import Line, ZeroBody, serving, transport

UPLINK = requests.uplink()
MIB = 1 << 20


async def content_length(line: Line) -> int:
    head = await line.head()
    (length,) = [text.split(":")[1] for text in head.splitlines() if text.lower().startswith("content-length:")]
    return int(length)


async def taking(line: Line) -> None:
    """Reads the whole body, then answers."""
    await line.reader.readexactly(await content_length(line))
    await line.answer(200, b'{"data": {"file_count": 1}}')


@pytest.mark.parametrize("length", [1, 1000, 512 * 1024, 3 * MIB + 17])
async def test_a_body_goes_out_with_its_length_and_is_closed(length: int) -> None:
    # Sabotage: drop `_size`: it would go out chunked, which the EM takes for an empty body.
    body = ZeroBody(length)
    async with serving(taking) as peer, transport(peer) as out, out.send(UPLINK, body=body) as reply:
        assert await reply.json() == {"data": {"file_count": 1}}
    assert body.closed
    assert f"Content-Length: {length}\r\n" in peer.heads[0]
    assert "Transfer-Encoding" not in peer.heads[0]


@pytest.mark.parametrize("read", [0, 100_000])
async def test_an_early_423_stops_the_body_within_a_mebibyte(read: int) -> None:
    # Sabotage: drop `_check_for_response`: megabytes fill the sockets' buffers before the answer is seen.
    counted = asyncio.get_running_loop().create_future()

    async def locked(line: Line) -> None:
        await content_length(line)
        await line.reader.readexactly(read)
        await line.answer(423, b'{"detail": "locked"}', "Retry-After: 4")
        counted.set_result(read + await line.drained())

    body = ZeroBody(256 * MIB)
    async with serving(locked) as peer, transport(peer) as out:
        with pytest.raises(BusyError, match="locked") as caught:
            async with out.send(UPLINK, body=body):
                pass
        assert body.closed
        assert await asyncio.wait_for(counted, 20) < MIB
    assert (caught.value.status, caught.value.retry_after_s) == (423, 4.0)


async def test_a_200_before_the_whole_body_is_no_success() -> None:
    # Sabotage: drop the comparison of `sent` and `size` in `send`.
    async def hasty(line: Line) -> None:
        await content_length(line)
        await line.answer(200, b"{}")
        await line.drained()

    body = ZeroBody(64 * MIB)
    async with serving(hasty) as peer, transport(peer) as out:
        with pytest.raises(ProtocolError, match=r"answered 200 after \d+ of 67108864 bytes"):
            async with out.send(UPLINK, body=body):
                pass
    assert body.closed


async def test_an_answer_to_a_whole_body_counts_although_the_body_is_not_closed_yet() -> None:
    # Sabotage: ask for `complete` instead of `sent`: what the body does after its last byte would decide.
    answered = asyncio.Event()

    async def wait() -> None:
        await answered.wait()

    body = ZeroBody(1000, at_end=wait)
    async with serving(taking) as peer, transport(peer) as out:
        async with out.send(UPLINK, body=body) as reply:
            answered.set()
            assert await reply.json()
    assert body.closed


async def test_a_peer_that_never_reads_is_a_time_out_of_sending() -> None:
    # Sabotage: begin with the answer's time-out while the body is still going out.
    async def deaf(line: Line) -> None:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    body = ZeroBody(256 * MIB)
    timeouts = Timeouts(connect_s=5.0, stall_s=0.1, answer_s=60.0, long_answer_s=60.0)
    async with serving(deaf) as peer, transport(peer, timeouts) as out:
        with pytest.raises(TimedOutError, match=r"took no more data after \d+ of") as caught:
            async with out.send(UPLINK, body=body):
                pass
    assert (caught.value.phase, caught.value.sent, body.closed) == ("send", True, True)


async def test_a_body_that_crawls_is_a_stall_although_it_moves() -> None:
    # Sabotage: drop the low-speed test in `_progress`.
    async def slowly() -> None:
        raise AssertionError("the body must not reach its end")

    class Crawl(ZeroBody):
        async def chunks(self):  # type: ignore[no-untyped-def]
            try:
                for _ in range(1000):
                    await asyncio.sleep(0.005)
                    yield b"x"
                await slowly()
            finally:
                self.closed = True

    body = Crawl(1000)
    timeouts = Timeouts(connect_s=5.0, stall_s=1000.0, low_speed_window_s=0.05, low_speed_bytes_s=1e6)
    async with serving(taking) as peer, transport(peer, timeouts) as out:
        with pytest.raises(TimedOutError) as caught:
            async with out.send(UPLINK, body=body):
                pass
    assert (caught.value.phase, body.closed) == ("send", True)


async def test_silence_after_the_last_byte_has_its_own_patience() -> None:
    # Sabotage: leave the stall's time-out in force while the EM works.
    async def working(line: Line) -> None:
        await line.reader.readexactly(await content_length(line))
        await asyncio.sleep(0.4)
        await line.answer()

    timeouts = Timeouts(connect_s=5.0, stall_s=0.2, answer_s=0.2, long_answer_s=5.0)
    async with serving(working) as peer, transport(peer, timeouts) as out:
        async with out.send(UPLINK, body=ZeroBody(10)) as reply:
            assert reply.headers["Content-Length"] == "2"
        with pytest.raises(TimedOutError, match=r"no answer within 0\.1 s") as caught:
            impatient = Timeouts(connect_s=5.0, stall_s=5.0, long_answer_s=0.1)
            async with transport(peer, impatient) as other, other.send(UPLINK, body=ZeroBody(10)):
                pass
    assert (caught.value.phase, caught.value.sent) == ("answer", True)


@pytest.mark.parametrize("error", [SourceChangedError("the file changed"), OSError(5, "I/O error")])
async def test_what_the_body_raises_comes_out_as_it_is(error: Exception) -> None:
    # Sabotage: drop `own` in `_request`: aiohttp renames it to a connection error, which would be retried.
    body = ZeroBody(1000, given=500, fails=error)
    async with serving(taking) as peer, transport(peer) as out:
        with pytest.raises(type(error)) as caught:
            async with out.send(UPLINK, body=body):
                pass
    assert caught.value is error
    assert body.closed


@pytest.mark.parametrize("given", [0, 999, 1001, 2000])
async def test_a_body_of_another_length_than_announced_is_an_error(given: int) -> None:
    # Sabotage: drop the comparison in `_next`: the EM would wait for ever, or take the rest for another request.
    body = ZeroBody(1000, given=given, piece=500)
    async with serving(taking) as peer, transport(peer) as out:
        with pytest.raises(ValueError, match="1000 were announced"):
            async with out.send(UPLINK, body=body):
                pass
    assert body.closed


async def test_a_reset_in_the_middle_says_that_something_was_sent() -> None:
    async def slam(line: Line) -> None:
        await content_length(line)
        await line.reader.readexactly(MIB)
        line.writer.transport.abort()

    body = ZeroBody(64 * MIB)
    async with serving(slam) as peer, transport(peer) as out:
        with pytest.raises(UnreachableError) as caught:
            async with out.send(UPLINK, body=body):
                pass
    assert (caught.value.sent, body.closed) == (True, True)


async def test_where_nobody_listens_the_body_is_never_begun() -> None:
    async with serving(taking) as peer:
        pass
    body = ZeroBody(1000)
    async with transport(peer) as out:
        with pytest.raises(UnreachableError) as caught:
            async with out.send(UPLINK, body=body):
                pass
    assert (caught.value.sent, body.closed) == (False, False)


async def test_cancellation_returns_when_the_body_is_closed() -> None:
    # Sabotage: drop `settled`: the file of the body could be read after its owner has gone on.
    begun = asyncio.Event()

    async def deaf(line: Line) -> None:
        await line.head()
        begun.set()
        await asyncio.Event().wait()

    body = ZeroBody(256 * MIB)
    async with serving(deaf) as peer, transport(peer) as out:

        async def send() -> None:
            async with out.send(UPLINK, body=body):
                pass

        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(send())
            await begun.wait()
            sending.cancel()
        assert body.closed


class SlowlyClosedBody(ZeroBody):
    """Closing it takes turns of the loop, as closing a file in a thread does."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in super().chunks():
                yield chunk
        finally:
            await asyncio.sleep(0.01)


class StuckWriter(AbstractStreamWriter):
    """A connection that takes nothing."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def write(self, chunk: object) -> None:
        self.asked.set()
        await asyncio.Event().wait()

    async def write_eof(self, chunk: bytes = b"") -> None: ...
    async def drain(self) -> None: ...
    def enable_compression(self, *args: object, **kwargs: object) -> None: ...
    def enable_chunking(self) -> None: ...
    async def write_headers(self, *args: object, **kwargs: object) -> None: ...


async def test_a_body_cancelled_twice_has_still_ended_for_whoever_waits_for_that() -> None:
    # Sabotage: set `_ended` behind `aclose`, not in a `finally`: after a reset at a bad moment `send` never returns.
    upload = Upload(SlowlyClosedBody(MIB), Timeouts(), long=True)
    writer = StuckWriter()
    task = asyncio.create_task(upload.write(writer))
    await writer.asked.wait()
    task.cancel()
    await asyncio.sleep(0)  # closing the body now
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(upload.wait_closed(), 20)
