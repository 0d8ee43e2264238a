"""kill -9 at any moment of an up-and-down, and the same command again: all is right, and hardly anything moves twice.

EMASYNC_KILLS sets how many moments are tried, spread over the time that an undisturbed run takes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from emasync.model import Direction
from emasync.simulator import LoggedRequest, Simulator
from emasync.simulator.config import SimulatorKeywords
from emasync.transfer.state.journal import open_journal
from emasync.transfer.state.schema import ItemState
from tests.cli.child import environment
from tests.contract.stage import PASSWORD, USER, USERS, tree, write
from tests.unit.transfer.state.journal_samples import rows_of

KILLS = int(os.environ.get("EMASYNC_KILLS", "6"))
WORKERS = 4  # as in ends_child
SLOWLY = SimulatorKeywords(
    latency=0.003, bandwidth=10e6
)  # so that most of a run's time is spent with bodies on their way
_log = logging.getLogger(__name__)
MOVING = ("em/files/uplink", "em/files/downlink")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRun:
    """One life of the child: seconds since it began to move, its last line, and whether a body was on its way when it
    was killed."""

    took_s: float
    said: str
    busy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What a run had come to when it was killed. `alive`: it was moving files, not yet through; `busy` as in
    `ChildRun`."""

    alive: bool
    busy: bool
    asked: int  # requests so far
    arrived: dict[str, bytes]  # on the EM
    downlinked: frozenset[str]  # done, says the journal


def some_files(rng: random.Random) -> dict[str, bytes]:
    """300 in 12 folders: empty, small, and a few that take a while."""
    sizes = [0, *rng.choices(range(1, 20_000), k=289), *rng.choices(range(200_000, 500_000), k=10)]
    rng.shuffle(sizes)
    return {f"folder {i % 12}/file {i}.bin": rng.randbytes(size) for i, size in enumerate(sizes)}


async def run(sim: Simulator, source: Path, folder: Path, *, kill_after_s: float | None) -> ChildRun:
    """Run the child to its end, or for so long after it begins to move."""
    folder.mkdir(parents=True, exist_ok=True)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("ends_child.py")),
        *(sim.url, PASSWORD, str(source), str(folder)),
        env=environment(folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        assert await child.stdout.readline() == b"begin\n"
        begun = time.monotonic()
        if kill_after_s is not None:
            with anyio.move_on_after(kill_after_s):
                await child.wait()
        else:
            await child.wait()
        took_s = time.monotonic() - begun
        busy = any(request.seconds == 0 for request in sim.requests if request.path in MOVING)
    finally:
        if child.returncode is None:
            child.kill()
    said = await child.stdout.read()
    await child.wait()
    return ChildRun(took_s=took_s, said=said.decode(), busy=busy)


async def killed(sim: Simulator, source: Path, folder: Path, *, after_s: float) -> Killed:
    """Run, kill, and look around once the EM has noticed."""
    ran = await run(sim, source, folder, kill_after_s=after_s)
    with anyio.fail_after(20):
        while any(request.seconds == 0 for request in sim.requests):
            await anyio.sleep(0.01)
    return Killed(
        alive=any(request.path in MOVING for request in sim.requests) and not ran.said,
        busy=ran.busy,
        asked=len(sim.requests),
        arrived=tree(sim.volume(USER) / "run"),
        downlinked=await _downlinked(folder),
    )


async def _downlinked(folder: Path) -> frozenset[str]:
    """From a copy of the journal, so that the next run gets it as the kill left it."""
    copies = folder / "copy"
    copies.mkdir()
    for part in folder.glob("journal.sqlite*"):
        shutil.copy(part, copies)
    if not (copies / "journal.sqlite").exists():
        return frozenset()
    async with open_journal(copies / "journal.sqlite") as journal:
        scopes = {tally.scope for tally in await journal.summary()}
        rows = [row for scope in scopes for row in await rows_of(journal, scope, states=(ItemState.DONE,))]
    return frozenset(str(row.key.remote) for row in rows if row.key.direction is Direction.DOWNLINK)


def uplinked_names(requests: list[LoggedRequest]) -> list[str]:
    calls = [request for request in requests if request.path == "em/files/uplink"]
    return [f"{call.detail['dest_path']}/{name}" for call in calls for name in call.detail.get("files", [])]


def downlinked_names(requests: list[LoggedRequest]) -> list[str]:
    return [request.detail["filepath"] for request in requests if request.path == "em/files/downlink"]


async def one_kill(
    source: Path, folder: Path, files: dict[str, bytes], *, after_s: float
) -> tuple[Killed, Counter[str]]:
    """Kill a run, let the next one end, judge; how the kill was, and what moved again."""
    async with Simulator(USERS, **SLOWLY) as sim:
        kill = await killed(sim, source, folder, after_s=after_s)
        said = (await run(sim, source, folder, kill_after_s=None)).said
        reports: dict[str, Any] = json.loads(said)
        assert all(report["ok"] and report["files"] == len(files) for report in reports.values()), said
        assert tree(sim.volume(USER) / "run") == files
        before, after = sim.requests[: kill.asked], sim.requests[kill.asked :]
    assert tree(folder / "into") == files
    assert [path for path in folder.rglob("*") if path.name.startswith(".emasync-")] == []

    whole = {f"run/{name}" for name, data in kill.arrived.items() if files[name] == data}
    assert len(whole) == len(kill.arrived)  # the simulator stores no half files: else this proves nothing
    sent = uplinked_names(after)
    assert not whole & set(sent)
    assert len(sent) == len(set(sent)) == len(files) - len(whole)

    fetched = downlinked_names(after)
    assert not kill.downlinked & set(fetched)
    assert len(fetched) == len(set(fetched)) == len(files) - len(kill.downlinked)
    again = set(downlinked_names(before)) & set(fetched)
    assert len(again) <= WORKERS
    return kill, Counter(up=len(set(uplinked_names(before)) & set(sent)), down=len(again))


# Sabotage: let `resume_uplink` return `plan.calls` at once; leave out the `sweep` in `resume_downlink`; let
# `ResultTracker.record` write the journal last and of nothing that was downlinked.
@pytest.mark.slow
@pytest.mark.timeout(60 + 8 * KILLS)
async def test_a_run_killed_at_any_moment_is_finished_by_the_next_one(
    tmp_path: Path,
) -> None:
    rng = random.Random(5)
    files = some_files(rng)
    source = write(tmp_path / "source", files)
    async with Simulator(USERS, **SLOWLY) as sim:
        whole = await run(sim, source, tmp_path / "whole", kill_after_s=None)
        assert json.loads(whole.said)["down"]["ok"]
    moments = [(number + rng.random()) / KILLS * whole.took_s for number in range(KILLS)]
    seen: Counter[str] = Counter()
    for number, moment in enumerate(moments):
        kill, again = await one_kill(source, tmp_path / f"kill {number}", files, after_s=moment)
        seen.update(alive=kill.alive, busy=kill.busy)
        seen.update({f"{way} again": count for way, count in again.items()})
        shutil.rmtree(tmp_path / f"kill {number}")
    _log.info("%d kills over %.2f s: %s", KILLS, whole.took_s, dict(seen))
    assert seen["alive"] * 3 >= KILLS * 2, seen  # the others came before the first file moved, or after the last
