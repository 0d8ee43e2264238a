"""Strict JSON: bytes or text to a Python value, with every problem as a ProtocolError.

The standard parser's own exceptions carry the text, which may hold secrets; none of them is raised or chained. Must
not import other modules of wire.
"""

from __future__ import annotations

import codecs
import json
from typing import Any, NoReturn, Protocol

from emasync.errors import ProtocolError


def parse_json(data: bytes) -> Any:
    """The value in `data` (UTF-8). ProtocolError for anything else: broken text, twice the same key, NaN or Infinity,
    or nesting beyond what the interpreter's stack takes (several hundred levels)."""
    return parse_text(utf8_decoder()(data, final=True))


class Decode(Protocol):
    """Decodes bytes to text, piece by piece."""

    def __call__(self, data: bytes, *, final: bool = False) -> str: ...


def utf8_decoder() -> Decode:
    """A decoder for the pieces of a response, which may end within a character. ProtocolError if it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()

    def decode(data: bytes, *, final: bool = False) -> str:
        try:
            return decoder.decode(data, final)
        except UnicodeDecodeError:
            pass  # it carries the response, which may hold secrets: nothing is raised from it
        raise ProtocolError("the answer is not valid UTF-8")

    return decode


def parse_text(text: str, *, offset: int = 0) -> Any:
    """The value in `text`, as `parse_json`; `offset` is where in the response the text begins, for messages."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        why = f"the answer is not valid JSON: {error.msg} at character {offset + error.pos}"
    except RecursionError:
        why = "the answer is nested too deeply"
    except ValueError as error:  # an integer of more than 4300 digits
        why = f"the answer holds a number that cannot be read: {str(error)[:80]}"
    raise ProtocolError(why) from None  # outside the handlers: the parser's own exceptions carry the whole response


def value_end(text: str, start: int) -> int | None:
    """Where the value that begins at `start` ends; None if the text ends within it, or no value begins there.

    A number at the end of the text may go on. ProtocolError where no further text could make it a value.
    """
    try:
        return _DECODER.raw_decode(text, start)[1]
    except json.JSONDecodeError:
        return None
    except (RecursionError, ValueError):
        pass
    parse_text(text[start:])  # raises the error, with its message
    return None


def _object_with_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ProtocolError("the answer names a key twice in one object")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ProtocolError(f"the answer holds {name}, which is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object_with_unique_keys, parse_constant=_refuse_constant)
