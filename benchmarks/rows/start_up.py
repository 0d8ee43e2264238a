"""How long the command line takes to say its version, beyond an empty Python."""

from __future__ import annotations

from benchmarks.harness import Plan, Side, figure, side_results, take_turns
from benchmarks.job import Job
from benchmarks.results import RowResult

NAME = "start_up"
_AT_MOST_MS = 80.0


def run(plan: Plan) -> RowResult:
    job = Job(url="")
    sides = (
        Side(name="emasync --version", peer="commands", verb="version", job=job, writes=False),
        Side(name="python -c pass", peer="commands", verb="nothing", job=job, writes=False),
    )
    samples = take_turns(sides, pairs=4 * plan.pairs, check=lambda side: None)
    pairs = zip(samples[sides[0].name], samples[sides[1].name], strict=True)
    more_ms = [1000 * (mine.wall_s - other.wall_s) for mine, other in pairs]
    return RowResult(
        name=NAME,
        title="Start of the command line",
        work="emasync --version, beyond what python -c pass takes",
        size="one process",
        comparisons=(figure("python -c pass, milliseconds more", more_ms, at_most=_AT_MOST_MS, unit="ms"),),
        sides=side_results(sides, samples),
    )
