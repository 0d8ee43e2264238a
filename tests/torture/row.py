"""One row of the torture table: what it is asked to do, and what it has counted when it is done.

Owns the two values that the program and its rows exchange. Knows neither how a row works nor how the table is drawn.
Every number in a Row was counted while the row ran; none is an estimate.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a row is asked to do. `scale`: 1.0 is the full measure, 0.05 a smoke test; `folder` is empty, its own."""

    seed: int
    scale: float
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a row has counted. Each text in `failures` says the case and how to repeat it. `outside`: places beyond the
    destination that were made or changed."""

    name: str
    tries: int
    bad_inputs: int = 0
    faults: int = 0
    failures: tuple[str, ...] = ()
    files_lost: int = 0
    files_wrong: int = 0
    outside: int = 0
    kills: int = 0
    kills_inside: int = 0
    note: str = ""


class Judged(TypedDict):
    """What the checker's findings say of files and places, as fields of a Row."""

    files_lost: int
    files_wrong: int
    outside: int


def judged(findings: Collection[str]) -> Judged:
    """The findings by the invariant that each of them names."""
    return Judged(
        files_lost=_naming(findings, "I3"),
        files_wrong=_naming(findings, "I1", "I2"),
        outside=_naming(findings, "I4"),
    )


def _naming(findings: Collection[str], *invariants: str) -> int:
    """How many of the checker's findings name one of these invariants ("I1" ...)."""
    return sum(any(re.search(rf"\b{one}\b", text) for one in invariants) for text in findings)
