"""One large file up, as multipart."""

from __future__ import annotations

from benchmarks.harness import Goal, Plan, Side, compare, side_results, take_turns
from benchmarks.material import MIB
from benchmarks.results import RowResult
from benchmarks.stage import large_up

NAME = "uplink_large"
GOALS = (
    Goal(mine="emasync", against="curl -F", at_most=1.1),
    Goal(mine="emasync", against="seed", at_most=0.125),
    Goal(mine="emasync", against="aiohttp"),
    Goal(mine="emasync", against="requests-toolbelt"),
)


def run(plan: Plan) -> RowResult:
    size = (512 if plan.full else 64) * MIB
    with large_up(plan, size) as stage:
        peers = {
            "emasync": "emasync_client",
            "curl -F": "curl",
            "aiohttp": "aiohttp_plain",
            "requests-toolbelt": "toolbelt",
            "seed": "seed",
        }
        sides = tuple(
            Side(name=name, peer=peer, verb="up", job=stage.job, writes=False) for name, peer in peers.items()
        )
        samples = take_turns(sides, pairs=plan.pairs, before=stage.before, check=stage.check)
    return RowResult(
        name=NAME,
        title="Uplink of one large file",
        work="multipart, from disk to a server that drains it into memory",
        size=f"{size // MIB} MiB",
        comparisons=compare(GOALS, samples),
        sides=side_results(sides, samples),
        notes=("emasync hashes what it sends, and its time includes the listing that proves that the file arrived.",),
    )
