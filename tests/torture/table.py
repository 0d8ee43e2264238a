"""The torture table: rows with their times, their sums, and what a full run must at least have tried.

Owns: how rows are added up, judged and drawn, as text and as JSON. Pure; may import row. Starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from tests.torture.row import Row

FLOORS: Final[Mapping[str, int]] = {"bad_inputs": 20_000, "faults": 2_000, "kills": 200, "kills_inside": 150}
"""The least that a whole run at scale 1.0 must have counted: fewer is a torture that has quietly become gentle."""

_SHOWN = ("tries", "bad_inputs", "faults", "files_lost", "files_wrong", "outside", "kills", "kills_inside")
_HEADS = ("row", "tries", "bad inputs", "faults", "lost", "wrong", "outside", "kills", "inside", "failures", "seconds")
_HARM = ("files_lost", "files_wrong", "outside")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row as the program saw it. `repeat` is the command that runs it again."""

    row: Row
    seconds: float
    repeat: str = ""

    @property
    def bad(self) -> bool:
        """Whether anything failed, or any file came to harm."""
        return bool(self.row.failures) or any(getattr(self.row, name) for name in _HARM)


def totals(lines: Sequence[Line]) -> dict[str, int]:
    """The sums of all rows."""
    return {name: sum(getattr(line.row, name) for line in lines) for name in _SHOWN}


def complaints(lines: Sequence[Line], *, floors: Mapping[str, int]) -> list[str]:
    """Why this run is not good; nothing is good. A run of no rows, or a row of no tries, has proved nothing."""
    if not lines:
        return ["no row was run"]
    found = [f"{line.row.name}: {_harm(line.row)}" for line in lines if line.bad]
    found += [f"{line.row.name}: tried nothing" for line in lines if not line.row.tries and not line.bad]
    sums = totals(lines)
    return found + [
        f"{name.replace('_', ' ')}: {sums[name]:,} in all, at least {least:,} are due"
        for name, least in floors.items()
        if sums[name] < least
    ]


def _harm(row: Row) -> str:
    said = [f"{len(row.failures)} failures"] if row.failures else []
    return ", ".join(said + [f"{getattr(row, name)} {name.replace('_', ' ')}" for name in _HARM if getattr(row, name)])


def drawn(lines: Sequence[Line]) -> str:
    """The table for people; failures with their texts, and how to repeat them, stand below it."""
    body = [_cells(line) for line in lines]
    sums = totals(lines)
    failures, seconds = sum(len(line.row.failures) for line in lines), sum(line.seconds for line in lines)
    foot = ("total", *(f"{sums[name]:,}" for name in _SHOWN), f"{failures:,}", f"{seconds:.0f}")
    cells = [_HEADS, *body, foot]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADS))]
    drawn_rows = [_aligned(row, widths) for row in cells]
    rule = "-" * len(drawn_rows[0])
    text = [drawn_rows[0], rule, *drawn_rows[1:-1], rule, drawn_rows[-1]]
    text += [f"{line.row.name}: {line.row.note}" for line in lines if line.row.note]
    for line in lines:
        if line.bad:
            text += ["", f"FAILED {line.row.name}; again: {line.repeat}", *(f"  {one}" for one in line.row.failures)]
    return "\n".join(text)


def _cells(line: Line) -> tuple[str, ...]:
    counts = (f"{getattr(line.row, name):,}" for name in _SHOWN)
    return (line.row.name, *counts, f"{len(line.row.failures):,}", f"{line.seconds:.0f}")


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if not n else cell.rjust(width) for n, (cell, width) in _numbered(cells, widths)
    )
    return "  ".join((first, *others))


def _numbered(cells: Sequence[str], widths: Sequence[int]) -> enumerate[tuple[str, int]]:
    return enumerate(zip(cells, widths, strict=True))


def as_json(lines: Sequence[Line], *, seed: int, scale: float, found: Sequence[str]) -> dict[str, object]:
    """The whole table as one JSON value."""
    rows = [{**asdict(line.row), "seconds": round(line.seconds, 3), "repeat": line.repeat} for line in lines]
    return {"seed": seed, "scale": scale, "rows": rows, "totals": totals(lines), "complaints": list(found)}
