"""The row `schedules`: a thousand random schedules of faults, up and down, each judged by the independent checker.

Owns: how many. What a schedule is, and what must come of it, is in tests/faults/schedules.py.
"""

from __future__ import annotations

import random
import shutil
import sys
from typing import Final

import anyio

from tests.faults.schedules import carry_out, drawn, swift
from tests.torture.row import Order, Row

NAME: Final = "schedules"
_SCHEDULES: Final = 1_000
_LIMIT_S: Final = 60.0  # of one schedule: milliseconds are usual


def run(order: Order) -> Row:
    """All schedules, one after the other."""
    return anyio.run(_run, order)


async def _run(order: Order) -> Row:
    rng = random.Random(order.seed)
    tries = faults = lost = wrong = spare = 0
    failures: list[str] = []
    with swift():
        for number in range(max(10, round(_SCHEDULES * order.scale))):
            schedule, folder = drawn(rng.getrandbits(40)), order.folder / str(number)
            tries += 1
            with anyio.move_on_after(_LIMIT_S):
                verdict = await carry_out(schedule, folder)
                faults, spare = faults + verdict.faults, spare + verdict.spare
                lost, wrong = lost + verdict.lost, wrong + verdict.wrong
                failures += verdict.found
                shutil.rmtree(folder, ignore_errors=True)
                continue
            failures.append(f"still running after {_LIMIT_S:g} s: {schedule}")
            sys.stderr.write(f"{failures[-1]}\n")
    return Row(
        name=NAME,
        tries=tries,
        faults=faults,
        failures=tuple(failures),
        files_lost=lost,
        files_wrong=wrong,
        note=f"{spare} times a file was moved in vain",
    )
