"""How many calls at once an EM takes: found out with calls that change nothing.

Owns: the rounds of calls and what is made of their refusals. May import direct, wire and errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from emasync.cli.direct import Answer, UnretriedClient
from emasync.errors import BusyError, EMError
from emasync.wire import requests

_PAUSE_S, _PATIENCE_S = 0.5, 20.0
_ROUNDS = (2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """`taken`: the most calls at once that the EM took; `refused`: the fewest of which it refused some, None if none
    were."""

    taken: int
    refused: int | None


async def ask_patiently(em: UnretriedClient, call: requests.ApiRequest) -> Answer:
    """Ask again while the EM is busy, for 20 s; then BusyError."""
    deadline = anyio.current_time() + _PATIENCE_S
    while True:
        try:
            return await em.ask(call)
        except BusyError:
            if anyio.current_time() > deadline:
                raise
        await anyio.sleep(_PAUSE_S)


async def refused_of(em: UnretriedClient, volume: requests.Volume, count: int) -> int:
    """How many of `count` calls at once the EM refuses as busy. One of them is a listing: it keeps the EM longest."""
    await ask_patiently(em, requests.pod_status(volume))
    refused: list[EMError] = []
    failed: list[EMError] = []

    async def ask(call: requests.ApiRequest) -> None:
        try:
            await em.ask(call)
        except BusyError as error:
            refused.append(error)
        except EMError as error:
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, requests.list_files(volume))
        for _ in range(count - 1):
            tasks.start_soon(ask, requests.pod_status(volume))
    if failed:
        raise failed[0]
    return len(refused)


async def measure_width(em: UnretriedClient, volume: requests.Volume) -> Width:
    """Twice as many calls at once in each round until some are refused, then the border between; at most 32 at once."""
    taken, refused = 1, None
    for count in _ROUNDS:
        if await refused_of(em, volume, count):
            refused = count
            break
        taken = count
    while refused is not None and refused - taken > 1:
        middle = (taken + refused) // 2
        if await refused_of(em, volume, middle):
            refused = middle
        else:
            taken = middle
    return Width(taken=taken, refused=refused)
