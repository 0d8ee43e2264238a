"""The EM's responses: its JSON, and the HTML pages of its framework and proxies.

Must not import state or exchange: when a response is due is decided elsewhere.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web


class RefusedError(Exception):
    """Ends a request with `response`, however much of its body is unread. `hard`: close without lingering."""

    def __init__(self, response: web.Response, *, hard: bool = False) -> None:
        super().__init__(response.status)
        self.response = response
        self.hard = hard


class ConnectionDropError(Exception):
    """Ends a request by closing its connection, without a response or in the middle of one; `rst`: by a TCP reset."""

    def __init__(self, *, rst: bool) -> None:
        super().__init__("reset" if rst else "close")
        self.rst = rst


def json_response(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """`body` as JSON, in ASCII."""
    return web.Response(
        body=json.dumps(body, ensure_ascii=True).encode(),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def html_response(status: int, title: str) -> web.Response:
    """A page of the framework or of a proxy."""
    html = f"<!doctype html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return web.Response(text=html, status=status, content_type="text/html")


def redirect_response(location: str, *, status: int) -> web.Response:
    """A redirect to `location`."""
    response = html_response(status, "Moved")
    response.headers["Location"] = location
    return response


def error_response(code: str, message: str, *, status: int = 400, log_tail: list[str] | None = None) -> web.Response:
    """An error in the EM's own form."""
    body: dict[str, Any] = {"error": code, "message": message}
    return json_response(body if log_tail is None else body | {"log_tail": log_tail}, status=status)


def validation_error(field: str, text: str) -> RefusedError:
    """Django REST framework's validation error for one field."""
    return RefusedError(json_response({field: [text]}, status=400))


def busy_response() -> web.Response:
    """423: another request holds the EM's lock."""
    return json_response({"detail": "The EM is busy with another request. Please try again later."}, status=423)


def invalid_token_response() -> web.Response:
    """401: the token is wrong, expired or revoked."""
    messages = [{"token_class": "AccessToken", "token_type": "access", "message": "Token is invalid or expired"}]
    body = {"detail": "Given token not valid for any token type", "code": "token_not_valid", "messages": messages}
    return json_response(body, status=401, headers={"WWW-Authenticate": 'Bearer realm="api"'})
