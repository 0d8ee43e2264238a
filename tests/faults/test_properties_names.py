"""The properties of names and listings, with few examples each; the torture's row `properties` runs many."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.properties import Property, run
from tests.faults.properties_names import NAMES


@pytest.mark.parametrize("one", NAMES, ids=lambda one: one.name)
def test_it_holds_of_some_hundred_inputs(one: Property[Any]) -> None:
    tally = run(one, examples=250, seeded=1)
    assert tally.failure is None
    assert tally.tries >= 200
