"""The README's figures are those of the committed results file, and nothing else of it is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report.readme import BEGIN, END, replaced
from benchmarks.report.table import full_report, short_table
from benchmarks.results import LATEST, load

README = Path(__file__).parents[3] / "README.md"


def test_what_stands_between_the_markers_is_replaced_and_nothing_else() -> None:
    # sabotage: `{after}` dropped from the result
    before, after = "# emasync\n\ntext\n", "\nmore | text\n"
    text = replaced(f"{before}{BEGIN}\nold\n\n| old |\n{END}{after}", "\nnew\n")
    assert text == f"{before}{BEGIN}\nnew\n{END}{after}"


def test_replacing_again_changes_nothing() -> None:
    once = replaced(f"a\n{BEGIN}\n{END}\nb\n", "new")
    assert replaced(once, "new") == once


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no markers", BEGIN),
        (f"{BEGIN} only", END),
        (f"{END} only", BEGIN),
        (f"{BEGIN}{END}{BEGIN}", "it has 2"),
        (f"{END}\n{BEGIN}", "before"),
    ],
)
def test_a_readme_without_both_markers_in_order_is_refused(text: str, complaint: str) -> None:
    # sabotage: the `raise` under `if not closed` dropped
    with pytest.raises(LookupError, match=complaint):
        replaced(text, "new")


def test_the_readme_shows_the_committed_figures() -> None:
    results = load(LATEST.read_text(encoding="utf-8"))
    readme = README.read_text(encoding="utf-8")
    assert readme == replaced(readme, short_table(results)), "run `python -m benchmarks.report`"


def test_the_full_page_shows_the_committed_figures() -> None:
    page = LATEST.with_suffix(".md").read_text(encoding="utf-8")
    assert page == full_report(load(LATEST.read_text(encoding="utf-8"))), "run `python -m benchmarks.report`"
