"""What the scaling programs share: how their samples become the points of a plot.

Owns: which of several runs counts, and the figures of a point. May import job and results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.job import Sample
from benchmarks.material import MIB
from benchmarks.results import Point

SMALL = 4096
WORKERS = 8  # what a user gets


def points(
    samples: Mapping[str, Sequence[Sample]], x: float, *, moved: int | None = None, files: int | None = None
) -> list[Point]:
    """One point a side: the run with the median wall time, as a rate of `moved` bytes or of `files`. Memory is what the
    run took beyond an idle process."""
    found = []
    for side, runs in samples.items():
        middle = sorted(runs, key=lambda run: run.wall_s)[len(runs) // 2]
        found.append(
            Point(
                x=x,
                side=side,
                wall_s=middle.wall_s,
                mib_s=moved / MIB / middle.wall_s if moved is not None else None,
                files_s=files / middle.wall_s if files is not None else None,
                rss_mib=middle.over_idle_mib,
            )
        )
    return found
