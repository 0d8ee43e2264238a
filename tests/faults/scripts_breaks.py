"""Connections that break, stall or drip, at a point that the script's randomness chooses.

Owns: scripts about when bytes come and how connections end. The bytes themselves are right as far as they come.
"""

from __future__ import annotations

import asyncio

from tests.faults.raw_server import Exchange, head
from tests.faults.scripts import DEAD, JUNK, LATE, NOT_FOR_GETS, WRONG, Script, every, uplink_only

_SINGLE = 16  # bytes that go out one by one
_DRIP_S = 0.01  # between bytes: 100 bytes a second are far below what counts as alive


async def _cut_by_length(ex: Exchange) -> None:
    body = await ex.body()
    await ex.send(head(f"Content-Length: {len(body)}", *ex.extra, kind=ex.kind) + body[: ex.point(len(body))])
    ex.close()


async def _cut_in_chunks(ex: Exchange) -> None:
    body = await ex.body()
    part = body[: ex.point(len(body)) + 1]
    chunk = b"%x\r\n%b\r\n" % (len(part), part)
    await ex.send(head("Transfer-Encoding: chunked", *ex.extra, kind=ex.kind) + chunk[: ex.point(len(chunk))])
    ex.close()


async def _lacks_the_last_chunk(ex: Exchange) -> None:
    body = await ex.body()
    await ex.send(head("Transfer-Encoding: chunked", *ex.extra, kind=ex.kind) + b"%x\r\n%b\r\n" % (len(body), body))
    ex.close()


async def _cut_by_close(ex: Exchange) -> None:
    body = await ex.body()
    await ex.send(head("Connection: close", *ex.extra, kind=ex.kind) + body[: ex.point(len(body))])
    ex.close()


async def _rst_at_once(ex: Exchange) -> None:
    ex.reset()


async def _closed_at_once(ex: Exchange) -> None:
    ex.close()


async def _rst_in_the_request(ex: Exchange) -> None:
    await ex.take(ex.point(ex.left))
    ex.reset()


async def _rst_before_headers(ex: Exchange) -> None:
    await ex.take()
    ex.reset()


async def _rst_in_headers(ex: Exchange) -> None:
    start = head(f"Content-Length: {len(await ex.body())}", *ex.extra, kind=ex.kind)
    await ex.send(start[: ex.point(len(start))])
    ex.reset()


async def _rst_in_body(ex: Exchange) -> None:
    body = await ex.body()
    await ex.send(head(f"Content-Length: {len(body)}", *ex.extra, kind=ex.kind) + body[: ex.point(len(body))])
    ex.reset()


async def _rst_behind_the_answer(ex: Exchange) -> None:
    await ex.answer(await ex.body(), *ex.extra)
    ex.reset()


async def _answer_lost(ex: Exchange) -> None:
    await ex.body()
    ex.close()


async def _closed_in_headers(ex: Exchange) -> None:
    start = head(f"Content-Length: {len(await ex.body())}", *ex.extra, kind=ex.kind)
    await ex.send(start[: ex.point(len(start))])
    ex.close()


async def _half_closed(ex: Exchange) -> None:
    await ex.body()
    ex.writer.write_eof()
    await ex.idle()
    ex.close()


async def _stall_before_headers(ex: Exchange) -> None:
    await ex.body()
    await ex.idle()
    ex.close()


async def _stall_in_headers(ex: Exchange) -> None:
    start = head(f"Content-Length: {len(await ex.body())}", *ex.extra, kind=ex.kind)
    await ex.send(start[: ex.point(len(start))])
    await ex.idle()
    ex.close()


async def _stall_in_body(ex: Exchange) -> None:
    body = await ex.body()
    await ex.send(head(f"Content-Length: {len(body)}", *ex.extra, kind=ex.kind) + body[: ex.point(len(body))])
    await ex.idle()
    ex.close()


async def _drip(ex: Exchange, data: bytes) -> None:
    for index in range(len(data)):
        if ex.em.released.is_set():
            break
        await ex.send(data[index : index + 1])
        await asyncio.sleep(_DRIP_S)
    ex.close()


async def _drip_body(ex: Exchange) -> None:
    body = (await ex.body()) + b" " * 2000  # white space is right behind JSON, and a raw file is then too long
    await ex.send(head(f"Content-Length: {len(body)}", *ex.extra, kind=ex.kind))
    await _drip(ex, body)


async def _drip_headers(ex: Exchange) -> None:
    await ex.body()
    await ex.send(b"HTTP/1.1 200 OK\r\n")
    await _drip(ex, b"X-Padding: 1\r\n" * 1000)


async def _byte_by_byte(ex: Exchange) -> None:
    body = await ex.body()
    data = head(f"Content-Length: {len(body)}", *ex.extra, kind=ex.kind) + body
    at = ex.point(len(data))
    await ex.send(data[:at])
    for byte in data[at : at + _SINGLE]:
        await ex.send(bytes((byte,)))
        await asyncio.sleep(0)
    await ex.send(data[at + _SINGLE :])


async def _never_reads(ex: Exchange) -> None:
    await ex.idle()
    ex.reset()


async def _reads_a_part(ex: Exchange) -> None:
    await ex.take(ex.point(ex.left // 2))
    await ex.idle()
    ex.reset()


async def _endless_1xx(ex: Exchange) -> None:
    await ex.body()
    while not ex.em.released.is_set():
        await ex.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(_DRIP_S)
    ex.close()


async def _hundred_1xx(ex: Exchange) -> None:
    await ex.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
    await ex.answer(await ex.body(), *ex.extra)


async def _closed_after_keep_alive(ex: Exchange) -> None:
    await ex.answer(await ex.body(), "Connection: keep-alive", *ex.extra)
    ex.close()


BREAKS = (
    Script(name="cut-by-length", play=_cut_by_length, ends=every(DEAD, "done")),
    Script(name="cut-in-chunks", play=_cut_in_chunks, ends=every(DEAD, "done")),
    Script(name="lacks-the-last-chunk", play=_lacks_the_last_chunk, ends=every(DEAD, "done")),
    Script(name="cut-by-close", play=_cut_by_close, ends=every(JUNK, "done", raw=WRONG)),
    Script(name="rst-at-once", play=_rst_at_once, ends=every(DEAD, f"{DEAD}|unknown"), most=9),
    Script(name="closed-at-once", play=_closed_at_once, ends=every(DEAD, f"{DEAD}|unknown"), most=9),
    Script(
        name="rst-in-the-request",
        play=_rst_in_the_request,
        ends=uplink_only(f"{DEAD}|unknown"),
        not_for=NOT_FOR_GETS,
        upload=400_000,
        most=9,
    ),
    Script(name="rst-before-headers", play=_rst_before_headers, ends=every(DEAD, "unknown")),
    Script(name="rst-in-headers", play=_rst_in_headers, ends=every(DEAD, "done")),
    Script(name="rst-in-body", play=_rst_in_body, ends=every(DEAD, "done")),
    Script(name="rst-behind-the-answer", play=_rst_behind_the_answer, ends=every(f"done|{DEAD}", "done")),
    Script(name="answer-lost", play=_answer_lost, ends=every(DEAD, "done")),
    Script(name="closed-in-headers", play=_closed_in_headers, ends=every(DEAD, "done")),
    Script(name="half-closed", play=_half_closed, ends=every(DEAD, "done")),
    Script(name="stall-before-headers", play=_stall_before_headers, ends=every(LATE, "done")),
    Script(name="stall-in-headers", play=_stall_in_headers, ends=every(LATE, "done")),
    Script(name="stall-in-body", play=_stall_in_body, ends=every(LATE, "done")),
    Script(name="drip-body", play=_drip_body, ends=every(LATE, "done")),
    Script(name="drip-headers", play=_drip_headers, ends=every(LATE, "done")),
    Script(name="byte-by-byte", play=_byte_by_byte, ends=every("done", "done"), most=1),
    Script(
        name="never-reads",
        play=_never_reads,
        ends=uplink_only("unknown"),
        not_for=NOT_FOR_GETS,
        upload=4_000_000,
    ),
    Script(
        name="reads-a-part",
        play=_reads_a_part,
        ends=uplink_only("unknown"),
        not_for=NOT_FOR_GETS,
        upload=4_000_000,
    ),
    Script(name="endless-1xx", play=_endless_1xx, ends=every(LATE, "done")),
    Script(name="hundred-1xx", play=_hundred_1xx, ends=every("done", "done"), most=1),
    Script(name="closed-after-keep-alive", play=_closed_after_keep_alive, ends=every("done", "done"), most=1),
)
