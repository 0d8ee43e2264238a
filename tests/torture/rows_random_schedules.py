"""The row `random_schedules`: 5,000 schedules over 8 seeds in which files change between any two calls, with an oracle.

Owns: how many. What a schedule is stands in tests/faults/random_schedules.py, what may not come of it in random_oracle.
"""

from __future__ import annotations

import random
import sys
from typing import Final

import anyio

from tests.faults.random_oracle import DELETED, LOST, WRONG, Kind
from tests.faults.random_schedules import Sum, describe, repeat, series
from tests.torture.row import Order, Row

NAME: Final = "random_schedules"
_SEEDS: Final = 8
_SCHEDULES: Final = 5_000


def run(order: Order) -> Row:
    """All schedules, one seed after the other."""
    rng = random.Random(order.seed)
    each = max(2, round(_SCHEDULES * order.scale / _SEEDS))
    total = Sum()
    for _ in range(_SEEDS):
        seed = rng.getrandbits(24)
        anyio.run(series, seed, range(each), order.folder, total)
        sys.stderr.write(f"seed {seed}: {describe(total)}\n")
    sys.stderr.writelines(f"{trace}\n\n" for trace in total.traces)
    return as_row(total)


def as_row(total: Sum) -> Row:
    """The sums as a row. Each finding is a failure; those of files and places are counted by what they did, too."""
    kinds = total.kinds()

    def count(*some: Kind) -> int:
        return sum(kinds[one] for one in some)

    return Row(
        name=NAME,
        tries=total.tries,
        faults=total.faults,
        failures=tuple(f"{repeat(label)}: {one}" for label, one in total.found),
        files_lost=count(*LOST, *DELETED),
        files_wrong=count(*WRONG),
        outside=kinds[Kind.OUTSIDE],
        note=describe(total),
    )
