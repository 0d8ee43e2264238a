"""Many small files down, 32 at a time."""

from __future__ import annotations

from benchmarks.harness import Goal, Plan, Side, compare, side_results, take_turns
from benchmarks.results import RowResult
from benchmarks.stage import small_down

NAME = "downlink_small"
_SIZE, _WORKERS = 4096, 32
GOALS = (
    Goal(mine="emasync", against="aiohttp, read only", at_most=1.3),
    Goal(mine="emasync", against="seed", at_most=0.125),
    Goal(mine="emasync", against="httpx", at_most=0.125),
    Goal(mine="emasync", against="curl -Z", at_most=3.0),
    Goal(mine="emasync", against="aiohttp"),
    Goal(mine="emasync", against="requests, threads"),
    Goal(mine="emasync fsync", against="aiohttp fsync"),
)


def run(plan: Plan) -> RowResult:
    files = 2000 if plan.full else 500
    with small_down(plan, files, _SIZE, workers=_WORKERS) as stage:
        sides = (
            Side(name="emasync", peer="emasync_client", verb="down", job=stage.job),
            Side(name="aiohttp, read only", peer="aiohttp_read", verb="down", job=stage.job, writes=False),
            Side(name="curl -Z", peer="curl", verb="down", job=stage.job),
            Side(name="aiohttp", peer="aiohttp_plain", verb="down", job=stage.job),
            Side(name="emasync fsync", peer="emasync_client", verb="down", job=stage.flushed()),
            Side(name="aiohttp fsync", peer="aiohttp_plain", verb="down", job=stage.flushed()),
            Side(name="requests, threads", peer="requests_pool", verb="down", job=stage.job),
            Side(name="httpx", peer="httpx_async", verb="down", job=stage.job),
            Side(name="seed", peer="seed", verb="down", job=stage.job),
        )
        samples = take_turns(sides, pairs=plan.pairs, before=stage.before, check=stage.check)
    return RowResult(
        name=NAME,
        title="Downlink of many small files",
        work=f"{_WORKERS} workers; each file decoded, verified, and under its final name whole or not at all",
        size=f"{files:,} x {_SIZE // 1024} KiB",
        comparisons=compare(GOALS, samples),
        sides=side_results(sides, samples),
        notes=(
            "emasync's time includes the listing, and the others' does not; only emasync verifies what came.",
            "aiohttp, read only: neither decodes nor writes. seed: one file at a time, a new connection for each.",
        ),
    )
