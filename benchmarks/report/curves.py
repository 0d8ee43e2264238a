"""Which pictures there are, and which points of the results each of them shows.

Owns: the list of plots and their axes as values. Imports the schema only; draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.results import Comparison, Point, Results, Series

RATIOS_FILE = "ratios.svg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One picture of `series`: the figure `y` of each point. `goal`: a level in MiB that must not be passed."""

    file: str
    series: str
    x_label: str
    y_label: str
    y: Callable[[Point], float | None]
    log_x: bool = True
    log_y: bool = True
    goal: float | None = None


PLOTS = (
    Plot(
        file="cost_by_files.svg",
        series="by_files",
        x_label="files of 4 KiB",
        y_label="wall time (s)",
        y=lambda point: point.wall_s,
    ),
    Plot(
        file="throughput_by_size.svg",
        series="by_size",
        x_label="size of one file",
        y_label="throughput (MiB/s)",
        y=lambda point: point.mib_s,
    ),
    Plot(
        file="memory_by_size.svg",
        series="by_size",
        x_label="size of one file",
        y_label="peak resident memory beyond idle (MiB)",
        y=lambda point: point.rss_mib,
        goal=32.0,
    ),
    Plot(
        file="throughput_by_workers.svg",
        series="by_workers",
        x_label="workers",
        y_label="throughput (files/s)",
        y=lambda point: point.files_s,
    ),
    Plot(
        file="wall_by_latency.svg",
        series="by_latency",
        x_label="latency of a call (ms)",
        y_label="wall time (s)",
        y=lambda point: point.wall_s,
        log_x=False,
        log_y=False,
    ),
)


def series_of(results: Results, plot: Plot) -> Series | None:
    """The series that `plot` shows, if it was measured."""
    return next((series for series in results.scaling if series.name == plot.series), None)


def curves(series: Series, plot: Plot) -> dict[str, list[tuple[float, float]]]:
    """The points of each side in the order of x, without those that have no such figure or no place on a log scale."""
    found: dict[str, list[tuple[float, float]]] = {}
    for point in sorted(series.points, key=lambda point: point.x):
        value = plot.y(point)
        if value is not None and (value > 0 or not plot.log_y):
            found.setdefault(point.side, []).append((point.x, value))
    return found


def peer_of(side: str) -> str:
    """Whose line it is: a peer's two directions look alike but for the dashes."""
    return side.removesuffix(", downlink").removesuffix(", uplink")


def bars(results: Results) -> list[tuple[str, Comparison]]:
    """The comparisons that are ratios of wall time, each with a name for its bar."""
    return [
        (f"{row.title}\nvs {each.against}", each)
        for row in results.rows
        for each in row.comparisons
        if each.unit == "x"
    ]
