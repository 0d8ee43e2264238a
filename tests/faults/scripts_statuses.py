"""Answers that say no, too early, too late or with the wrong face.

Owns: scripts about statuses and about answers that come before the request was read.
"""

from __future__ import annotations

import json

from tests.faults.raw_server import Exchange, head
from tests.faults.scripts import DEAD, JUNK, NOT_FOR_GETS, WRONG, Script, every, uplink_only

_LARGE = 1_500_000
_PAGE = b"<!DOCTYPE html><html><head><title>Bad Gateway</title></head><body>nginx</body></html>"
_TOKEN = b'{"detail": "Given token not valid for any token type", "code": "token_not_valid"}'
_BUSY, _AUTH, _LARGE_ERROR = "BusyError", "AuthError", "TooLargeError"


async def _say(ex: Exchange, status: str, body: bytes = b'{"detail": "no"}', *fields: str) -> None:
    """This status, the request read to its end and nothing done."""
    await ex.take()
    await ex.answer(body, *fields, status=status, kind="application/json")


async def _early(ex: Exchange, status: str, body: bytes = b'{"detail": "no"}') -> None:
    """This status before the body was read, in a way that it can be read."""
    await ex.answer(body, "Connection: close", status=status, kind="application/json")
    await ex.linger()


async def _unauthorized(ex: Exchange) -> None:
    await _say(ex, "401 Unauthorized", _TOKEN)


async def _unauthorized_early(ex: Exchange) -> None:
    await _early(ex, "401 Unauthorized", _TOKEN)


async def _locked(ex: Exchange) -> None:
    await _say(ex, "423 Locked")


async def _locked_early(ex: Exchange) -> None:
    await _early(ex, "423 Locked")


async def _locked_in_the_request(ex: Exchange) -> None:
    await ex.take(ex.point(ex.left))
    await _early(ex, "423 Locked")


async def _locked_and_reset(ex: Exchange) -> None:
    await ex.take(ex.point(ex.left))
    await ex.answer(b"{}", "Connection: close", status="423 Locked", kind="application/json")
    ex.close()


async def _overloaded(ex: Exchange) -> None:
    await _say(ex, "503 Service Unavailable", _PAGE, "Retry-After: 0")


async def _throttled(ex: Exchange) -> None:
    await _say(ex, "429 Too Many Requests", b'{"detail": "throttled"}', "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT")


async def _too_large(ex: Exchange) -> None:
    await _say(ex, "413 Payload Too Large", _PAGE)


async def _too_large_early(ex: Exchange) -> None:
    await _early(ex, "413 Payload Too Large", _PAGE)


async def _taken_early(ex: Exchange) -> None:
    await _early(ex, "200 OK", json.dumps({"message": "", "data": {"file_count": 3}}).encode())


async def _bad_request(ex: Exchange) -> None:
    await _say(ex, "400 Bad Request", _PAGE)


async def _bad_request_stalls(ex: Exchange) -> None:
    await ex.take()
    await ex.send(head("Content-Length: 5000", status="400 Bad Request") + b'{"error": "NO_FI')
    await ex.idle()
    ex.close()


async def _giant_refusal(ex: Exchange) -> None:
    body = b'{"error": "X", "message": "' + b"x" * 1_000_000 + b'"}'
    await _say(ex, "400 Bad Request", body)


async def _forbidden(ex: Exchange) -> None:
    await _say(ex, "403 Forbidden")


async def _missing(ex: Exchange) -> None:
    await _say(ex, "404 Not Found", _PAGE)


async def _failed(ex: Exchange) -> None:
    await _say(ex, "500 Internal Server Error", b'{"error": "INTERNAL_ERROR"}')


async def _failed_but_done(ex: Exchange) -> None:
    await ex.body()
    await ex.answer(b"{}", status="500 Internal Server Error", kind="application/json")


async def _proxy_502(ex: Exchange) -> None:
    await ex.take()
    await ex.answer(_PAGE, status="502 Bad Gateway", kind="text/html")


async def _proxy_504_but_done(ex: Exchange) -> None:
    await ex.body()
    await ex.answer(_PAGE, status="504 Gateway Timeout", kind="text/html")


async def _redirect(ex: Exchange) -> None:
    await ex.take()
    await ex.answer(_PAGE, f"Location: {ex.em.url}elsewhere", status="302 Found", kind="text/html")


async def _redirect_307(ex: Exchange) -> None:
    await ex.take()
    await ex.answer(b"", f"Location: {ex.em.url}elsewhere", status="307 Temporary Redirect")


async def _page(ex: Exchange) -> None:
    await ex.take()
    await ex.answer(_PAGE, status="200 OK", kind="text/html; charset=utf-8")


async def _empty(ex: Exchange) -> None:
    await ex.take()
    await ex.answer(b"", *ex.extra)


async def _no_content(ex: Exchange) -> None:
    await ex.take()
    await ex.send(b"HTTP/1.1 204 No Content\r\n\r\n")


async def _partial(ex: Exchange) -> None:
    body = await ex.body()
    part = body[: ex.point(len(body))]
    await ex.answer(part, f"Content-Range: bytes 0-{len(part)}/{len(body)}", *ex.extra, status="206 Partial Content")


async def _switching(ex: Exchange) -> None:
    await ex.take()
    await ex.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI")
    ex.close()


_REFUSED = "BadRequestError"

STATUSES = (
    Script(name="401-always", play=_unauthorized, ends=every(_AUTH, _AUTH), most=2),
    Script(
        name="401-early",
        play=_unauthorized_early,
        ends=uplink_only(_AUTH),
        not_for=NOT_FOR_GETS,
        upload=_LARGE,
        most=2,
    ),
    Script(name="423-always", play=_locked, ends=every(_BUSY, _BUSY), most=60),
    Script(name="423-early", play=_locked_early, ends=uplink_only(_BUSY), not_for=NOT_FOR_GETS, upload=_LARGE, most=60),
    Script(
        name="423-in-the-request",
        play=_locked_in_the_request,
        ends=uplink_only(_BUSY),
        not_for=NOT_FOR_GETS,
        upload=_LARGE,
        most=60,
    ),
    Script(
        name="423-and-a-reset",
        play=_locked_and_reset,
        ends=uplink_only(f"{_BUSY}|unknown|{DEAD}"),
        not_for=NOT_FOR_GETS,
        upload=_LARGE,
        most=60,
    ),
    Script(name="503-retry-after-0", play=_overloaded, ends=every(_BUSY, _BUSY), most=60),
    Script(name="429-retry-after-1970", play=_throttled, ends=every(_BUSY, _BUSY), most=60),
    Script(name="413", play=_too_large, ends=every(_LARGE_ERROR, _LARGE_ERROR), most=5),
    Script(
        name="413-early",
        play=_too_large_early,
        ends=uplink_only(_LARGE_ERROR),
        not_for=NOT_FOR_GETS,
        upload=_LARGE,
        most=5,
    ),
    Script(
        name="200-early",
        play=_taken_early,
        ends=uplink_only("unknown"),
        not_for=NOT_FOR_GETS,
        upload=_LARGE,
    ),
    Script(name="400-page", play=_bad_request, ends=every(_REFUSED, _REFUSED), most=5),
    Script(name="400-stalls-in-its-body", play=_bad_request_stalls, ends=every(_REFUSED, _REFUSED), most=5),
    Script(name="400-with-a-megabyte", play=_giant_refusal, ends=every(_REFUSED, _REFUSED), most=5),
    Script(name="403", play=_forbidden, ends=every("ForbiddenError", "ForbiddenError"), most=1),
    Script(name="404", play=_missing, ends=every("NotFoundError", "NotFoundError"), most=1),
    Script(name="500", play=_failed, ends=every("ServerError", "unknown")),
    Script(name="500-but-done", play=_failed_but_done, ends=every("ServerError", "done")),
    Script(name="502-page", play=_proxy_502, ends=every("ServerError", "unknown")),
    Script(name="504-but-done", play=_proxy_504_but_done, ends=every("ServerError", "done")),
    Script(name="302-elsewhere", play=_redirect, ends=every(JUNK, JUNK), most=1, sort="input"),
    Script(name="307-elsewhere", play=_redirect_307, ends=every(JUNK, JUNK), most=1, sort="input"),
    Script(name="200-page", play=_page, ends=every(JUNK, "unknown"), sort="input"),
    Script(name="200-empty", play=_empty, ends=every(JUNK, "unknown", raw=WRONG), sort="input"),
    Script(name="204", play=_no_content, ends=every(JUNK, "unknown"), sort="input"),
    Script(name="206-a-part", play=_partial, ends=every(JUNK, "done"), sort="input"),
    Script(name="101", play=_switching, ends=every(JUNK, "unknown"), sort="input"),
)
