"""What this machine does to a transfer: full disks, limits, rights, sources that change, very many files.

Owns: which cases run how often, and the sums. The cases are `stage_limits`, `stage_sources`, `stage_many` and
`stage_plans`.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Final

import anyio

from tests.faults import stage_limits, stage_sources
from tests.faults.stage_kills import Way
from tests.faults.stage_local import missing
from tests.faults.stage_many import many_files
from tests.faults.stage_plans import JOBS, plan_many
from tests.torture.row import Order, Row, judged

NAME: Final = "local"
MANY: Final = 100_000
PLANNED: Final = 200_000
_ROUNDS: Final = 5
_MANY_LIMIT_S: Final = 900.0


def run(order: Order) -> Row:
    """Every case some times with other files, then the many; each failure says its case and seed."""
    rng = random.Random(order.seed)
    failures: list[str] = []
    notes: list[str] = []
    tries = 0
    rounds = max(1, round(_ROUNDS * order.scale))
    for number in range(rounds):
        seed = rng.getrandbits(32)
        for name, (case, tools) in {**stage_limits.cases(seed), **stage_sources.cases(seed)}.items():
            if why := missing(*tools):
                notes.append(f"{name}: {why}")
                continue
            tries += 1
            failures += [f"{name}, seed {seed}: {one}" for one in _try(order.folder / f"{number} {name}", case)]
    faults = tries - rounds  # in each round one case, "300 names deep", is no fault
    count = max(2000, round(MANY * order.scale))
    ways: tuple[Way, ...] = ("up", "down")
    for way in ways:
        tries += 1
        wrong, note = _move_many(order.folder / way, way, count)
        failures += wrong
        notes.append(note)
    tries += len(JOBS)
    wrong, note = _plan_many(order.folder / "plans", max(2000, round(PLANNED * order.scale)))
    failures += wrong
    notes.append(note)
    return Row(
        name=NAME,
        tries=tries,
        faults=faults,
        failures=tuple(failures),
        **judged(failures),
        note="; ".join(dict.fromkeys(notes)),
    )


def _try(folder: Path, case: stage_limits.Case) -> list[str]:
    folder.mkdir(parents=True)
    try:
        return anyio.run(case, folder)
    except (TimeoutError, AssertionError, OSError) as error:
        return [repr(error)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move_many(folder: Path, way: Way, count: int) -> tuple[list[str], str]:
    async def move() -> tuple[list[str], str]:
        cost = await many_files(folder, way=way, count=count, limit_s=_MANY_LIMIT_S)
        return list(cost.wrong), f"{count} files {way}: {cost.peak_kib} KiB, {cost.open_files} open"

    try:
        return anyio.run(move)
    except (TimeoutError, AssertionError, OSError) as error:
        return [f"{count} files {way}: {error!r}"], ""


def _plan_many(folder: Path, count: int) -> tuple[list[str], str]:
    folder.mkdir(parents=True)
    try:
        return plan_many(folder, JOBS, count=count, limit_s=_MANY_LIMIT_S)
    except (subprocess.TimeoutExpired, OSError, ValueError) as error:
        return [f"plans of {count} files: {error!r}"], ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)
