"""What was said in confidence on one Transport, and that nothing the server says repeats it.

Owns: remembering password and tokens, and striking them from answers and errors. May import wire, model and errors.
Knows nothing of connections.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from emasync.errors import EMError, ProtocolError
from emasync.wire.error_mapping import scrub, spellings
from emasync.wire.requests import ApiRequest, Kind

_TELLING = 12  # shorter ones may stand in names and messages for other reasons; only the call that sent one strikes it
_TOKENS = 32
_ASCII = re.compile(r"\\u00([2-7][0-9a-fA-F])")


class Secrets:
    """The password and the last tokens. A hostile or talkative server knows them all, whatever call it answers."""

    __slots__ = ("_passwords", "_tokens")

    def __init__(self) -> None:
        self._passwords: set[str] = set()
        self._tokens: deque[str] = deque(maxlen=_TOKENS)

    def of(self, call: ApiRequest, token: str | None) -> list[str]:
        """All that an answer to `call` could give away; what the call itself carries is remembered for later ones."""
        fields = {**(call.form or {}), **(call.json or {})}
        password, refresh = fields.get("password"), fields.get("refresh")
        own = [str(one) for one in (password, refresh, token) if one]
        self._learn(*(str(one) for one in (refresh, token) if one))
        if password and len(str(password)) >= _TELLING:
            self._passwords.add(str(password))
        return list(dict.fromkeys([*own, *self._known()]))

    def repeated_in(self, call: ApiRequest, body: str) -> bool:
        """Whether the answer `body` holds a secret. That to a log-in may: its tokens are what it is for."""
        if call.kind is Kind.AUTH:
            return False
        plain = _unescaped(body)
        return any(form in plain for secret in self._known() for form in spellings(secret))

    def clean(self, value: Any) -> Any:
        """A JSON `value` without secrets."""
        try:
            return _redacted(value, self._known())
        except RecursionError:
            raise ProtocolError("the answer is nested too deeply") from None

    def learn_from(self, call: ApiRequest, value: Any) -> None:
        """Remember the tokens in the answer to a log-in."""
        if call.kind is Kind.AUTH and isinstance(value, dict):
            self._learn(*(value[key] for key in ("access", "refresh") if isinstance(value.get(key), str)))

    def redact(self, error: EMError) -> None:
        """Take every secret out of `error`'s message and facts: a parser may have quoted what it choked on."""
        known = self._known()
        error.args = tuple(_redacted(one, known) for one in error.args)
        for name, fact in vars(error).items():
            if isinstance(fact, str | tuple | dict):
                setattr(error, name, _redacted(fact, known))

    def _known(self) -> list[str]:
        return [*self._passwords, *self._tokens]

    def _learn(self, *tokens: str) -> None:
        self._tokens.extend(token for token in tokens if len(token) >= _TELLING and token not in self._tokens)


def _unescaped(body: str) -> str:
    """`body` with those JSON escapes undone that could hide a secret in ASCII."""
    if "\\" not in body:  # as a rule; a listing of very many files is not to be copied for nothing
        return body
    return _ASCII.sub(lambda found: chr(int(found[1], 16)), body).replace("\\/", "/")


def _redacted(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        return scrub(value, secrets)
    if isinstance(value, list):
        return [_redacted(one, secrets) for one in value]
    if isinstance(value, tuple):
        return tuple(_redacted(one, secrets) for one in value)
    if isinstance(value, Mapping):
        return {_redacted(key, secrets): _redacted(one, secrets) for key, one in value.items()}
    return value
