"""The torture row of hostile names and planted links: thousands of names, in every place a server can say one.

Owns: the batches and their count. The trials themselves are those of `tests/faults`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio

from tests.faults.hostile_names import Hostile, families, random_names
from tests.faults.stage_escape import TRIALS, Ground, with_real_paths
from tests.faults.stage_links import CASES
from tests.torture.row import Order, Row, judged

NAME: Final = "escape"
_NAMES: Final = 9000
_BATCH: Final = 300


def run(order: Order) -> Row:
    """The fixed names in every trial, random ones in trials by turns, and every case of links."""
    return anyio.run(_run, order)


async def _run(order: Order) -> Row:
    rng = random.Random(order.seed)
    tries = bad = 0
    failures: list[str] = []
    work: list[tuple[str, Sequence[Hostile]]] = [(trial, families()) for trial in TRIALS]
    for number in range(max(1, round(_NAMES * order.scale / _BATCH))):
        trial = list(TRIALS)[number % len(TRIALS)]
        distinct = {hostile.name: hostile for hostile in random_names(rng, _BATCH)}
        work.append((trial, list(distinct.values())))
    for number, (trial, names) in enumerate(work):
        ground = Ground(_folder(order, f"names-{number:04}"))
        given = with_real_paths(names, ground)
        tries += 1
        bad += len(given)
        again = f"batch {number} ({trial}), seed {order.seed}, scale {order.scale:g}"
        failures += [f"{again}: {text}" for text in await TRIALS[trial](given, ground)]
    for number, (name, case) in enumerate(CASES.items()):
        tries += 1
        bad += 1
        failures += [f"link case {name!r}: {text}" for text in await case(Ground(_folder(order, f"links-{number:04}")))]
    return Row(
        name=NAME,
        tries=tries,
        bad_inputs=bad,
        failures=tuple(failures),
        **judged(failures),
    )


def _folder(order: Order, name: str) -> Path:
    folder = order.folder / name / "ground"
    folder.mkdir(parents=True)
    return folder
