"""What is not HTTP, or HTTP that contradicts itself.

Owns: scripts about the frame of an answer: status line, fields, lengths and chunks.
"""

from __future__ import annotations

import asyncio
import gzip

from tests.faults.raw_server import Exchange, Play, head
from tests.faults.scripts import DEAD, JUNK, LATE, WRONG, Script, every

_LOST = every(JUNK, "done")


async def _send_and_close(ex: Exchange, data: bytes) -> None:
    await ex.send(data)
    await ex.linger()


def _instead(data: bytes) -> Play:
    """These bytes in place of an answer, the work done."""

    async def play(ex: Exchange) -> None:
        await ex.body()
        await _send_and_close(ex, data)

    return play


def _with(*fields: str, status: str = "200 OK") -> Play:
    """The right body behind these fields."""

    async def play(ex: Exchange) -> None:
        body = await ex.body()
        said = [field.replace("LENGTH", str(len(body))) for field in fields]
        await _send_and_close(ex, head(*said, *ex.extra, status=status, kind=ex.kind) + body)

    return play


def _chunked(size_line: bytes, end: bytes = b"\r\n0\r\n\r\n") -> Play:
    """The right body as one chunk, with this in place of its size."""

    async def play(ex: Exchange) -> None:
        body = await ex.body()
        frame = head("Transfer-Encoding: chunked", *ex.extra, kind=ex.kind)
        await _send_and_close(ex, frame + size_line + b"\r\n" + body + end)

    return play


async def _chunk_too_small(ex: Exchange) -> None:
    body = await ex.body()
    frame = head("Transfer-Encoding: chunked", *ex.extra, kind=ex.kind)
    await _send_and_close(ex, frame + b"%x\r\n%b\r\n0\r\n\r\n" % (ex.point(len(body)), body))


async def _noise(ex: Exchange) -> None:
    await ex.body()
    await _send_and_close(ex, b"\x00" + ex.rng.randbytes(ex.point(2000)) + b"\r\n\r\n")


async def _flipped_frame(ex: Exchange) -> None:
    body = await ex.body()
    frame = bytearray(head(f"Content-Length: {len(body)}", *ex.extra, kind=ex.kind))
    frame[ex.point(len(frame))] ^= 1 << ex.rng.randrange(8)
    await _send_and_close(ex, bytes(frame) + body)


async def _body_only(ex: Exchange) -> None:
    await _send_and_close(ex, await ex.body())


async def _length_too_small(ex: Exchange) -> None:
    body = await ex.body()
    short = ex.point(len(body))
    await _send_and_close(ex, head(f"Content-Length: {short}", *ex.extra, kind=ex.kind) + body)


async def _compressed(ex: Exchange) -> None:
    body = gzip.compress(await ex.body())
    await ex.answer(body, "Content-Encoding: gzip", *ex.extra)


async def _compressed_unsaid(ex: Exchange) -> None:
    await ex.answer(gzip.compress(await ex.body()), *ex.extra)


async def _second_answer(ex: Exchange, *, turns: int) -> None:
    """The right answer, and one that nobody asked for: what is next on this connection must not get it."""
    await ex.answer(await ex.body(), *ex.extra)
    for _ in range(turns):
        await asyncio.sleep(0)
    false = b'{"message": "", "data": []}'
    await ex.answer(false, kind="application/json")


async def _two_answers(ex: Exchange) -> None:
    await _second_answer(ex, turns=0)


async def _late_second_answer(ex: Exchange) -> None:
    await _second_answer(ex, turns=50)


JUNK_FRAMES = (
    Script(name="noise", play=_noise, ends=_LOST, sort="input"),
    Script(
        name="a-flipped-bit-in-the-frame",
        play=_flipped_frame,
        sort="input",
        most=60,
        ends=every(
            f"done|{JUNK}|{DEAD}|{WRONG}|BadRequestError|ServerError|BusyError|TimedOutError",
            f"done|unknown|{JUNK}|BadRequestError|BusyError",
        ),
    ),
    Script(name="ssh-banner", play=_instead(b"SSH-2.0-OpenSSH_9.6\r\n"), ends=_LOST, sort="input"),
    Script(name="http-0.9", play=_body_only, ends=every(f"{JUNK}|{DEAD}", "done"), sort="input"),
    Script(name="a-page-without-a-head", play=_instead(b"<html><title>hi</title></html>\n"), ends=_LOST, sort="input"),
    Script(
        name="tls-alert",
        play=_instead(b"\x15\x03\x01\x00\x02\x02\x16"),
        ends=every(f"{JUNK}|{DEAD}", "done"),
        sort="input",
    ),
    Script(
        name="version-9.9",
        play=_instead(b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ends=every(JUNK, "done", raw=f"{JUNK}|{WRONG}"),
        sort="input",
    ),
    Script(name="status-20", play=_with("Content-Length: LENGTH", status="20 OK"), ends=_LOST, sort="input"),
    Script(
        name="status-999",
        play=_with("Content-Length: LENGTH", status="999 OK"),
        ends=every(f"{JUNK}|ServerError", "done"),
        sort="input",
    ),
    Script(name="two-lengths", play=_with("Content-Length: LENGTH", "Content-Length: 1"), ends=_LOST, sort="input"),
    Script(
        name="length-and-chunks",
        play=_with("Content-Length: LENGTH", "Transfer-Encoding: chunked"),
        ends=every(f"{JUNK}|{DEAD}", "done"),
        sort="input",
    ),
    Script(name="negative-length", play=_with("Content-Length: -LENGTH"), ends=_LOST, sort="input"),
    Script(name="signed-length", play=_with("Content-Length: +LENGTH"), ends=_LOST, sort="input"),
    Script(name="wordy-length", play=_with("Content-Length: many"), ends=_LOST, sort="input"),
    Script(name="huge-length", play=_with(f"Content-Length: {10**18}"), ends=every(DEAD, "done"), sort="input"),
    Script(
        name="length-beyond-64-bit",
        play=_with(f"Content-Length: {10**30}"),
        ends=every(f"{JUNK}|{DEAD}", "done"),
        sort="input",
    ),
    Script(
        name="length-too-small", play=_length_too_small, ends=every(JUNK, "done", raw=f"{WRONG}|{JUNK}"), sort="input"
    ),
    Script(name="junk-for-a-chunk-size", play=_chunked(b"xyz"), ends=every(f"{JUNK}|{DEAD}", "done"), sort="input"),
    Script(name="negative-chunk-size", play=_chunked(b"-5"), ends=every(f"{JUNK}|{DEAD}", "done"), sort="input"),
    Script(name="huge-chunk-size", play=_chunked(b"F" * 32), ends=every(f"{JUNK}|{DEAD}", "done"), sort="input"),
    Script(
        name="chunk-size-beyond-the-body", play=_chunked(b"FFFFFF"), ends=every(f"{JUNK}|{DEAD}", "done"), sort="input"
    ),
    Script(
        name="chunk-size-too-small", play=_chunk_too_small, ends=every(f"{JUNK}|{DEAD}|{WRONG}", "done"), sort="input"
    ),
    Script(
        name="chunk-extension-flood",
        play=_chunked(b"FFFFF;" + b"x" * 300_000),  # no size that a body here may have
        ends=every(f"{JUNK}|{DEAD}|{LATE}", "done"),  # aiohttp drops the connection without telling the stream
        sort="input",
    ),
    Script(
        name="unknown-transfer-encoding",
        play=_with("Transfer-Encoding: bogus"),
        ends=every(f"{JUNK}|{DEAD}|done", "done"),
        sort="input",
    ),
    Script(
        name="header-flood",
        play=_with("Content-Length: LENGTH", *(f"X-{n}: 1" for n in range(20_000))),
        ends=_LOST,
        sort="input",
    ),
    Script(
        name="giant-header", play=_with("Content-Length: LENGTH", "X: " + "x" * 1_000_000), ends=_LOST, sort="input"
    ),
    Script(
        name="giant-status-line",
        play=_with("Content-Length: LENGTH", status="200 " + "x" * 1_000_000),
        ends=_LOST,
        sort="input",
    ),
    Script(name="header-without-colon", play=_with("Content-Length: LENGTH", "nonsense"), ends=_LOST, sort="input"),
    Script(name="nul-in-a-header", play=_with("Content-Length: LENGTH", "X: a\x00b"), ends=_LOST, sort="input"),
    Script(name="compressed", play=_compressed, ends=every(JUNK, "done"), sort="input"),
    Script(
        name="compressed-by-word-only",
        play=_with("Content-Length: LENGTH", "Content-Encoding: gzip"),
        ends=_LOST,
        sort="input",
    ),
    Script(name="compressed-unsaid", play=_compressed_unsaid, ends=every(JUNK, "done", raw=WRONG), sort="input"),
    Script(name="two-answers", play=_two_answers, ends=every("done", "done"), most=1, sort="input"),
    Script(name="a-second-answer-late", play=_late_second_answer, ends=every("done", "done"), most=1, sort="input"),
)
