"""A sync that finds nothing to do, with a warm hash cache, against the least that it can cost."""

from __future__ import annotations

from benchmarks.harness import Goal, Plan, Side, compare, measure, serving, side_results, take_turns
from benchmarks.job import Job
from benchmarks.results import RowResult
from benchmarks.servers.plan import ServerPlan
from benchmarks.stage import write_small

NAME = "sync_nothing"
_SIZE = 1024
GOALS = (
    Goal(mine="sync up", against="one listing and a stat a file", at_most=1.5),
    Goal(mine="sync down", against="one listing and a stat a file", at_most=1.5),
)


def run(plan: Plan) -> RowResult:
    files = 10_000 if plan.full else 2_000
    folder = plan.scratch / "tree"
    write_small(folder, files, _SIZE)
    with serving(ServerPlan(small=files, small_size=_SIZE)) as server:
        job = Job(url=server.url, folder="data", sources=(str(folder),), state=str(plan.scratch / "state"), workers=8)
        sides = (
            Side(name="sync up", peer="emasync_client", verb="sync_up", job=job, writes=False),
            Side(name="sync down", peer="emasync_client", verb="sync_down", job=job, writes=False),
            Side(name="one listing and a stat a file", peer="list_and_stat", verb="sync", job=job, writes=False),
        )
        cold = measure(sides[0])  # fills the hash cache; what it moved would make it fail
        samples = take_turns(sides, pairs=plan.pairs, check=lambda side: None)
    return RowResult(
        name=NAME,
        title="Sync with nothing to do",
        work="every file compared by content tag, from the hash cache; the other side compares sizes",
        size=f"{files:,} files",
        comparisons=compare(GOALS, samples),
        sides=side_results(sides, samples),
        notes=(f"The first sync, which hashes every file, took {cold.wall_s:.2f} s.",),
    )
