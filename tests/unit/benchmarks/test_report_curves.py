"""What the pictures show: the points of each side in order, and the ratios with their goals."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.report.curves import PLOTS, bars, curves, peer_of, series_of
from benchmarks.scaling import PROGRAMS
from tests.unit.benchmarks.sample_results import RESULTS, SIZES

BY_FILE = {plot.file: plot for plot in PLOTS}


def test_points_are_in_the_order_of_x() -> None:
    # sabotage: drop the sorting in `curves`
    plot = BY_FILE["wall_by_latency.svg"]
    series = series_of(RESULTS, plot)
    assert series is not None
    assert curves(series, plot) == {"downlink": [(0.0, 0.1), (0.05, 0.5)], "ideal (computed)": [(0.05, 0.4)]}


def test_a_side_without_the_figure_has_no_line_and_a_zero_no_place_on_a_log_scale() -> None:
    # sabotage: `value > 0 or not plot.log_y` -> `True`
    assert curves(SIZES, BY_FILE["memory_by_size.svg"]) == {"emasync, downlink": [(2**28, 4.5)]}
    linear = replace(BY_FILE["memory_by_size.svg"], log_y=False)
    assert curves(SIZES, linear) == {"emasync, downlink": [(4096, 0.0), (2**28, 4.5)]}


def test_a_series_that_was_not_measured_has_no_picture() -> None:
    assert series_of(replace(RESULTS, scaling=()), BY_FILE["memory_by_size.svg"]) is None


def test_only_ratios_of_time_are_bars() -> None:
    # sabotage: drop `if each.unit == "x"`
    assert [each.against for _, each in bars(RESULTS)] == ["curl -o", "seed | example", "threads"]


def test_a_peer_looks_the_same_in_both_directions() -> None:
    assert peer_of("curl, uplink") == peer_of("curl, downlink") == "curl"
    assert peer_of("uplink") != peer_of("downlink")


def test_each_scaling_program_has_a_picture_and_each_picture_a_program() -> None:
    assert {plot.series for plot in PLOTS} == {program.__name__ for program in PROGRAMS}
