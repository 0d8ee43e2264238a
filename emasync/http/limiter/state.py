"""Saves what the limiter learned of an EM, for the next run: one small JSON file per EM.

Of the address only a hash is written, without log-in data. Time is passed in. Must not import scheduler or limiter.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emasync.http.limiter.aimd import LimiterState

_KEPT_S = 86_400.0  # a day: by then somebody else may use the EM, or it may run other software
_LARGEST = 4096  # larger files and limits are not ours


def load(folder: Path, base_url: str, *, now: float) -> LimiterState | None:
    """What was saved for this EM less than a day before `now` (unix seconds), or None.

    A file that is missing, unreadable, broken or from the future counts as none.
    """
    try:
        with _file(folder, base_url).open("rb") as file:
            found: Any = json.loads(file.read(_LARGEST))
        state = LimiterState(
            width=_width(found["width"]),
            known_limit=None if found["ceiling"] is None else _width(found["ceiling"]),
            learned_at=float(found["learned_at"]),
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return state if 0.0 <= now - state.learned_at < _KEPT_S else None


def save(folder: Path, base_url: str, state: LimiterState) -> bool:
    """Write `state` whole or not at all, and return whether it was written: a run does not fail for this file."""
    target = _file(folder, base_url)
    temp = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
    values = {"width": state.width, "ceiling": state.known_limit, "learned_at": state.learned_at}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with temp.open("x", encoding="ascii") as file:
                json.dump(values, file)
            temp.replace(target)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
    except OSError:
        return False
    return True


def _file(folder: Path, base_url: str) -> Path:
    url = urlsplit(base_url)
    address = f"{url.scheme}://{url.netloc.rpartition('@')[2].lower()}{url.path.rstrip('/')}"
    return folder / f"lane-{hashlib.sha256(address.encode()).hexdigest()[:16]}.json"


def _width(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST:
        raise ValueError(f"{value!r} is no concurrency limit")
    return value
