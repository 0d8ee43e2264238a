"""JSON as the EM may send it: strict, and never an exception of the parser's own.

Owns: bytes -> Python value. May import errors. Knows nothing of what the value means.
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


def parse_text(text: str, *, offset: int = 0) -> Any:
    """The value in `text`, as `parse_json`; `offset` is where in the answer the text begins, for messages."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        why = f"the answer is not valid JSON: {error.msg} at character {offset + error.pos}"
    except RecursionError:
        why = "the answer is nested too deeply"
    except ValueError as error:  # an integer of more than 4300 digits
        why = f"the answer holds a number that cannot be read: {str(error)[:80]}"
    raise ProtocolError(why) from None  # outside the handlers: the parser's own exceptions carry the whole answer


def value_end(text: str, at: int) -> int | None:
    """Where the value ends that begins at `at`; None if the text ends within it, or there is none. A number at the end
    of the text may go on. ProtocolError where no more text could make a value of it."""
    try:
        return _DECODER.raw_decode(text, at)[1]
    except json.JSONDecodeError:
        return None
    except (RecursionError, ValueError):
        pass
    parse_text(text[at:])  # raises, in the same words
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ProtocolError("the answer names a key twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ProtocolError(f"the answer holds {name}, which is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
