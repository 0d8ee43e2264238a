"""Every system call of a save fails once with every error: strace's whole matrix over a downlink.

Owns: the order of the matrix, two at a time, and the sums. One injection and its verdict are
`tests.faults.stage_strace`.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Final

import anyio

from tests.faults.stage_local import missing
from tests.faults.stage_strace import Injection, Tried, count_calls, inject, matrix, not_traceable
from tests.torture.row import Order, Row, judged

NAME: Final = "strace"
_AT_A_TIME: Final = 2


def run(order: Order) -> Row:
    """Count the calls, then let each fail; a part of the matrix below scale 1.0. Each failure names its injection."""
    if why := missing("strace") or not_traceable():
        return Row(name=NAME, tries=0, note=why)
    tried = anyio.run(_all, order)
    wrong = tuple(text for one in tried for text in one.wrong)
    return Row(
        name=NAME,
        tries=len(tried),
        faults=sum(one.struck for one in tried),
        failures=wrong,
        **judged(wrong),
    )


async def _all(order: Order) -> list[Tried]:
    every = matrix(await count_calls(order.folder / "count", seed=order.seed))
    every += matrix(await count_calls(order.folder / "count kept", seed=order.seed, kept=True), kept=True)
    random.Random(order.seed).shuffle(every)
    waiting = every[: max(6, round(len(every) * order.scale))]
    tried: list[Tried] = []

    async def work() -> None:
        while waiting:
            injection = waiting.pop()
            tried.append(await _one(order.folder / str(injection).replace(":", " "), injection, order.seed))

    async with anyio.create_task_group() as tasks:
        for _ in range(_AT_A_TIME):
            tasks.start_soon(work)
    return tried


async def _one(folder: Path, injection: Injection, seed: int) -> Tried:
    try:
        return await inject(folder, injection, seed=seed)
    except (TimeoutError, AssertionError) as error:
        return Tried(struck=0, wrong=(f"{injection}, seed {seed}: {error!r}",))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
