"""The row `journal`: long walks of its model through crashes and torn writes, and thousands of damaged files.

Owns: how many. The model, its crashes and the damage are in tests/faults/journal_model.py.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

import anyio
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.journal_model import Counts, JournalUnderCrashes, damage
from tests.torture.row import Order, Row

NAME: Final = "journal"
_WALKS: Final = 150
_STEPS: Final = 40
_DAMAGED: Final = 1_000


def run(order: Order) -> Row:
    """The walks, then the damaged files."""
    rng = random.Random(order.seed)
    counts, failures = Counts(), list[str]()
    chance = rng.getrandbits(32)
    try:
        _walk(counts, walks=max(5, round(_WALKS * order.scale)), chance=chance)
    except Exception as error:  # noqa: BLE001 -- whatever ends a walk is its finding
        notes = "; ".join(getattr(error, "__notes__", ()))
        failures.append(f"the model (seed {chance}): {type(error).__name__}: {error}; {notes:.3000}")
    damaged = max(20, round(_DAMAGED * order.scale))
    failures += anyio.run(_damage_all, order.folder, rng.getrandbits(32), damaged)
    return Row(
        name=NAME,
        tries=counts.steps + damaged,
        bad_inputs=damaged,
        faults=counts.crashes + counts.torn,
        failures=tuple(failures),
        note=f"{counts.steps} steps, {counts.crashes} crashes between writes, {counts.torn} in a write",
    )


def _walk(shared: Counts, *, walks: int, chance: int) -> None:
    class Walk(JournalUnderCrashes):
        counts = shared

    of_this = settings(
        max_examples=walks,
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(chance)(Walk), settings=of_this)


async def _damage_all(folder: Path, chance: int, count: int) -> list[str]:
    failures: list[str] = []
    rng = random.Random(chance)
    for number in range(count):
        path = folder / "damaged.db"
        if (found := await damage(path, rng)) is not None:
            failures.append(f"damaged journal {number} of seed {chance}: {found}")
        for left in folder.glob("damaged.db*"):
            left.unlink()
    return failures
