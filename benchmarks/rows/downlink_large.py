"""One large file down: base64 in JSON, decoded, verified, on disk."""

from __future__ import annotations

from benchmarks.harness import Goal, Plan, Side, compare, side_results, take_turns
from benchmarks.material import MIB
from benchmarks.results import RowResult
from benchmarks.stage import large_down

NAME = "downlink_large"
GOALS = (
    Goal(mine="emasync", against="curl -o", at_most=1.0),
    Goal(mine="emasync", against="seed", at_most=0.1),
    Goal(mine="emasync", against="aiohttp", at_most=0.1),
    Goal(mine="emasync fsync", against="curl -o fsync"),
)


def run(plan: Plan) -> RowResult:
    size = (512 if plan.full else 64) * MIB
    with large_down(plan, size) as stage:
        sides = (
            Side(name="emasync", peer="emasync_client", verb="down", job=stage.job),
            Side(name="curl -o", peer="curl", verb="down", job=stage.job),
            Side(name="emasync fsync", peer="emasync_client", verb="down", job=stage.flushed()),
            Side(name="curl -o fsync", peer="curl", verb="down", job=stage.flushed()),
            Side(name="aiohttp", peer="aiohttp_plain", verb="down", job=stage.job),
            Side(name="seed", peer="seed", verb="down", job=stage.job),
        )
        samples = take_turns(sides, pairs=plan.pairs, before=stage.before, check=stage.check)
    return RowResult(
        name=NAME,
        title="Downlink of one large file",
        work="base64 JSON from a server that sends by sendfile; decoded, SHA-256 and content tag verified, on disk",
        size=f"{size // MIB} MiB",
        comparisons=compare(GOALS, samples),
        sides=side_results(sides, samples),
        notes=(
            "curl writes the wire bytes as they are, a third more of them; it decodes and verifies nothing.",
            "aiohttp and seed verify nothing. curl's memory counts that of the process that starts it, if larger.",
        ),
    )
