"""Cost against the number of files: 4 KiB each, in one folder, down, up, and a sync that finds nothing to do.

Owns: the counts and the three sides. A cost that grows faster than the files shows as a bend.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.harness import Plan, Side, measure, take_turns
from benchmarks.results import Point, Series
from benchmarks.scaling_work import SMALL, WORKERS, points
from benchmarks.stage import small_down, small_up

_QUICK = (100, 500, 2_000)
_FULL = (100, 500, 2_000, 10_000, 50_000)


def by_files(plan: Plan) -> Series:
    """The series; 8 workers, fsync off, log-in and listing included."""
    found: list[Point] = []
    for count in _FULL if plan.full else _QUICK:
        with tempfile.TemporaryDirectory(dir=plan.scratch) as own:
            found += _at(count, replace(plan, scratch=Path(own)))
    title = f"Cost against the number of files (4 KiB each, {WORKERS} workers)"
    return Series(name="by_files", title=title, x="files", unit="files", points=tuple(found))


def _at(count: int, plan: Plan) -> list[Point]:
    with small_up(plan, count, SMALL, workers=WORKERS) as up:
        side = Side(name="uplink", peer="emasync_client", verb="up", job=up.job)
        samples = take_turns([side], pairs=plan.pairs, before=up.before, check=up.check)
    sources = str(Path(up.job.sources[0]).parent)
    with small_down(plan, count, SMALL, workers=WORKERS) as down:
        side = Side(name="downlink", peer="emasync_client", verb="down", job=down.job)
        samples |= take_turns([side], pairs=plan.pairs, before=down.before, check=down.check)
        job = replace(down.job, into="", sources=(sources,), state=str(plan.scratch / "state"))
        sync = Side(name="sync, nothing to do", peer="emasync_client", verb="sync_down", job=job, writes=False)
        measure(sync)  # not counted: it fills the hash cache, as any sync before would have
        samples |= take_turns([sync], pairs=plan.pairs, check=down.check)
    return points(samples, count, files=count)
