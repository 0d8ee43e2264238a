"""``python -m benchmarks.report``: the tables, the plots and the README's section, from the committed figures."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.report.plots import draw
from benchmarks.report.readme import replaced
from benchmarks.report.table import full_report, short_table
from benchmarks.results import LATEST, load

README = Path(__file__).parents[2] / "README.md"


def main() -> int:
    """1 if there are no figures, or the README has no place for them."""
    try:
        results = load(LATEST.read_text(encoding="utf-8"))
    except FileNotFoundError:
        print(f"no figures yet: {LATEST} is missing, run `python -m benchmarks` first", file=sys.stderr)
        return 1
    page = LATEST.with_suffix(".md")
    page.write_text(full_report(results), encoding="utf-8")
    for file in (page, *draw(results, LATEST.parent)):
        print(f"wrote {file}")
    try:
        README.write_text(replaced(README.read_text(encoding="utf-8"), short_table(results)), encoding="utf-8")
    except LookupError as error:
        print(f"README.md is left as it was: {error.args[0]}", file=sys.stderr)
        return 1
    print(f"wrote {README}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
