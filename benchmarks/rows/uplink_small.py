"""Many small files up, into one folder: few calls against many."""

from __future__ import annotations

from benchmarks.harness import Goal, Plan, Side, compare, side_results, take_turns
from benchmarks.results import RowResult
from benchmarks.stage import small_up

NAME = "uplink_small"
_SIZE, _WORKERS = 4096, 32
GOALS = (
    Goal(mine="emasync", against="aiohttp, a call a file", at_most=0.25),
    Goal(mine="emasync", against="requests, a call a file"),
    Goal(mine="emasync", against="seed, 100 a call"),
    Goal(mine="emasync", against="curl -F, 100 a call"),
)


def run(plan: Plan) -> RowResult:
    files = 2000 if plan.full else 500
    with small_up(plan, files, _SIZE, workers=_WORKERS) as stage:
        peers = {
            "emasync": "emasync_client",
            "aiohttp, a call a file": "aiohttp_plain",
            "requests, a call a file": "requests_pool",
            "seed, 100 a call": "seed",
            "curl -F, 100 a call": "curl",
        }
        sides = tuple(
            Side(name=name, peer=peer, verb="up", job=stage.job, writes=False) for name, peer in peers.items()
        )
        samples = take_turns(sides, pairs=plan.pairs, before=stage.before, check=stage.check)
    return RowResult(
        name=NAME,
        title="Uplink of many small files",
        work=f"one folder, {_WORKERS} workers where a side has some",
        size=f"{files:,} x {_SIZE // 1024} KiB",
        comparisons=compare(GOALS, samples),
        sides=side_results(sides, samples),
        notes=("emasync's time includes the listing that proves that each file arrived.",),
    )
