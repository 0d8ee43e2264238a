"""What the benchmarks found, as values, and as the JSON file that the report is made from.

Owns: the schema. May import nothing of emasync. Knows nothing of how the figures came about.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

SCHEMA = 1
RESULTS = Path(__file__).parent / "results"
LATEST = RESULTS / "latest.json"
_VERSIONS = ("emasync", "aiohttp", "anyio", "httpx", "pybase64", "requests", "requests-toolbelt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Some measurements of one thing."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(median=statistics.median(values), min=min(values), max=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """emasync against `against`. `ratio` is the median of the ratios of each pair, or, where `unit` is not ``x``, a
    figure in that unit (``MiB``, ``ms``, ``%``). Lower is better; `goal` is the highest that is good enough."""

    against: str
    goal: float | None
    goal_text: str
    ratio: float
    ratio_min: float
    ratio_max: float
    pairs: int
    met: bool | None
    unit: str = "x"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideResult:
    """What one side took. `rss_over_idle_mib`: its peak beyond what the process had before the work. `verified`: every
    file of every run was checked, byte for byte; `fsync` None where nothing is written."""

    name: str
    wall_s: Spread
    cpu_s: float
    rss_mib: float
    rss_over_idle_mib: float
    fsync: bool | None
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """One piece of work, done by several sides in turn."""

    name: str
    title: str
    work: str
    size: str
    comparisons: tuple[Comparison, ...]
    sides: tuple[SideResult, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement of a series, at `x`; None where a figure makes no sense."""

    x: float
    wall_s: float
    side: str
    mib_s: float | None = None
    files_s: float | None = None
    rss_mib: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """How cost grows with `x`: ``files``, ``bytes``, ``workers`` or ``latency_s``."""

    name: str
    title: str
    x: str
    unit: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it was measured."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run of the benchmarks. `full`: the sizes that the goals are stated for."""

    when: str
    machine: Machine
    full: bool
    rows: tuple[RowResult, ...]
    scaling: tuple[Series, ...] = ()


def now() -> str:
    """The time as ISO 8601, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def this_machine() -> Machine:
    """The machine that this runs on."""
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 0,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions={name: metadata.version(name) for name in _VERSIONS},
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def dump(results: Results) -> str:
    """`results` as JSON text."""
    return json.dumps({"schema": SCHEMA, **asdict(results)}, indent=1) + "\n"


def load(text: str) -> Results:
    """The results in a JSON text that `dump` made; ValueError for another schema."""
    data: dict[str, Any] = json.loads(text)
    if data.pop("schema", None) != SCHEMA:
        raise ValueError(f"not a results file of schema {SCHEMA}")
    return Results(
        when=data["when"],
        machine=Machine(**data["machine"]),
        full=data["full"],
        rows=tuple(_row(row) for row in data["rows"]),
        scaling=tuple(
            Series(**{**series, "points": tuple(Point(**point) for point in series["points"])})
            for series in data["scaling"]
        ),
    )


def _row(row: dict[str, Any]) -> RowResult:
    comparisons = tuple(Comparison(**comparison) for comparison in row["comparisons"])
    sides = tuple(SideResult(**{**side, "wall_s": Spread(**side["wall_s"])}) for side in row["sides"])
    return RowResult(**{**row, "comparisons": comparisons, "sides": sides, "notes": tuple(row["notes"])})
