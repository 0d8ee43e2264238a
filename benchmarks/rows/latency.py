"""Many files over a link where every call takes 200 ms: how close to the ideal of always full workers."""

from __future__ import annotations

import math
from dataclasses import replace

from benchmarks.harness import Plan, Side, figure, side_results, take_turns
from benchmarks.results import RowResult
from benchmarks.stage import small_down

NAME = "latency"
_FILES, _SIZE, _LATENCY_S = 64, 64 * 1024, 0.2
_WIDTHS = (4, 8, 16, 32)


def run(plan: Plan) -> RowResult:
    with small_down(plan, _FILES, _SIZE, workers=1, hold_s=_LATENCY_S) as stage:
        sides = [
            Side(
                name=f"{name}, {workers} workers",
                peer=peer,
                verb="down_planned",
                job=replace(stage.job, workers=workers),
            )
            for workers in _WIDTHS
            for name, peer in (("emasync", "emasync_client"), ("aiohttp", "aiohttp_plain"))
        ]
        samples = take_turns(sides, pairs=plan.pairs, before=stage.before, check=stage.check)
    comparisons = []
    for workers in _WIDTHS:
        ideal_s = math.ceil(_FILES / workers) * _LATENCY_S
        mine, plain = samples[f"emasync, {workers} workers"], samples[f"aiohttp, {workers} workers"]
        took = [sample.wall_s / ideal_s for sample in mine]
        comparisons.append(figure(f"ideal, {workers} workers: {ideal_s:g} s", took, at_most=1.1))
        against = [one.wall_s / other.wall_s for one, other in zip(mine, plain, strict=True)]
        comparisons.append(figure(f"aiohttp, {workers} workers", against, at_most=None))
    return RowResult(
        name=NAME,
        title="Downlink over a link with latency",
        work=f"every call is answered after {_LATENCY_S * 1000:g} ms; ideal: ceil(files / workers) times that",
        size=f"{_FILES} x {_SIZE // 1024} KiB",
        comparisons=tuple(comparisons),
        sides=side_results(sides, samples),
        notes=("The transfer alone: log-in and listing, a round trip each, come before the clock starts.",),
    )
