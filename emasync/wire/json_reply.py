"""JSON as the EM may send it: strict, and never an exception of the parser's own.

Owns: bytes -> Python value. May import errors. Knows nothing of what the value means.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from emasync.errors import ProtocolError


def parse_json(data: bytes) -> Any:
    """The value in `data` (UTF-8). ProtocolError for anything else: broken text, twice the same key, NaN or Infinity,
    or nesting beyond what the interpreter's stack takes (several hundred folders)."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError:
        why = "the answer is not valid UTF-8"
    except json.JSONDecodeError as error:
        why = f"the answer is not valid JSON: {error.msg} at character {error.pos}"
    except RecursionError:
        why = "the answer is nested too deeply"
    except ValueError as error:  # an integer of more than 4300 digits
        why = f"the answer holds a number that cannot be read: {str(error)[:80]}"
    raise ProtocolError(why) from None  # outside the handlers: the parser's own exceptions carry the whole answer


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ProtocolError("the answer names a key twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ProtocolError(f"the answer holds {name}, which is not JSON")
