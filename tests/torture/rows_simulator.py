"""The torture row of the simulator as a server: malformed requests, fixed and random, against all its generations.

The requests and the trial are those of `tests/faults`.
"""

from __future__ import annotations

import random
from typing import Final

import anyio

from tests.faults.malformed import fixed, random_asks
from tests.faults.stage_simulator import GENERATIONS, trial
from tests.torture.row import Order, Row, judged

NAME: Final = "simulator"
_FIXED: Final = 4000
_RANDOM: Final = 6000
_BATCH: Final = 500


def run(order: Order) -> Row:
    """Some of the fixed requests and as many random ones, dealt to the generations by turns."""
    return anyio.run(_run, order)


async def _run(order: Order) -> Row:
    rng = random.Random(order.seed)
    known = list(fixed())
    asks = rng.sample(known, min(len(known), max(1, round(_FIXED * order.scale))))
    asks += random_asks(rng, max(1, round(_RANDOM * order.scale)))
    rng.shuffle(asks)
    failures: list[str] = []
    batches = [asks[start : start + _BATCH] for start in range(0, len(asks), _BATCH)]
    for number, batch in enumerate(batches):
        generation = GENERATIONS[number % len(GENERATIONS)]
        folder = order.folder / f"{number:03}"
        folder.mkdir()
        again = f"batch {number} ({generation}), seed {order.seed}, scale {order.scale:g}"
        failures += [f"{again}: {text}" for text in await trial(generation, batch, folder)]
    return Row(name=NAME, tries=len(batches), bad_inputs=len(asks), failures=tuple(failures), **judged(failures))
