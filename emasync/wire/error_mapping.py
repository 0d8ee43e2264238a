"""Maps a response outside 2xx (status, headers and a small body) to an error of `emasync.errors`.

No secret remains in the text of an error. What to do about an error is decided in `emasync.http.retry`, not here. Must
not import other modules of wire but `requests`.
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
_I_VARIANTS = {0x130: "i", 0x131: "i"}  # IGNORECASE takes them for an i, `casefold` does not
_COMPLETE_FIELD = re.compile(r'"(error|message|detail)"\s*:\s*("(?:[^"\\]|\\.)*+")')


def error_for_response(
    request: ApiRequest, status: int, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]
) -> EMError:
    """The error for a `status` outside 2xx. `headers` have lower-case names; `body` may be cut at any byte.

    The `secrets` are removed from every text, because a server may echo what it was sent.
    """
    text = scrub(body.decode("utf-8", "replace"), secrets)
    parsed = _parse_fields(text)
    detail = _detail(parsed, text)
    detail = scrub(detail, secrets) if detail else None  # again: JSON and HTML have more spellings
    prefix = f"{request} ({safe(request.subject)})" if request.subject else str(request)
    suffix = f": {safe(detail)}" if detail else ""
    common: dict[str, Any] = {"call": str(request), "status": status, "detail": detail}
    if 300 <= status < 400:
        target = scrub(headers.get("location", "nowhere"), secrets)
        return ProtocolError(
            f"{prefix}: the server redirects ({status}) to {safe(target)}; emasync never follows, check the base URL",
            **common,
        )
    if status in _BUSY:
        wait = retry_after_s(headers)
        return BusyError(f"{prefix}: {_BUSY[status]} ({status}){suffix}", retry_after_s=wait, **common)
    if status == 401:
        return AuthError(f"{prefix}: not authorised (401){suffix}", **common)
    if status == 403:
        return ForbiddenError(f"{prefix}: forbidden (403){suffix}", **common)
    if status == 404:
        return NotFoundError(f"{prefix}: not found (404){suffix}", **common)
    if 400 <= status < 500:
        return _bad_request(prefix, suffix, parsed, common, secrets)
    if status >= 500:
        return ServerError(f"{prefix}: the server failed ({status}){suffix}", **common)
    return ProtocolError(f"{prefix}: unexpected status {status}{suffix}", **common)


def _bad_request(
    prefix: str, suffix: str, parsed: dict[str, Any], common: dict[str, Any], secrets: Sequence[str]
) -> BadRequestError:
    def clean(value: object) -> str:
        return scrub(str(value), secrets)

    code = clean(parsed["error"]) if isinstance(parsed.get("error"), str) else None
    tail = parsed.get("log_tail")
    lines = [clean(line).rstrip("\r\n")[:_LOG_LINE] for line in tail[-_LOG_LINES:]] if isinstance(tail, list) else []
    fields = {
        clean(key): tuple(clean(text) for text in value)
        for key, value in parsed.items()
        if isinstance(value, list) and key != "log_tail"
    }
    kind = TooLargeError if common["status"] == 413 else _BY_CODE.get(code or "", BadRequestError)
    named = f" [{safe(code)}]" if code else ""
    return kind(
        f"{prefix}: refused ({common['status']}){named}{suffix}", code=code, log_tail=lines, fields=fields, **common
    )


def _parse_fields(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _fields_of_cut_object(text)
    return value if isinstance(value, dict) else {}


def _fields_of_cut_object(text: str) -> dict[str, Any]:
    """The complete fields of a JSON object that was cut: a long build log must not hide that the build failed."""
    fields: dict[str, Any] = {}
    for key, value in _COMPLETE_FIELD.findall(text) if text.lstrip().startswith("{") else ():
        with suppress(ValueError):
            fields.setdefault(key, json.loads(value))
    return fields


def _detail(parsed: dict[str, Any], text: str) -> str | None:
    for key in ("message", "detail", "error"):
        if isinstance(parsed.get(key), str) and parsed[key]:
            return str(parsed[key])
    if parsed:
        fields = [f"{key}: {' '.join(map(str, value))}" for key, value in parsed.items() if isinstance(value, list)]
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
    """`text` with every secret replaced, in all its `spellings` and in either case (%2f is %2F)."""
    folded = _folded(text)
    for secret in filter(None, secrets):
        for spelling in sorted(spellings(secret), key=len, reverse=True):
            if _folded(spelling) in folded:  # else it is not compiled: `re` caches its last 512 patterns
                text = re.sub(re.escape(spelling), "[secret]", text, flags=re.IGNORECASE)
                folded = _folded(text)
    return text


def _folded(text: str) -> str:
    """`text` in a form in which letters are equal that IGNORECASE takes for equal, over all of Unicode."""
    return text.translate(_I_VARIANTS).casefold()


def spellings(secret: str) -> set[str]:
    """The forms in which a server may echo `secret`: as it is, as JSON, percent-encoded, as HTML."""
    percent = (quote(secret), quote(secret, safe=""), quote_plus(secret))
    return {secret, json.dumps(secret)[1:-1], *percent, html.escape(secret)}
