"""Many small files over a slow link: against the number of workers, and against the latency.

Owns: the latencies, and the ideal lines, which are computed: rounds of as many calls as workers, a latency each.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.harness import Plan, Side, take_turns
from benchmarks.results import Point, Series
from benchmarks.scaling_work import SMALL, WORKERS, points
from benchmarks.stage import small_down, small_up

_LATENCY_S = 0.05
_WORKERS_QUICK, _WORKERS_FULL = (1, 4, 16, 64), (1, 2, 4, 8, 16, 32, 64, 128)
_LATENCIES_QUICK, _LATENCIES_FULL = (0.0, 0.05, 0.2), (0.0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5)
_FILES = 64  # against latency, quick or full: the goal is stated for it


def by_workers(plan: Plan) -> Series:
    """The transfer alone, log-in and listing before it; fsync off."""
    files = 512 if plan.full else 128
    found: list[Point] = []
    with small_down(plan, files, SMALL, workers=1, hold_s=_LATENCY_S) as stage:
        for workers in _WORKERS_FULL if plan.full else _WORKERS_QUICK:
            job = replace(stage.job, workers=workers)
            side = Side(name="downlink", peer="emasync_client", verb="down_planned", job=job)
            samples = take_turns([side], pairs=plan.pairs, before=stage.before, check=stage.check)
            found += [*points(samples, workers, files=files), _ideal(workers, files, workers, _LATENCY_S)]
    title = f"Throughput against workers ({files} files of 4 KiB, {_LATENCY_S * 1000:g} ms a call)"
    return Series(name="by_workers", title=title, x="workers", unit="workers", points=tuple(found))


def by_latency(plan: Plan) -> Series:
    """Log-in and listing included; fsync off. An uplink is a few calls, however many files it has."""
    found: list[Point] = []
    for latency_s in _LATENCIES_FULL if plan.full else _LATENCIES_QUICK:
        with tempfile.TemporaryDirectory(dir=plan.scratch) as own:
            found += _at(latency_s, replace(plan, scratch=Path(own)))
        found.append(_ideal(latency_s, _FILES, WORKERS, latency_s))
    title = f"{_FILES} files of 4 KiB against latency ({WORKERS} workers)"
    return Series(name="by_latency", title=title, x="latency_s", unit="latency", points=tuple(found))


def _at(latency_s: float, plan: Plan) -> list[Point]:
    with small_down(plan, _FILES, SMALL, workers=WORKERS, hold_s=latency_s) as down:
        sides = [
            Side(name="downlink", peer="emasync_client", verb="down", job=down.job),
            Side(name="example client, downlink", peer="seed", verb="down", job=down.job),
        ]
        samples = take_turns(sides, pairs=plan.pairs, before=down.before, check=down.check)
    with small_up(plan, _FILES, SMALL, workers=WORKERS, hold_s=latency_s) as up:
        side = Side(name="uplink", peer="emasync_client", verb="up", job=up.job)
        samples |= take_turns([side], pairs=plan.pairs, before=up.before, check=up.check)
    return points(samples, latency_s, files=_FILES)


def _ideal(x: float, files: int, workers: int, latency_s: float) -> Point:
    wall_s = math.ceil(files / workers) * latency_s
    return Point(x=x, side="ideal (computed)", wall_s=wall_s, files_s=files / wall_s if wall_s else None)
