"""The row `properties`: every property of wire and names, with thousands of inputs, most of them bad.

Owns: how many. The properties are in tests/faults/properties_*.py, where pytest runs them with few inputs.
"""

from __future__ import annotations

import random
from typing import Final

from tests.faults.properties import run as run_property
from tests.faults.properties_names import NAMES
from tests.faults.properties_wire import WIRE
from tests.torture.row import Order, Row

NAME: Final = "properties"
_EXAMPLES: Final = 1_000  # of each property, at full scale


def run(order: Order) -> Row:
    """Every property; one that fails does not stop the others."""
    rng = random.Random(order.seed)
    examples = max(20, round(_EXAMPLES * order.scale))
    tallies = [run_property(name, examples=examples, seeded=rng.getrandbits(32)) for name in (*WIRE, *NAMES)]
    return Row(
        name=NAME,
        tries=sum(tally.tries for tally in tallies),
        bad_inputs=sum(tally.bad_inputs for tally in tallies),
        failures=tuple(tally.failure for tally in tallies if tally.failure),
        note=f"{len(tallies)} properties",
    )
