"""How samples become points: the median run of each side counts, with its own rates and memory."""

from __future__ import annotations

from benchmarks.job import Sample
from benchmarks.results import Point
from benchmarks.scaling_work import points


def sample(wall_s: float, *, peak_mib: float) -> Sample:
    return Sample(wall_s=wall_s, cpu_s=0.1, idle_mib=30.0, peak_mib=peak_mib)


def test_the_run_with_the_median_time_counts() -> None:
    # sabotage: drop the sorting in `points`
    runs = [sample(9.0, peak_mib=90.0), sample(1.0, peak_mib=31.0), sample(2.0, peak_mib=42.0)]
    assert points({"emasync": runs}, 4, moved=1 << 21, files=10) == [
        Point(x=4, side="emasync", wall_s=2.0, mib_s=1.0, files_s=5.0, rss_mib=12.0)
    ]


def test_a_rate_that_makes_no_sense_is_left_out() -> None:
    (point,) = points({"emasync": [sample(2.0, peak_mib=31.0)]}, 4)
    assert point.mib_s is None
    assert point.files_s is None
