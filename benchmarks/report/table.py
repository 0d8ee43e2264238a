"""The results as Markdown: every figure for `latest.md`, the short table for the README.

Owns: how a figure is written and what stands in which table. Imports the schema only.
Pure: results in, text out. Knows nothing of files, plots or how anything was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.report.curves import PLOTS, RATIOS_FILE, Plot, curves
from benchmarks.results import Comparison, Machine, Results, RowResult, Series, SideResult, Spread

_MARKS = {True: "met", False: "**missed**", None: ""}
_KIB = 1024


def full_report(results: Results) -> str:
    """Everything that was measured, as one Markdown page; its pictures lie beside it."""
    parts = ["# Benchmarks", _origin(results), _READING]
    parts += ["## Goals", _goals(results.rows), f"![ratios of wall time, with their goals]({RATIOS_FILE})"]
    parts += [f"## {row.title}\n\n{_row(row)}" for row in results.rows]
    parts += [_scaling(series) for series in results.scaling]
    return "\n\n".join(parts) + "\n"


def short_table(results: Results) -> str:
    """What the README shows: one line for each comparison that has a goal, and where the rest is."""
    lines = [
        (f"{row.title}, {row.size}", each.against, f"**{measured(each)}**", each.goal_text, _MARKS[each.met])
        for row in results.rows
        for each in row.comparisons
        if each.goal is not None
    ]
    picture = f"![emasync's wall time as a share of each peer's](benchmarks/results/{RATIOS_FILE})"
    more = "Every figure, and how cost grows with files, bytes, workers and latency: [latest.md]"
    return "\n\n".join(
        [
            _origin(results),
            _table(("work", "against", "measured", "goal", ""), lines, right=(2, 3)),
            picture,
            f"{more}(benchmarks/results/latest.md).",
        ]
    )


def measured(comparison: Comparison) -> str:
    """The median, in its unit: ``0.93``, ``21 MiB``."""
    return figure(comparison.ratio, unit=comparison.unit)


def figure(value: float, *, unit: str = "x") -> str:
    """Three significant digits at most, never an exponent; a ratio bears no unit."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 or not value else 3
    text = f"{value:,.{digits}f}"
    return text if unit == "x" else f"{text} {unit}"


def extent(value: float, *, unit: str) -> str:
    """A place on a plot's x axis in words: ``4 KiB``, ``2,000``, ``50 ms``."""
    if unit == "bytes":
        names = ("B", "KiB", "MiB", "GiB")
        power = 0
        while value >= _KIB and power < len(names) - 1:
            value, power = value / _KIB, power + 1
        return f"{value:g} {names[power]}"
    return f"{value * 1000:g} ms" if unit == "latency_s" else f"{value:,.0f}"


_READING = (
    "Each ratio is emasync's wall time over the other side's: below 1 emasync is faster. The two sides ran in turn, "
    "each run in a fresh process; a ratio is the median over the pairs, with the lowest and highest in brackets."
)


def _origin(results: Results) -> str:
    sizes = "" if results.full else " **A quick run: smaller sizes than the goals are stated for.**"
    return f"Measured {results.when[:10]} on {machine_line(results.machine)}.{sizes}"


def machine_line(machine: Machine) -> str:
    """Processor, memory, kernel and versions in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(machine.versions.items()))
    cores = f"{machine.cores} core{'' if machine.cores == 1 else 's'}"
    return f"{machine.cpu}, {cores}, {machine.memory_gib:g} GiB, {machine.kernel}, Python {machine.python}; {versions}"


def _goals(rows: Iterable[RowResult]) -> str:
    lines = [
        (f"{row.title}, {row.size}", each.against, each.goal_text, _with_range(each), str(each.pairs), _MARKS[each.met])
        for row in rows
        for each in row.comparisons
    ]
    return _table(("work", "against", "goal", "measured", "pairs", ""), lines, right=(2, 3, 4))


def _with_range(each: Comparison) -> str:
    low, high = figure(each.ratio_min), figure(each.ratio_max)
    return f"{measured(each)} ({low} – {high})"  # noqa: RUF001


def _row(row: RowResult) -> str:
    head = ("side", "wall, s", "CPU, s", "peak RSS, MiB", "over idle, MiB", "fsync", "checked")
    table = _table(head, [_side(side) for side in row.sides], right=(1, 2, 3, 4))
    notes = "".join(f"\n- {note}" for note in row.notes)
    return f"{row.work} ({row.size})\n\n{table}" + (f"\n{notes}" if notes else "")


def _side(side: SideResult) -> tuple[str, ...]:
    fsync = {True: "on", False: "off", None: "none"}[side.fsync]
    memory = (figure(side.rss_mib), figure(side.rss_over_idle_mib))
    return side.name, _spread(side.wall_s), figure(side.cpu_s), *memory, fsync, "yes" if side.verified else "**no**"


def _spread(spread: Spread) -> str:
    return f"{figure(spread.median)} ({figure(spread.min)} – {figure(spread.max)})"  # noqa: RUF001


def _scaling(series: Series) -> str:
    parts = [f"## {series.title}"]
    for plot in (plot for plot in PLOTS if plot.series == series.name):
        parts += [f"In the table: {plot.y_label}.", _curves(series, plot), f"![{plot.y_label}]({plot.file})"]
    return "\n\n".join(parts)


def _curves(series: Series, plot: Plot) -> str:
    """What `plot` shows, as a table: a line for each x, a column for each side."""
    sides = {side: dict(places) for side, places in curves(series, plot).items()}
    lines = [
        (extent(x, unit=series.x), *(figure(places[x]) if x in places else "" for places in sides.values()))
        for x in sorted({point.x for point in series.points})
    ]
    return _table((series.unit, *sides), lines, right=range(1 + len(sides)))


def _table(head: Sequence[str], lines: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> str:
    aligned = set(right)
    rule = ["---:" if column in aligned else "---" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in (head, rule, *lines))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
