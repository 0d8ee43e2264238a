"""The EM's answers: JSON, and the HTML pages of its framework and proxies.

Owns: the words. May import aiohttp.web. Knows nothing of when they are due.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web


class RefusedError(Exception):
    """Ends a request with `response`, whatever of its body is still unread. `hard`: close without lingering."""

    def __init__(self, response: web.Response, *, hard: bool = False) -> None:
        super().__init__(response.status)
        self.response = response
        self.hard = hard


class SeveredError(Exception):
    """Ends a request without an answer, or in the middle of one; `rst`: with a reset instead of a close."""

    def __init__(self, *, rst: bool) -> None:
        super().__init__("reset" if rst else "close")
        self.rst = rst


def reply(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON."""
    return web.Response(
        body=json.dumps(body, ensure_ascii=True).encode(),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def page(status: int, title: str) -> web.Response:
    """HTML."""
    html = f"<!doctype html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return web.Response(text=html, status=status, content_type="text/html")


def error(code: str, message: str, *, status: int = 400, log_tail: list[str] | None = None) -> web.Response:
    """The EM's own error."""
    body: dict[str, Any] = {"error": code, "message": message}
    return reply(body if log_tail is None else body | {"log_tail": log_tail}, status=status)


def invalid(field: str, text: str) -> RefusedError:
    """DRF's validation error for one field."""
    return RefusedError(reply({field: [text]}, status=400))


def busy() -> web.Response:
    """423: another call has the EM."""
    return reply({"detail": "The EM is busy with another request. Please try again later."}, status=423)


def bad_token() -> web.Response:
    """401: the token is not, or no longer, good."""
    messages = [{"token_class": "AccessToken", "token_type": "access", "message": "Token is invalid or expired"}]
    body = {"detail": "Given token not valid for any token type", "code": "token_not_valid", "messages": messages}
    return reply(body, status=401, headers={"WWW-Authenticate": 'Bearer realm="api"'})
