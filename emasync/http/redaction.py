"""Redaction: the password and the tokens of one Transport are taken out of responses and errors that repeat them.

Knows nothing of connections. Must not import other modules of http.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from emasync.errors import EMError, ProtocolError
from emasync.wire.error_mapping import scrub, spellings
from emasync.wire.requests import ApiRequest, Kind

_SECRET_LENGTH = 12  # shorter ones may be part of names and messages; only the request that sent one has it redacted
_TOKENS = 32
_ESCAPED_ASCII = re.compile(r"\\u00([2-7][0-9a-fA-F])")


class Redactor:
    """Knows the password and the last tokens: a hostile or careless server may repeat any of them in any response."""

    __slots__ = ("_passwords", "_tokens")

    def __init__(self) -> None:
        self._passwords: set[str] = set()
        self._tokens: deque[str] = deque(maxlen=_TOKENS)

    def register(self, request: ApiRequest, token: str | None) -> list[str]:
        """Remember the secrets that `request` carries, and return all that a response to it could repeat."""
        fields = {**(request.form or {}), **(request.json or {})}
        password, refresh = fields.get("password"), fields.get("refresh")
        own = [str(secret) for secret in (password, refresh, token) if secret]
        self._remember(*(str(secret) for secret in (refresh, token) if secret))
        if password and len(str(password)) >= _SECRET_LENGTH:
            self._passwords.add(str(password))
        return list(dict.fromkeys([*own, *self._known()]))

    def is_repeated_in(self, request: ApiRequest, body: str) -> bool:
        """Whether the response `body` holds a secret. The response to a log-in may: its tokens are what it is for."""
        if request.kind is Kind.AUTH:
            return False
        plain = _unescaped(body)
        return any(form in plain for secret in self._known() for form in spellings(secret))

    def redact(self, value: Any) -> Any:
        """A JSON `value` without secrets."""
        try:
            return _redacted(value, self._known())
        except RecursionError:
            raise ProtocolError("the answer is nested too deeply") from None

    def register_response(self, request: ApiRequest, value: Any) -> None:
        """Remember the tokens in the response to a log-in."""
        if request.kind is Kind.AUTH and isinstance(value, dict):
            self._remember(*(value[key] for key in ("access", "refresh") if isinstance(value.get(key), str)))

    def redact_error(self, error: EMError) -> None:
        """Take every secret out of `error`'s message and attributes: a parser may have quoted what it rejected."""
        known = self._known()
        error.args = tuple(_redacted(argument, known) for argument in error.args)
        for name, attribute in vars(error).items():
            if isinstance(attribute, str | tuple | dict):
                setattr(error, name, _redacted(attribute, known))

    def _known(self) -> list[str]:
        return [*self._passwords, *self._tokens]

    def _remember(self, *tokens: str) -> None:
        self._tokens.extend(token for token in tokens if len(token) >= _SECRET_LENGTH and token not in self._tokens)


def _unescaped(body: str) -> str:
    """`body` without the JSON escapes that could hide a secret in ASCII."""
    if "\\" not in body:  # the usual case: a listing of very many files is not copied for nothing
        return body
    return _ESCAPED_ASCII.sub(lambda match: chr(int(match[1], 16)), body).replace("\\/", "/")


def _redacted(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        return scrub(value, secrets)
    if isinstance(value, list):
        return [_redacted(item, secrets) for item in value]
    if isinstance(value, tuple):
        return tuple(_redacted(item, secrets) for item in value)
    if isinstance(value, Mapping):
        return {_redacted(key, secrets): _redacted(item, secrets) for key, item in value.items()}
    return value
