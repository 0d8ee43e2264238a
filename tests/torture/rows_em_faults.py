"""Row: transfers of many files through the simulator's faults, one kind of trouble each, at random.

Owns: the choice of cases, and their count. What a case is and when it is wrong stands in tests.faults.stage_wire_em.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from tests.faults.stage_wire_em import TROUBLES, Trouble, quick_waits, suffer
from tests.torture.row import Order, Row, judged

NAME: Final = "em_faults"

_CASES: Final = 600
_SIDE_BY_SIDE: Final = 4


@dataclass(slots=True)
class _Count:
    """What all workers have done so far."""

    left: list[tuple[Trouble, int]]
    tries: int = 0
    faults: int = 0
    findings: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def run(order: Order) -> Row:
    """Every trouble in turn, until enough cases were tried."""
    rng = random.Random(order.seed)
    cases = max(len(TROUBLES), round(_CASES * order.scale))
    count = _Count([(TROUBLES[number % len(TROUBLES)], rng.randrange(2**32)) for number in range(cases)])
    with quick_waits():
        anyio.run(_all, order, count)
    return Row(
        name=NAME,
        tries=count.tries,
        faults=count.faults,
        failures=tuple(count.failures),
        **judged(count.findings),
        note=f"{len(TROUBLES)} kinds of trouble",
    )


async def _all(order: Order, count: _Count) -> None:
    async with anyio.create_task_group() as group:
        for number in range(_SIDE_BY_SIDE):
            group.start_soon(_worker, order.folder / f"worker-{number}", count, order.seed)


async def _worker(folder: Path, count: _Count, row_seed: int) -> None:
    while count.left:
        trouble, seed = count.left.pop()
        folder.mkdir()
        result = await suffer(trouble, folder, rng=random.Random(seed))
        shutil.rmtree(folder)
        count.tries += 1
        count.faults += result.faults
        if result.wrong:
            count.findings += result.wrong
            where = f"{trouble.direction}: {trouble.name}, seed {seed} (--only {NAME} --seed {row_seed})"
            count.failures.append(f"{where}: {'; '.join(result.wrong)}")
