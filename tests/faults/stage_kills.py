"""kill -9 of the command line at a random moment of its transfer, the same command again, and what the checker says.

Owns: one kill: its files, its moment and the verdict. May import the stage, the checker and the simulator's log.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import anyio

from emasync.disk.writer import SMALL
from emasync.simulator import LoggedRequest, Simulator
from tests.faults.checker import Run, read_journal, sha256, tree, violations
from tests.faults.stage_local import USER, Ended, an_em, emasync, journals, some_files, started

Way = Literal["up", "down"]
WORKERS: Final = 4
FILES: Final = 36
SLOWLY: Final[Mapping[str, Any]] = {"latency": 0.02, "bandwidth": 4e6}
MOVING: Final = ("em/files/uplink", "em/files/downlink")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """`struck`: the process was alive. `inside`: at the strike it had begun to move files, and not moved all; `wrong`:
    what was found against it; `lost` and `false` count files, the latter with bytes that are neither old nor new."""

    struck: bool
    inside: bool
    wrong: tuple[str, ...]
    lost: int = 0
    false: int = 0


async def kill_once(folder: Path, *, way: Way, seed: int) -> Kill:
    """One kill in an empty `folder`. The same seed makes the same files and strikes at the same request."""
    rng = random.Random(seed)
    files = some_files(rng, FILES, large=6, folders=9)
    for name in rng.sample(sorted(files), FILES // 2):  # no longer saved in one hop: a kill finds them half written
        files[name] = rng.randbytes(SMALL + rng.randrange(1, 200_000))
    home = folder / "home"
    async with an_em(folder / "em", files if way == "down" else None, **SLOWLY) as sim:
        destination = sim.volume(USER) if way == "up" else home / "out"
        if way == "up":
            _write(home / "src", files)
        before = _plant_old(destination, files, rng)
        words = ("up", "src/") if way == "up" else ("down", "/", "--into", "out")
        killed = await _strike(sim, home, words, rng, calls=7 if way == "up" else FILES - 5)
        asked = len(sim.requests)
        done, over = _journalled(home), _over(home)
        wrong = _judge(way, files, destination, before, rows=next(iter(journals(home)), None), ended_ok=False)
        there = tree(destination)
        again = await emasync(sim.url, home, *words, "--workers", str(WORKERS), "-q")
        wrong += _judge(way, files, destination, before, rows=None, ended_ok=again.code == 0)
        wrong += again.ugly() + _second_run(again, home)
        begun, later = any(request.path in MOVING for request in sim.requests[:asked]), _moved(sim.requests[asked:])
        if not over:
            wrong += _twice(way, files, there=there, done=done, later=later)
    lost = sum("ended well without" in one or "old file is gone" in one for one in wrong)
    false = sum(one.startswith("I1") and "gone" not in one for one in wrong)
    told = tuple(f"kill {way} seed {seed}: {one}" for one in wrong)
    return Kill(struck=killed, inside=killed and begun and bool(later) and not over, wrong=told, lost=lost, false=false)


async def _strike(sim: Simulator, home: Path, words: Sequence[str], rng: random.Random, *, calls: int) -> bool:
    """Run the command, and kill it a random while after a random one of its moving requests; False: it ended first."""
    at, delay_s = rng.randrange(calls), rng.choice((0.0, rng.uniform(0.0, 0.05), rng.uniform(0.0, 0.2)))
    async with started(sim.url, home, *words, "--workers", str(WORKERS), "-q") as process:
        over = asyncio.ensure_future(process.wait())
        with anyio.fail_after(40):
            while not over.done() and sum(request.path in MOVING for request in sim.requests) <= at:
                await anyio.sleep(0.002)  # the simulator's log has no bell
            await asyncio.wait([over], timeout=delay_s)
        alive = not over.done()
        if alive:
            process.kill()
        await over
    with anyio.fail_after(10):
        while any(
            not request.seconds for request in sim.requests
        ):  # until the simulator knows that nobody is there any more
            await anyio.sleep(0.005)
    return alive


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _plant_old(destination: Path, files: Mapping[str, bytes], rng: random.Random) -> dict[str, str]:
    """A third of the files exist already, with other bytes."""
    old = {name: rng.randbytes(rng.randrange(1, 5000)) for name in rng.sample(sorted(files), len(files) // 3)}
    _write(destination, old)
    return {name: sha256(data) for name, data in old.items()}


def _judge(
    way: Way,
    files: Mapping[str, bytes],
    destination: Path,
    before: Mapping[str, str],
    *,
    rows: Path | None,
    ended_ok: bool,
) -> list[str]:
    run = Run(direction=way, wanted=files, destination=destination, before=before, rows=rows, ended_ok=ended_ok)
    return violations(run)


def _over(home: Path) -> bool:
    """Whether the job had ended well and been recorded so, before its process had: the next run is another job."""
    return any(json.loads(path.read_text())["state"] == "done" for path in home.rglob("jobs/*.json"))


def _journalled(home: Path) -> frozenset[str]:
    """The remote paths that the journal calls done."""
    return frozenset(row.remote for path in journals(home) for row in read_journal(path) if row.state == "done")


def _second_run(again: Ended, home: Path) -> list[str]:
    wrong = [f"the second run ended with {again.code}: {again.err[-500:]}"] if again.code else []
    left = [
        str(path.relative_to(home)) for path in home.rglob("*") if path.name.endswith((".part", ".tmp", ".journal"))
    ]
    return wrong + [f"I8 {path} was left behind" for path in left]


def _moved(requests: Sequence[LoggedRequest]) -> list[str]:
    """Every file that a request was about, as often as it was."""
    names: list[str] = []
    for request in requests:
        if request.path == "em/files/uplink":
            names += [
                f"{request.detail.get('dest_path', '')}/{name}".strip("/") for name in request.detail.get("files", [])
            ]
        elif request.path == "em/files/downlink":
            names.append(str(request.detail.get("filepath", "")).strip("/"))
    return names


def _twice(
    way: Way, files: Mapping[str, bytes], *, there: Mapping[str, str], done: frozenset[str], later: Sequence[str]
) -> list[str]:
    """What the second run moved although it was there, or more than once."""
    arrived = {name for name, data in files.items() if there.get(name) == sha256(data)}
    settled = arrived if way == "up" else done
    wrong = [f"I7 {name!r} was there, and was sent again" for name in later if name in settled]
    return wrong + [f"I7 {name!r} moved {count} times" for name, count in Counter(later).items() if count > 1]
