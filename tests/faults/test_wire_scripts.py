"""Every script against every call it makes sense for, for ever: its end and cost, the disk, the client after it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from tests.faults.raw_server import Target
from tests.faults.scripts import LATE, Script
from tests.faults.scripts_book import SCRIPTS, TWICE
from tests.faults.stage_wire import Stage, hasty, left_over, meet, stage, tasks


# sabotage: give two scripts one name.
def test_every_script_has_a_name_of_its_own() -> None:
    assert TWICE == []
    assert len(SCRIPTS) >= 40


# sabotage (each was tried), and the scripts that then fail:
# - transport.connector: `_is_silent` always True: a-second-answer-late (the next call gets a false answer)
# - transport.reply: no timeout around `readany`: those that make a call wait
# - transport.session: `allow_redirects=True`: 302-elsewhere, 307-elsewhere
# - transport.session: leave out the check of `upload.sent < upload.size`: 200-early
# - wire.downlink: `_same` never raises: cut-by-close, hash-of-other-bytes, another-file-well-sealed and others
# - wire.json_parser: no `_object_with_unique_keys`, no `_refuse_constant`: json-key-twice, json-nan, json-infinity
# - transfer.send: take a lost answer for a good one (`counted = True`): rst-before-headers, 500
# - endpoints.files: no `_check_bound`: endless
_WAITING = [script for script in SCRIPTS if any(LATE in end for end in script.ends.values())]
_OTHERS = [script for script in SCRIPTS if script not in _WAITING]


@pytest.mark.parametrize("script", _OTHERS, ids=[script.name for script in _OTHERS])
async def test_a_call_that_meets_this_every_time_ends_as_it_should(tmp_path: Path, script: Script) -> None:
    await play([script], tmp_path)


async def test_calls_that_are_made_to_wait_end_as_they_should(tmp_path: Path) -> None:
    assert len(_WAITING) >= 6
    await play(_WAITING, tmp_path)  # side by side, since waiting is all they do


async def play(scripts: Sequence[Script], folder: Path) -> None:
    """Every call against every one of `scripts`, at the same time, each with a server and a client of its own."""
    found: dict[str, tuple[str, ...]] = {}

    async def case(name: str, script: Script, target: Target, on: Stage) -> None:
        found[name] = (await meet(on, script, target, rng=random.Random(name))).wrong

    with hasty():
        async with AsyncExitStack() as stack:
            cases = [(f"{script.name} {target}", script, target) for script in scripts for target in script.ends]
            stages = [await stack.enter_async_context(stage(folder / name)) for name, _, _ in cases]
            before = tasks(stages)
            async with anyio.create_task_group() as group:
                for (name, script, target), on in zip(cases, stages, strict=True):
                    group.start_soon(case, name, script, target, on)
            assert found == {name: () for name, _, _ in cases}
            assert await left_over(stages, before) == []
