"""All benchmarks: ``python -m benchmarks [--full] [--only NAME ...] [--pairs N]``.

Writes benchmarks/results/latest.json; ``python -m benchmarks.report`` makes tables and plots of it. Quick takes
minutes; full has the sizes that the goals are stated for and takes far longer. With ``--only`` the named rows (or
``scaling``) replace theirs in the file, if it was made on this machine with the same sizes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from benchmarks import scaling
from benchmarks.harness import Plan
from benchmarks.results import LATEST, Comparison, Results, RowResult, dump, load, now, this_machine
from benchmarks.rows import (
    downlink_large,
    downlink_small,
    exclusive,
    latency,
    memory,
    start_up,
    sync_nothing,
    uplink_large,
    uplink_small,
)

_RAM = Path("/dev/shm")
_SCALING = "scaling"


class Row(Protocol):
    """A module of `benchmarks.rows`."""

    NAME: str

    def run(self, plan: Plan) -> RowResult: ...


ROWS: tuple[Row, ...] = (
    downlink_large,
    downlink_small,
    uplink_large,
    uplink_small,
    latency,
    exclusive,
    sync_nothing,
    start_up,
    memory,
)


@contextmanager
def folders(*, full: bool, pairs: int) -> Iterator[Plan]:
    """A plan with folders of its own, which are gone afterwards."""
    ram = _RAM if _RAM.is_dir() else None
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory(dir=ram) as fast:
        yield Plan(full=full, pairs=pairs, scratch=Path(scratch), ram=Path(fast))


def describe(comparison: Comparison) -> str:
    """A comparison for the terminal."""
    unit = "" if comparison.unit == "x" else f" {comparison.unit}"
    spread = f"{comparison.ratio:.3f}{unit} ({comparison.ratio_min:.3f} to {comparison.ratio_max:.3f})"
    verdict = {None: "", True: f"goal {comparison.goal_text}: met", False: f"goal {comparison.goal_text}: MISSED"}
    return f"  {comparison.against:45} {spread:32} {verdict[comparison.met]}"


def earlier(results: Results) -> Results:
    """What the file holds, if it was made on the same machine with the same sizes; else `results` without rows."""
    if LATEST.exists():
        found = load(LATEST.read_text(encoding="utf-8"))
        if found.machine == results.machine and found.full == results.full:
            return found
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    names = [row.NAME for row in ROWS] + [_SCALING]
    parser.add_argument("--full", action="store_true", help="the sizes that the goals are stated for")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--pairs", type=int, help="runs of each side: 3, or 5 with --full")
    options = parser.parse_args(arguments)
    pairs = options.pairs or (5 if options.full else 3)
    results = Results(when=now(), machine=this_machine(), full=options.full, rows=(), scaling=())
    if set(options.only) != set(names):
        results = replace(earlier(results), when=results.when)
    for row in ROWS:
        if row.NAME not in options.only:
            continue
        print(row.NAME, flush=True)
        with folders(full=options.full, pairs=pairs) as plan:
            done = row.run(plan)
        for side in done.sides:
            print(f"  {side.name:45} {side.wall_s.median:8.3f} s {side.cpu_s:8.3f} CPU s {side.rss_mib:8.1f} MiB")
        print(*map(describe, done.comparisons), sep="\n", flush=True)
        rows = {one.name: one for one in (*results.rows, done)}
        results = replace(results, rows=tuple(rows[known.NAME] for known in ROWS if known.NAME in rows))
        LATEST.parent.mkdir(exist_ok=True)
        LATEST.write_text(dump(results), encoding="utf-8")
    if _SCALING in options.only:
        results = replace(results, scaling=scaling.run(full=options.full))
        LATEST.write_text(dump(results), encoding="utf-8")
    print(f"written to {LATEST}; `python -m benchmarks.report` makes the tables and plots")


if __name__ == "__main__":
    main()
