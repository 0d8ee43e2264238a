"""How the cost of a transfer grows: with the number of files, their size, the workers and the link's latency.

Owns: the list of the programs and their order. Each point is run in a fresh process, on a server in its own.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import scaling_files, scaling_link, scaling_size
from benchmarks.harness import Plan
from benchmarks.report.table import extent
from benchmarks.results import Series

PROGRAMS = (scaling_files.by_files, scaling_size.by_size, scaling_link.by_workers, scaling_link.by_latency)
_RUNS_FULL = 3  # of each point, whose median counts; a quick look takes one
_MEMORY = Path("/dev/shm")


def run(*, full: bool) -> tuple[Series, ...]:
    """All series, one after the other; what they measure is printed as it comes. `full`: up to 50,000 files, 4 GiB,
    128 workers and 500 ms, for which 6 GiB of disk and as much memory have to be free."""
    return tuple(_run(program, full=full) for program in PROGRAMS)


def _run(program: Callable[[Plan], Series], *, full: bool) -> Series:
    memory = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory(dir=memory) as ram:
        series = program(Plan(full=full, pairs=_RUNS_FULL if full else 1, scratch=Path(scratch), ram=Path(ram)))
    print(series.name)
    for point in series.points:
        print(f"  {extent(point.x, unit=series.x):>10} {point.side:34} {point.wall_s:8.3f} s", flush=True)
    return series


if __name__ == "__main__":
    run(full="--full" in sys.argv[1:])  # for a look: nothing is written
