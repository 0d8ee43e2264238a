"""Throughput and memory against the size of one file, down and up, beside curl and the vendor's example client.

Owns: the sizes and the sides. The example client holds whole bodies in memory: it is left out of the largest sizes.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.harness import Plan, Side, take_turns
from benchmarks.job import Job
from benchmarks.material import MIB
from benchmarks.results import Point, Series
from benchmarks.scaling_work import points
from benchmarks.stage import large_down, large_up

_KIB, _GIB = 1024, 1024 * MIB
_QUICK = (4 * _KIB, 256 * _KIB, 8 * MIB, 64 * MIB, 256 * MIB)
_FULL = (4 * _KIB, 64 * _KIB, 1 * MIB, 16 * MIB, 256 * MIB, 1 * _GIB, 4 * _GIB)
_EXAMPLE_UP_TO = 256 * MIB
_PEERS = {"emasync": "emasync_client", "curl": "curl", "example client": "seed"}


def by_size(plan: Plan) -> Series:
    """The series; fsync off, log-in and listing included. curl's downlink is the wire's bytes, not decoded."""
    found: list[Point] = []
    for size in _FULL if plan.full else _QUICK:
        for verb, stage_of in (("down", large_down), ("up", large_up)):
            with stage_of(plan, size) as stage:
                sides = _sides(verb, stage.job, size)
                samples = take_turns(sides, pairs=plan.pairs, before=stage.before, check=stage.check)
            found += [_without_memory(point) for point in points(samples, size, moved=size)]
    title = "Throughput and memory against the size of one file"
    return Series(name="by_size", title=title, x="bytes", unit="file size", points=tuple(found))


def _without_memory(point: Point) -> Point:
    """curl's own memory cannot be told from that of the process that starts it."""
    return replace(point, rss_mib=None) if point.side.startswith("curl") else point


def _sides(verb: str, job: Job, size: int) -> list[Side]:
    return [
        Side(name=f"{name}, {verb}link", peer=peer, verb=verb, job=job)
        for name, peer in _PEERS.items()
        if peer != "seed" or size <= _EXAMPLE_UP_TO
    ]
