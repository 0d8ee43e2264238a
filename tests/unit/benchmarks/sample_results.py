"""A small results file with one of everything: met, missed and no goal; units; what a log scale cannot show."""

from __future__ import annotations

from benchmarks.results import Comparison, Machine, Point, Results, RowResult, Series, SideResult, Spread


def comparison(against: str, *, ratio: float, goal: float | None, unit: str = "x") -> Comparison:
    return Comparison(
        against=against,
        goal=goal,
        goal_text="" if goal is None else f"<= {goal:g}",
        ratio=ratio,
        ratio_min=ratio * 0.9,
        ratio_max=ratio * 1.2,
        pairs=5,
        met=None if goal is None else ratio <= goal,
        unit=unit,
    )


def side(name: str, *, fsync: bool | None = False, verified: bool = True) -> SideResult:
    return SideResult(
        name=name,
        wall_s=Spread(median=1.5, min=1.25, max=2.0),
        cpu_s=1.1,
        rss_mib=61.2,
        rss_over_idle_mib=12.0,
        fsync=fsync,
        verified=verified,
    )


LARGE = RowResult(
    name="downlink_large",
    title="Downlink of one large file",
    work="base64 JSON, decoded and verified",
    size="512 MiB",
    comparisons=(
        comparison("curl -o", ratio=0.93, goal=1.0),
        comparison("seed | example", ratio=0.25, goal=0.1),
        comparison("threads", ratio=0.0312, goal=None),
    ),
    sides=(side("emasync"), side("curl -o", fsync=None, verified=False)),
    notes=("curl decodes nothing.",),
)
MEMORY = RowResult(
    name="memory",
    title="Memory of one large downlink",
    work="peak over idle",
    size="4 GiB",
    comparisons=(comparison("idle", ratio=21.37, goal=32.0, unit="MiB"),),
    sides=(side("emasync"),),
)
LATENCY = Series(
    name="by_latency",
    title="64 files against latency",
    x="latency_s",
    unit="latency",
    points=(
        Point(x=0.05, side="downlink", wall_s=0.5, files_s=128.0),
        Point(x=0.0, side="downlink", wall_s=0.1, files_s=640.0),
        Point(x=0.05, side="ideal (computed)", wall_s=0.4, files_s=160.0),
    ),
)
SIZES = Series(
    name="by_size",
    title="One file against its size",
    x="bytes",
    unit="file size",
    points=(
        Point(x=4096, side="emasync, downlink", wall_s=0.02, mib_s=0.2, rss_mib=0.0),
        Point(x=2**28, side="emasync, downlink", wall_s=0.5, mib_s=512.0, rss_mib=4.5),
        Point(x=4096, side="curl, downlink", wall_s=0.01, mib_s=0.4),
    ),
)
RESULTS = Results(
    when="2026-01-02T03:04:05+00:00",
    machine=Machine(
        cpu="A processor",
        cores=2,
        memory_gib=15.6,
        kernel="Linux 6.1",
        python="3.11.9",
        versions={"emasync": "0.1.0", "aiohttp": "3.14.3"},
    ),
    full=True,
    rows=(LARGE, MEMORY),
    scaling=(LATENCY, SIZES),
)
