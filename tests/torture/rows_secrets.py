"""The torture row of secrets: every call and every verb against every way in which an EM can say back what it was told.

Owns: which of them are tried, and their count. The trials are those of `tests/faults`.
"""

from __future__ import annotations

import random
from typing import Final

import anyio

from tests.faults.origins import AUTH_MODES, MODES, Echo
from tests.faults.stage_secrets import VERBS, call_trial, verb_trial
from tests.torture.row import Order, Row

NAME: Final = "secrets"
_PAIRS: Final = 80


def run(order: Order) -> Row:
    """Each mode once through the library, and pairs of a verb and a mode at random, in child processes."""
    return anyio.run(_run, order)


async def _run(order: Order) -> Row:
    rng = random.Random(order.seed)
    modes = [*MODES, *(f"auth {mode}" for mode in AUTH_MODES)]
    pairs = [(verb, mode) for verb in VERBS for mode in modes]
    work: list[tuple[str | None, str]] = [
        (None, mode) for mode in rng.sample(modes, max(1, round(len(modes) * order.scale)))
    ]
    work += rng.sample(pairs, max(1, round(_PAIRS * order.scale)))
    bad = 0
    failures: list[str] = []
    for number, (verb, mode) in enumerate(work):
        echo, folder = Echo(mode=mode), order.folder / f"{number:03}"
        folder.mkdir()
        found = await (call_trial(echo, folder) if verb is None else verb_trial(verb, echo, folder))
        bad += len(echo.heads)
        failures += [f"{verb or 'the library'} on {mode!r}, seed {order.seed}: {text}" for text in found]
    return Row(name=NAME, tries=len(work), bad_inputs=bad, failures=tuple(failures))
