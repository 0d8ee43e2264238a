"""Peak memory beyond the idle client's, against file size, in both directions: it must not grow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.harness import Plan, Side, figure, side_results, take_turns
from benchmarks.job import Sample
from benchmarks.material import MIB
from benchmarks.results import Comparison, RowResult, SideResult
from benchmarks.stage import Stage, large_down, large_up

NAME = "memory"
_AT_MOST_MIB = 32.0


def run(plan: Plan) -> RowResult:
    sizes = (64, 512, 1024, 4096) if plan.full else (64, 512)
    comparisons: list[Comparison] = []
    results: list[SideResult] = []
    ways: tuple[tuple[str, Callable[[Plan, int], AbstractContextManager[Stage]]], ...] = (
        ("down", large_down),
        ("up", large_up),
    )
    for verb, way in ways:
        for mib in sizes:
            with way(plan, mib * MIB) as stage:
                side = Side(
                    name=f"{verb}link, {mib} MiB",
                    peer="emasync_client",
                    verb=verb,
                    job=stage.job,
                    writes=verb == "down",
                )
                samples: dict[str, list[Sample]]
                samples = take_turns((side,), pairs=3, before=stage.before, check=stage.check)
            over = [sample.over_idle_mib for sample in samples[side.name]]
            comparisons.append(figure(side.name, over, at_most=_AT_MOST_MIB, unit="MiB"))
            results += side_results((side,), samples)
    return RowResult(
        name=NAME,
        title="Memory",
        work="one file; peak resident memory beyond that of the client before it does anything",
        size=f"{sizes[0]} to {sizes[-1]} MiB",
        comparisons=tuple(comparisons),
        sides=tuple(results),
    )
