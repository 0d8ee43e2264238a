"""The pictures, as SVG: the same results give the same bytes.

Owns: how things look, and the only import of matplotlib. What is shown is decided in curves.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.report.curves import PLOTS, RATIOS_FILE, Plot, bars, curves, peer_of, series_of
from benchmarks.report.table import extent, figure
from benchmarks.results import Comparison, Results, Series

_STYLE = {
    "svg.hashsalt": "emasync",
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart without red and green
_MARKERS = ("o", "s", "^", "D", "v", "P")
_MET, _MISSED, _NO_GOAL = "#0072b2", "#d55e00", "#999999"
_PLAIN = FuncFormatter(lambda value, _: f"{value:,g}")


def draw(results: Results, folder: Path) -> list[Path]:
    """Write every picture there are figures for; returns their files."""
    with mpl.rc_context(_STYLE):
        made = [
            _save(_lines(series, plot), folder / plot.file) for plot in PLOTS if (series := series_of(results, plot))
        ]
        if named := bars(results):
            made.append(_save(_ratios(named), folder / RATIOS_FILE))
    return made


def _save(picture: Figure, file: Path) -> Path:
    picture.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight", facecolor="white")
    return file


def _ratios(named: list[tuple[str, Comparison]]) -> Figure:
    picture = Figure(figsize=(9.0, 1.2 + 0.5 * len(named)))
    axes = picture.subplots()
    for place, (_, each) in enumerate(named):
        colour = {True: _MET, False: _MISSED, None: _NO_GOAL}[each.met]
        axes.barh(place, each.ratio, height=0.55, color=colour)
        axes.hlines(place, each.ratio_min, each.ratio_max, color="black", linewidth=1.2)
        if each.goal is not None:
            axes.vlines(each.goal, place - 0.4, place + 0.4, color="black", linewidth=2.2)
        right = max(each.ratio, each.ratio_max, each.goal or 0)
        axes.annotate(figure(each.ratio), (right, place), xytext=(5, 0), textcoords="offset points", va="center")
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlim(_below(named), 1.6 * max(max(each.ratio_max, each.goal or 0, 1) for _, each in named))
    axes.xaxis.set_major_formatter(_PLAIN)
    axes.set_yticks(range(len(named)), [name for name, _ in named], fontsize=8.5)
    axes.set_ylim(len(named) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("emasync's wall time / the other side's (log scale; left of 1 emasync is faster)")
    axes.set_title("Ratios: bar = median, thin line = lowest to highest, thick tick = goal", fontsize=10)
    _legend_of_verdicts(axes, {each.met for _, each in named})
    return picture


def _below(named: list[tuple[str, Comparison]]) -> float:
    """Where the bars begin: a log scale has no zero."""
    return 0.6 * min(min(each.ratio_min, each.goal or 1) for _, each in named)


def _legend_of_verdicts(axes: Axes, verdicts: set[bool | None]) -> None:
    names = {True: ("goal met", _MET), False: ("goal missed", _MISSED), None: ("no goal", _NO_GOAL)}
    shown = []
    for verdict, (name, colour) in names.items():
        if verdict in verdicts:
            shown.append(Patch(color=colour, label=name))
    axes.legend(handles=shown, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _lines(series: Series, plot: Plot) -> Figure:
    picture = Figure(figsize=(7.2, 4.2))
    axes = picture.subplots()
    sides = curves(series, plot)
    peers = list(dict.fromkeys(peer_of(side) for side in sides))
    for side, places in sides.items():
        xs, ys = zip(*places, strict=True)
        if side.startswith("ideal"):
            axes.plot(xs, ys, color="black", linewidth=1.0, linestyle=":", label=side, zorder=1)
            continue
        look = peers.index(peer_of(side)) % len(_COLOURS)
        dashes = "--" if side.endswith(", uplink") else "-"
        axes.plot(xs, ys, color=_COLOURS[look], marker=_MARKERS[look], linestyle=dashes, markersize=5, label=side)
    if plot.goal is not None:
        axes.axhline(plot.goal, color="black", linewidth=1.2, linestyle="-.", label=f"goal: {plot.goal:g} MiB")
    _scales(axes, series, plot)
    axes.set(xlabel=plot.x_label, ylabel=plot.y_label, title=series.title)
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return picture


def _scales(axes: Axes, series: Series, plot: Plot) -> None:
    if plot.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_PLAIN)
    if not plot.log_x:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 1000:g}"))
        return
    axes.tick_params(axis="x", labelsize=8.5)
    axes.set_xscale("log", base=2 if series.x != "files" else 10)
    axes.xaxis.set_major_locator(FixedLocator(sorted({point.x for point in series.points})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: extent(value, unit=series.x)))
