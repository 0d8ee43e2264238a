"""A strictly exclusive EM, 423 for any second call, against the ideal client: one call at a time, no pause between."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.harness import Goal, Plan, Side, compare, figure, side_results, take_turns
from benchmarks.results import RowResult
from benchmarks.stage import small_down

NAME = "exclusive"
_SIZE, _HOLD_S, _WORKERS = 64 * 1024, 0.05, 16
GOALS = (Goal(mine="emasync", against="ideal serial client", at_most=1.05),)


def run(plan: Plan) -> RowResult:
    files = 200 if plan.full else 100
    shares, late = [], []
    with small_down(plan, files, _SIZE, workers=_WORKERS, hold_s=_HOLD_S, exclusive=True) as stage:
        serial = replace(stage.job, workers=1)
        sides = (
            Side(name="emasync", peer="emasync_client", verb="down", job=stage.job),
            Side(name="ideal serial client", peer="aiohttp_plain", verb="down", job=serial),
        )

        def check(side: Side) -> None:
            stage.check(side)
            if side.name == "emasync":
                counts = stage.server.control("counts")
                shares.append(100 * counts["refused"] / counts["requests"])
                late.append(100 * counts["refused_late"] / counts["late"])

        samples = take_turns(sides, pairs=plan.pairs, before=stage.before, check=check)
    return RowResult(
        name=NAME,
        title="Downlink from an exclusive EM",
        work=f"{_HOLD_S * 1000:g} ms a call, 423 for any other meanwhile; emasync with {_WORKERS} workers finds out",
        size=f"{files} x {_SIZE // 1024} KiB",
        comparisons=(
            *compare(GOALS, samples),
            figure("answers that were 423, after the first 20 requests", late, at_most=5.0, unit="%"),
            figure("answers that were 423, of all requests", shares, at_most=None, unit="%"),
        ),
        sides=side_results(sides, samples),
        notes=("emasync's time includes the listing, one call more than the ideal client makes.",),
    )
