"""What width worked on an EM, kept from one run to the next.

Owns: one small JSON file per EM in a folder it is handed. May import lane_width.
Knows no clock (time is passed in) and no secret: of the address only a hash is written, without log-in data.
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
_LARGEST = 4096  # bytes and widths beyond that are not ours


def recall(folder: Path, base_url: str, *, now: float) -> LimiterState | None:
    """What was remembered of this EM less than a day before `now` (unix seconds), or None.

    A file that is missing, unreadable, broken or from the future is as good as none.
    """
    try:
        with _file(folder, base_url).open("rb") as file:
            found: Any = json.loads(file.read(_LARGEST))
        memory = LimiterState(
            width=_width(found["width"]),
            known_limit=None if found["ceiling"] is None else _width(found["ceiling"]),
            learned_at=float(found["learned_at"]),
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return memory if 0.0 <= now - memory.learned_at < _KEPT_S else None


def remember(folder: Path, base_url: str, memory: LimiterState) -> bool:
    """Write `memory` whole or not at all; whether it was written. A run does not fail for a folder it cannot write."""
    target = _file(folder, base_url)
    temp = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
    values = {"width": memory.width, "ceiling": memory.known_limit, "learned_at": memory.learned_at}
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
        raise ValueError(f"{value!r} is no width")
    return value
