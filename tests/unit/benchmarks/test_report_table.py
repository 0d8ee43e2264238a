"""The report's tables: every figure of the results stands in them, as it should be read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.report.table import extent, figure, full_report, short_table
from tests.unit.benchmarks.sample_results import LARGE, RESULTS


def lines_of(text: str, *words: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|") and all(word in line for word in words)]


def test_every_comparison_has_its_goal_its_range_and_its_verdict() -> None:
    # sabotage: `_MARKS[each.met]` -> `_MARKS[True]`
    page = full_report(RESULTS)
    work = "Downlink of one large file, 512 MiB"
    assert lines_of(page, "0.93") == [f"| {work} | curl -o | <= 1 | 0.93 (0.84 – 1.12) | 5 | met |"]  # noqa: RUF001
    assert lines_of(page, "<= 0.1")[0].endswith("| 5 | **missed** |")
    assert lines_of(page, "threads")[0].endswith("|  | 0.031 (0.028 – 0.037) | 5 |  |")  # noqa: RUF001
    assert "| 21.4 MiB (19.2 – 25.6) |" in page  # noqa: RUF001


def test_every_side_has_its_time_its_processor_and_its_memory() -> None:
    page = full_report(RESULTS)
    assert "| emasync | 1.50 (1.25 – 2.00) | 1.10 | 61.2 | 12.0 | off | yes |" in page  # noqa: RUF001
    assert "| curl -o | 1.50 (1.25 – 2.00) | 1.10 | 61.2 | 12.0 | none | **no** |" in page  # noqa: RUF001
    assert "\n- curl decodes nothing.\n" in page


def test_the_machine_and_the_date_are_stated_on_both_pages() -> None:
    line = (
        "Measured 2026-01-02 on A processor, 2 cores, 15.6 GiB, Linux 6.1, Python 3.11.9; aiohttp 3.14.3, emasync 0.1.0"
    )
    assert line in full_report(RESULTS)
    assert line in short_table(RESULTS)


def test_a_quick_run_says_so_and_a_full_one_does_not() -> None:
    # sabotage: `if results.full` -> `if not results.full`
    assert "quick run" in short_table(replace(RESULTS, full=False))
    assert "quick run" in full_report(replace(RESULTS, full=False))
    assert "quick run" not in short_table(RESULTS) + full_report(RESULTS)


def test_the_short_table_shows_what_has_a_goal_met_or_missed() -> None:
    # sabotage: `if each.goal is not None` -> `if each.met`
    table = short_table(RESULTS)
    assert [line.split(" | ")[1] for line in lines_of(table, "<=")] == ["curl -o", r"seed \| example", "idle"]
    assert "threads" not in table


def test_a_series_is_a_table_by_x_with_a_column_a_side() -> None:
    page = full_report(RESULTS)
    after = page[page.index("## 64 files against latency") :].splitlines()
    assert after[4:8] == [
        "| latency | downlink | ideal (computed) |",
        "| ---: | ---: | ---: |",
        "| 0 ms | 0.10 |  |",
        "| 50 ms | 0.50 | 0.40 |",
    ]
    assert "![wall time (s)](wall_by_latency.svg)" in after


def test_a_series_with_two_pictures_has_a_table_for_each() -> None:
    page = full_report(RESULTS)
    assert "| 256 MiB | 512 |  |" in page
    assert "| 256 MiB | 4.50 |" in page


def test_a_bar_inside_a_name_does_not_split_the_cell() -> None:
    # sabotage: drop `.replace("|", "\\|")`
    (line,) = lines_of(full_report(RESULTS), "seed")
    assert line.replace(r"\|", "").count("|") == 7


def test_results_without_scaling_or_rows_are_a_page_too() -> None:
    bare = replace(RESULTS, rows=(), scaling=())
    assert full_report(bare).startswith("# Benchmarks\n\nMeasured")
    assert lines_of(short_table(bare)) == [
        "| work | against | measured | goal |  |",
        "| --- | --- | ---: | ---: | --- |",
    ]


def test_both_pages_name_their_pictures_where_these_lie() -> None:
    assert "](ratios.svg)" in full_report(RESULTS)
    assert "](benchmarks/results/ratios.svg)" in short_table(RESULTS)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.93, "x", "0.93"),
        (0.0312, "x", "0.031"),
        (0.0, "x", "0.00"),
        (10.04, "MiB", "10.0 MiB"),
        (1281.4, "MiB", "1,281 MiB"),
        (-9.551, "ms", "-9.55 ms"),
        (2.27, "%", "2.27 %"),
    ],
)
def test_a_figure_has_about_three_digits_and_its_unit(value: float, unit: str, text: str) -> None:
    assert figure(value, unit=unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4096, "bytes", "4 KiB"),
        (2**32, "bytes", "4 GiB"),
        (2**42, "bytes", "4096 GiB"),
        (100, "bytes", "100 B"),
        (50_000, "files", "50,000"),
        (0.025, "latency_s", "25 ms"),
    ],
)
def test_a_place_on_an_axis_is_written_in_its_unit(value: float, unit: str, text: str) -> None:
    assert extent(value, unit=unit) == text


def test_the_name_of_a_comparison_may_be_anything() -> None:
    row = replace(LARGE, comparisons=(replace(LARGE.comparisons[0], against="curl\n -Z"),))
    assert lines_of(full_report(replace(RESULTS, rows=(row,))), "curl -Z")
