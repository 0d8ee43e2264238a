"""Two hundred kills: SIGKILL at a random moment of an uplink or a downlink, and the same command again.

Owns: how many, two at a time, and the sums. The kill itself and its verdict are `tests.faults.stage_kills`.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Final

import anyio

from tests.faults.stage_kills import Kill, Way, kill_once
from tests.torture.row import Order, Row

NAME: Final = "kills"
KILLS: Final = 200
_AT_A_TIME: Final = 2


def run(order: Order) -> Row:
    """Kill, resume, judge; each failure names the way and the seed of its kill."""
    rng = random.Random(order.seed)
    count = max(4, round(KILLS * order.scale))
    jobs: list[tuple[Way, int]] = [(("up", "down")[number % 2], rng.getrandbits(32)) for number in range(count)]
    kills = anyio.run(_all, jobs, order.folder)
    inside = sum(kill.inside for kill in kills)
    wrong = tuple(text for kill in kills for text in kill.wrong)
    if inside < 0.75 * count:
        wrong += (f"only {inside} of {count} kills lay inside a transfer: seed {order.seed}",)
    return Row(
        name=NAME,
        tries=len(kills),
        faults=sum(kill.struck for kill in kills),
        failures=wrong,
        files_lost=sum(kill.lost for kill in kills),
        files_wrong=sum(kill.false for kill in kills),
        kills=sum(kill.struck for kill in kills),
        kills_inside=inside,
    )


async def _all(jobs: list[tuple[Way, int]], folder: Path) -> list[Kill]:
    waiting, kills = list(enumerate(jobs)), list[Kill]()

    async def work() -> None:
        while waiting:
            number, (way, seed) = waiting.pop()
            mine = folder / str(number)
            try:
                kills.append(await kill_once(mine, way=way, seed=seed))
            except (TimeoutError, AssertionError) as error:
                kills.append(Kill(struck=False, inside=False, wrong=(f"kill {way} seed {seed}: {error!r}",)))
            shutil.rmtree(mine, ignore_errors=True)

    async with anyio.create_task_group() as tasks:
        for _ in range(_AT_A_TIME):
            tasks.start_soon(work)
    return kills
