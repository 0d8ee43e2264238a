"""What an answer other than 2xx means: status, headers and a small body to one error of the tree.

Owns: the mapping of the EM's errors, and that no secret survives in their text. May import model and errors.
Knows nothing of retries: the error carries the facts, `emasync.http.retry` decides.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, quote_plus

from emasync.errors import (
    AuthError,
    BadRequestError,
    BuildFailedError,
    BusyError,
    EMError,
    ForbiddenError,
    ImageLoadError,
    NotFoundError,
    ProtocolError,
    ServerError,
    TooLargeError,
)
from emasync.model import safe
from emasync.wire.requests import ApiRequest

_BUSY = {423: "the EM is locked by another call", 429: "too many requests", 503: "the service is not available"}
_BY_CODE: dict[str, type[BadRequestError]] = {
    "BUILD_FAILED": BuildFailedError,
    "IMAGE_LOAD_FAILED": ImageLoadError,
    "MAX_UPLINK_SIZE_EXCEEDED": TooLargeError,
}
_LOG_LINES, _LOG_LINE = 100, 2000
_DOTS_OF_I = {0x130: "i", 0x131: "i"}  # the two that IGNORECASE takes for an i and `casefold` does not
_WHOLE_FACT = re.compile(r'"(error|message|detail)"\s*:\s*("(?:[^"\\]|\\.)*+")')


def refusal(
    call: ApiRequest, status: int, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]
) -> EMError:
    """The error for a `status` outside 2xx. `headers` have lower-case names; `body` may be cut at any byte.

    Whatever stands in `secrets` is struck from every text: a server may echo what it was sent.
    """
    text = scrub(body.decode("utf-8", "replace"), secrets)
    facts = _facts(text)
    detail = _detail(facts, text)
    detail = scrub(detail, secrets) if detail else None  # again: JSON and HTML have more spellings than `scrub` knows
    about = f"{call} ({safe(call.subject)})" if call.subject else str(call)
    said = f": {safe(detail)}" if detail else ""
    common: dict[str, Any] = {"call": str(call), "status": status, "detail": detail}
    if 300 <= status < 400:
        target = scrub(headers.get("location", "nowhere"), secrets)
        return ProtocolError(
            f"{about}: the server redirects ({status}) to {safe(target)}; emasync never follows, check the base URL",
            **common,
        )
    if status in _BUSY:
        wait = retry_after_s(headers)
        return BusyError(f"{about}: {_BUSY[status]} ({status}){said}", retry_after_s=wait, **common)
    if status == 401:
        return AuthError(f"{about}: not authorised (401){said}", **common)
    if status == 403:
        return ForbiddenError(f"{about}: forbidden (403){said}", **common)
    if status == 404:
        return NotFoundError(f"{about}: not found (404){said}", **common)
    if 400 <= status < 500:
        return _bad_request(about, said, facts, common, secrets)
    if status >= 500:
        return ServerError(f"{about}: the server failed ({status}){said}", **common)
    return ProtocolError(f"{about}: unexpected status {status}{said}", **common)


def _bad_request(
    about: str, said: str, facts: dict[str, Any], common: dict[str, Any], secrets: Sequence[str]
) -> BadRequestError:
    def clean(value: object) -> str:
        return scrub(str(value), secrets)

    code = clean(facts["error"]) if isinstance(facts.get("error"), str) else None
    tail = facts.get("log_tail")
    lines = [clean(line).rstrip("\r\n")[:_LOG_LINE] for line in tail[-_LOG_LINES:]] if isinstance(tail, list) else []
    fields = {
        clean(key): tuple(clean(text) for text in value)
        for key, value in facts.items()
        if isinstance(value, list) and key != "log_tail"
    }
    kind = TooLargeError if common["status"] == 413 else _BY_CODE.get(code or "", BadRequestError)
    named = f" [{safe(code)}]" if code else ""
    return kind(
        f"{about}: refused ({common['status']}){named}{said}", code=code, log_tail=lines, fields=fields, **common
    )


def _facts(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _fragments(text)
    return value if isinstance(value, dict) else {}


def _fragments(text: str) -> dict[str, Any]:
    """What can be read of an object that was cut: a long build log must not hide that the build failed."""
    found: dict[str, Any] = {}
    for key, value in _WHOLE_FACT.findall(text) if text.lstrip().startswith("{") else ():
        with suppress(ValueError):
            found.setdefault(key, json.loads(value))
    return found


def _detail(facts: dict[str, Any], text: str) -> str | None:
    for key in ("message", "detail", "error"):
        if isinstance(facts.get(key), str) and facts[key]:
            return str(facts[key])
    if facts:
        fields = [f"{key}: {' '.join(map(str, value))}" for key, value in facts.items() if isinstance(value, list)]
        return "; ".join(fields) or None
    if title := re.search(r"<title[^>]*>(.{1,200}?)</title>", text, re.IGNORECASE | re.DOTALL):
        return " ".join(html.unescape(title[1]).split())
    return " ".join(text.split())[:200] or None


def retry_after_s(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds of a ``Retry-After`` header, as a number or an HTTP date; None where there is none that can be read.

    The value is not bounded here (see `emasync.http.retry`), but never negative.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            seconds = (moment - (now or datetime.now(UTC))).total_seconds()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def scrub(text: str, secrets: Sequence[str]) -> str:
    """`text` with every secret struck out, in all its `spellings` and in either case (%2f is %2F)."""
    folded = _folded(text)
    for secret in filter(None, secrets):
        for spelling in sorted(spellings(secret), key=len, reverse=True):
            if _folded(spelling) in folded:  # `re` keeps its last 512 patterns: no secret goes there without need
                text = re.sub(re.escape(spelling), "[secret]", text, flags=re.IGNORECASE)
                folded = _folded(text)
    return text


def _folded(text: str) -> str:
    """What IGNORECASE holds for the same letter is the same here, over all of Unicode."""
    return text.translate(_DOTS_OF_I).casefold()


def spellings(secret: str) -> set[str]:
    """How a server may echo `secret`: as it is, as JSON, percent-encoded, as HTML."""
    percent = (quote(secret), quote(secret, safe=""), quote_plus(secret))
    return {secret, json.dumps(secret)[1:-1], *percent, html.escape(secret)}
