"""The results file: what is written comes back, another schema does not."""

from __future__ import annotations

import pytest

from benchmarks.results import dump, load
from tests.unit.benchmarks.sample_results import RESULTS


def test_results_come_back_from_json_as_they_were() -> None:
    assert load(dump(RESULTS)) == RESULTS


def test_a_file_of_another_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="schema 1"):
        load(dump(RESULTS).replace('"schema": 1', '"schema": 2'))
