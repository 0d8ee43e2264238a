"""One call that meets one script: what is set up, what is done, and every question that is asked of its end.

Owns: the case, for the quick tests and for the torture row alike. May import emasync, the raw server, scripts, checker.
Asserts nothing: a case returns the texts of what was wrong with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias
from unittest import mock

from emasync import Client, EMError, Limits, RetryPolicy, Settings, Timeouts, TransferReport
from emasync.http.limiter.aimd import LimiterConfig
from emasync.http.limiter.limiter import ConcurrencyLimiter
from tests.faults.checker import Run, residue, sha256, tree, violations
from tests.faults.raw_server import RawEM, Target
from tests.faults.scripts import Script

HASTY = Settings(
    timeouts=Timeouts(
        connect_s=0.4, stall_s=0.6, low_speed_window_s=0.6, low_speed_bytes_s=300, answer_s=0.6, long_answer_s=0.6
    ),
    retry=RetryPolicy(retries=2, base_s=0.001, cap_s=0.005, busy_timeout_s=0.05),
    limits=Limits(json_reply=500_000, listing_reply=500_000),
    durable=False,
    state_dir=None,
)
"""Watchdogs of tenths of a second, and yet long enough for a machine that is busy with other things."""

FOREVER = 10**9
UPLOADS = ("a.bin", "b.bin", "c.bin")

Task: TypeAlias = "asyncio.Task[object]"


@contextlib.contextmanager
def hasty() -> Iterator[None]:
    """Do not wait seconds where emasync's own constants would: looks at a lagging listing, probes of a locked EM."""
    limiter = partial(ConcurrencyLimiter, config=LimiterConfig(backoff_base_s=0.004, backoff_cap_s=0.02))
    with (
        mock.patch("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.001)),
        mock.patch("emasync.client.ConcurrencyLimiter", limiter),
    ):
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A server, a client of it that has already moved a file each way, and this machine's side in `folder`."""

    em: RawEM
    client: Client
    folder: Path

    @property
    def into(self) -> Path:
        """Where downlinks land."""
        return self.folder / "into"

    @property
    def source(self) -> Path:
        """Where uplinks come from."""
        return self.folder / "source"


@contextlib.asynccontextmanager
async def stage(folder: Path, *, settings: Settings = HASTY) -> AsyncIterator[Stage]:
    """A stage below `folder`, to be used inside `hasty`.

    That the server's content tags follow the known rule has been seen before it is given: of a server it knows nothing
    of, emasync takes the same bytes twice for the file (and says so).
    """
    for name in ("volume", "into", "source"):
        (folder / name).mkdir(parents=True)
    (folder / "volume" / "known.bin").write_bytes(b"bytes that were there before")
    async with RawEM(folder / "volume").serve() as em:
        async with Client(em.url, username="client1", password="canary", settings=settings) as client:
            (await client.downlink("known.bin", into=folder / "into")).raise_for_failures()
            yield Stage(em=em, client=client, folder=folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a case ended: `ends` are names of error classes, ``done`` or ``unknown``; `wrong` what was wrong with it."""

    ends: frozenset[str]
    hits: int
    played: int
    wrong: tuple[str, ...]


async def meet(
    on: Stage, script: Script, target: Target, *, rng: random.Random, times: int = FOREVER, size: int = 700
) -> Ended:
    """Let the call meet `script` `times` times; then the server is well again, and the same client must be, too."""
    mine = random.Random(rng.random())
    wanted = _prepare(on, target, mine, size=max(size, script.upload) if target == "up" else size)
    on.em.arm(target, script.play, rng, times=times)
    ends, wrong = await _call(on, target, wanted)
    if script.name.startswith("a-flipped-bit") and target == "list":
        wrong = []  # it may be a bit of a name
    hits, played = _hits(on, target), on.em.played
    on.em.heal()
    while on.em.playing:  # so that what it had to send is on its way
        await asyncio.sleep(0)
    if not played:
        wrong.append("the script was never played")
    if times == FOREVER:
        if not ends <= script.may_end(target):
            wrong.append(f"ended with {_said(ends)}, not with {script.ends[target]}")
        if hits > script.most * (2 if target == "raw" else 1):
            wrong.append(f"{hits} requests, {script.most} are allowed")
    wrong += [f"when the server was well again: {one}" for one in await _again(on, target, mine)]
    wrong += [f"the server slipped: {slip}" for slip in on.em.slips]
    on.em.slips.clear()
    return Ended(ends=ends, hits=hits, played=played, wrong=tuple(wrong))


def _prepare(on: Stage, target: Target, rng: random.Random, *, size: int) -> dict[str, bytes]:
    """New bytes to move, in the place of older ones of the same size; by final path."""
    names = UPLOADS if target == "up" else ("a.bin",)
    wanted = {name: rng.randbytes(size) for name in names}
    for name, data in wanted.items():
        (on.folder / ("source" if target == "up" else "volume") / name).write_bytes(data)
    return wanted


async def _call(on: Stage, target: Target, wanted: dict[str, bytes]) -> tuple[frozenset[str], list[str]]:
    if target == "list":
        return await _list(on)
    up = target == "up"
    destination = on.em.volume if up else on.into
    before = tree(destination)
    wanted_hashes = {name: sha256(data) for name, data in wanted.items()}
    try:
        if up:
            report = await on.client.uplink([on.source / name for name in wanted])
        else:
            report = await on.client.downlink(list(wanted), into=on.into)
    except EMError as error:
        return frozenset({type(error).__name__}), [*residue(destination), f"the whole transfer failed: {error}"]
    run = Run(
        direction="up" if up else "down",
        wanted=wanted_hashes,
        before=before,
        destination=destination,
        report=report,
        ended_ok=report.ok,
    )
    found = violations(run)
    if not up and report.outcomes[0].attempts != (hits := _hits(on, target)):
        found.append(f"the outcome counts {report.outcomes[0].attempts} attempts, the server {hits}")
    return _ends(report), found


async def _list(on: Stage) -> tuple[frozenset[str], list[str]]:
    there = {path.name for path in on.em.volume.iterdir()}
    try:
        listing = await on.client.files.list()
    except EMError as error:
        return frozenset({type(error).__name__}), []
    lost = there - {str(entry.path) for entry in listing}
    return frozenset({"done"}), [f"the listing lacks {sorted(lost)}"] if lost else []


async def _again(on: Stage, target: Target, rng: random.Random) -> list[str]:
    wanted = _prepare(on, target, rng, size=rng.randrange(1, 2000))
    on.em.hits.clear()
    on.em.played = 0
    ends, wrong = await _call(on, target, wanted)
    return wrong if ends == {"done"} else [f"ended with {_said(ends)}", *wrong]


def _hits(on: Stage, target: Target) -> int:
    path = {"list": "list", "up": "uplink"}.get(target, "downlink")
    return on.em.hits[f"/em/files/{path}"]


def _ends(report: TransferReport) -> frozenset[str]:
    return frozenset(
        type(outcome.error).__name__ if outcome.error else str(outcome.state) for outcome in report.outcomes
    )


def _said(ends: frozenset[str]) -> str:
    return " and ".join(sorted(ends))


def tasks(stages: Iterable[Stage]) -> set[Task]:
    """What runs now, but for the servers' own connections."""
    return asyncio.all_tasks() - set().union(*(on.em.tasks for on in stages))


async def left_over(stages: Sequence[Stage], before: set[Task]) -> list[str]:
    """Tasks that clients left behind; those of closing connections get a few turns of the loop."""
    left: set[Task] = set()
    for _ in range(200):
        left = tasks(stages) - before
        if not left:
            break
        await asyncio.sleep(0)
    return [repr(task) for task in left]
