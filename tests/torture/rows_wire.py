"""Row: scripts of the raw server, calls, and points of failure at random, many servers and clients side by side.

Owns: the choice of cases, and their count. What a case is and when it is wrong stands in tests.faults.stage_wire.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio

from emasync import Timeouts
from tests.faults.checker import residue, tree
from tests.faults.raw_server import Target
from tests.faults.scripts import Script, Sort
from tests.faults.scripts_book import CASES
from tests.faults.stage_wire import FOREVER, HASTY, Stage, hasty, left_over, meet, stage, tasks
from tests.torture.row import Order, Row, judged

NAME: Final = "wire"

_WANTED: Final[dict[Sort, int]] = {"input": 13_000, "fault": 2_500}
_SIDE_BY_SIDE: Final = 24
_PATIENCE_S: Final = 2.0  # of each watchdog: with so many side by side an answer may take a while
_LARGE: Final = 100_000  # bytes of an upload that is worth a case now and then only
_SHOWN: Final = 40


@dataclass(slots=True)
class _Count:
    """What all workers have done so far."""

    wanted: dict[Sort, int]
    tries: int = 0
    played: Counter[Sort] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def due(self, sort: Sort) -> bool:
        """Whether more of that sort is wanted."""
        return self.played[sort] < self.wanted[sort]

    def fail(self, case: str, wrong: tuple[str, ...]) -> None:
        """Note what was wrong with a case."""
        self.findings += wrong
        self.failures.append(f"{case}: {'; '.join(wrong)}")


def run(order: Order) -> Row:
    """Play until enough inputs and faults have been played."""
    count = _Count({sort: max(1, round(number * order.scale)) for sort, number in _WANTED.items()})
    with hasty():
        anyio.run(_all, order, count)
    inside = tuple(f"{name}/{place}/" for name in _names() for place in ("volume", "into", "source"))
    count.findings += [f"I4 {path} lies outside" for path in tree(order.folder) if not path.startswith(inside)]
    return Row(
        name=NAME,
        tries=count.tries,
        bad_inputs=count.played["input"],
        faults=count.played["fault"],
        failures=tuple(count.failures[:_SHOWN]),
        **judged(count.findings),
        note=f"{len(CASES)} pairs of script and call; {len(count.failures)} cases failed",
    )


def _names() -> list[str]:
    return [f"stage-{number}" for number in range(_SIDE_BY_SIDE)]


async def _all(order: Order, count: _Count) -> None:
    before = tasks([])
    async with anyio.create_task_group() as group:
        for name in _names():
            rng = random.Random(f"{order.seed} {name}")
            group.start_soon(_worker, order.folder / name, rng, count, f"--only {NAME} --seed {order.seed}")
    if left := await left_over([], before):
        count.fail("at the end", tuple(left))


async def _worker(folder: Path, rng: random.Random, count: _Count, repeat: str) -> None:
    patient = Timeouts(
        connect_s=_PATIENCE_S,
        stall_s=_PATIENCE_S,
        low_speed_window_s=_PATIENCE_S,
        low_speed_bytes_s=HASTY.timeouts.low_speed_bytes_s,
        answer_s=_PATIENCE_S,
        long_answer_s=_PATIENCE_S,
    )
    async with stage(folder, settings=replace(HASTY, timeouts=patient)) as on:
        while pairs := [pair for pair in CASES if count.due(pair[0].sort)]:
            script, target = rng.choice(pairs)
            if script.upload < _LARGE or rng.random() < 0.1:
                await _case(on, script, target, rng, count, repeat)
        count.failures += residue(on.folder)


async def _case(on: Stage, script: Script, target: Target, rng: random.Random, count: _Count, repeat: str) -> None:
    seed, size = rng.randrange(2**32), rng.choice((1, rng.randrange(1, 50), rng.randrange(1, 4000)))
    times = rng.choice((1, 2, FOREVER, FOREVER))
    ended = await meet(on, script, target, rng=random.Random(seed), times=times, size=size)
    count.tries += 1
    count.played[script.sort] += ended.played
    if ended.wrong:
        often = "always" if times == FOREVER else f"{times} times"
        count.fail(f"{script.name} on {target}, {often}, {size} bytes, seed {seed} ({repeat})", ended.wrong)
