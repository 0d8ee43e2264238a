"""JSON as the EM may send it: strict, and never an exception of the parser's own.

Owns: bytes -> Python value. May import errors. Knows nothing of what the value means.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeAlias

from emasync.errors import ProtocolError

Shrink: TypeAlias = Callable[[dict[str, Any]], Any]
"""What to keep of an object; called for inner objects first, as they are read."""


def parse_json(data: bytes) -> Any:
    """The value in `data` (UTF-8). ProtocolError for anything else: broken text, twice the same key, NaN or Infinity,
    or nesting beyond what the interpreter's stack takes (several hundred folders)."""
    return parse_text(utf8_decoder()(data, final=True))


class Decode(Protocol):
    """Bytes to text, piece by piece."""

    def __call__(self, data: bytes, *, final: bool = False) -> str: ...


def utf8_decoder() -> Decode:
    """Decodes the pieces of an answer, which may end within a character. ProtocolError where it is no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()

    def decode(data: bytes, *, final: bool = False) -> str:
        try:
            return decoder.decode(data, final)
        except UnicodeDecodeError:
            pass  # it carries the answer, which may hold secrets: nothing is raised from it
        raise ProtocolError("the answer is not valid UTF-8")

    return decode


def parse_text(text: str, *, shrink: Shrink | None = None) -> Any:
    """The value in `text`, as `parse_json`; each object as what `shrink` makes of it."""

    def kept(pairs: list[tuple[str, Any]]) -> Any:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ProtocolError("the answer names a key twice in one object")
        return found if shrink is None else shrink(found)

    try:
        return json.loads(text, object_pairs_hook=kept, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        why = f"the answer is not valid JSON: {error.msg} at character {error.pos}"
    except RecursionError:
        why = "the answer is nested too deeply"
    except ValueError as error:  # an integer of more than 4300 digits
        why = f"the answer holds a number that cannot be read: {str(error)[:80]}"
    raise ProtocolError(why) from None  # outside the handlers: the parser's own exceptions carry the whole answer


def _no_constant(name: str) -> NoReturn:
    raise ProtocolError(f"the answer holds {name}, which is not JSON")
