"""A transfer cut short at each of its awaits, one after the other, leaves nothing behind and harms nothing.

Each test runs the same small transfer again and again: the n-th run is ended at its n-th await, until one gets through.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest

from emasync import Client, OutcomeState, Settings, Transfer
from emasync.disk import BufferedFileWriter
from emasync.http.limiter.aimd import LimiterConfig
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.simulator import Fault, Simulator
from emasync.transfer.events import OnEvent
from tests.contract.stage import PASSWORD, QUICK, USER, USERS, some_bytes, tree, write
from tests.engine.ends_steps import Steps, watching
from tests.engine.ends_ways import (
    Way,
    cancel_the_scope,
    cancel_the_task,
    cancel_the_task_impatiently,
    ended,
    leave_the_block,
)

FILES = {
    "empty.bin": b"",
    "a/small.bin": some_bytes(3000),
    "b/large.bin": some_bytes(1_200_000),  # long enough for the pause in which a locked EM may say so
}
SETTINGS = Settings(retry=QUICK.retry, durable=False, state_dir=None, workers=3)
TROUBLE = (
    Fault("busy_before", endpoint="em/files/*link", times=2),
    Fault("busy_before", endpoint="em/pod/status"),
    Fault("reset", endpoint="em/files/*link", at=1000),
    Fault("error_500", endpoint="em/files/list"),
    Fault("cut_body", endpoint="em/files/downlink"),
)
_LOOKS = 4000  # 5 ms apart: how soon a busy machine has closed what was let go is not what is tested
WAYS = (leave_the_block, cancel_the_scope, cancel_the_task, cancel_the_task_impatiently)
CUTS = [(way, late) for way in WAYS for late in (False, True)]
if not os.environ.get("EMASYNC_ALL_CUTS"):  # enough for every day: each way once, and the hardest twice
    CUTS = [(way, late) for way, late in CUTS if not late or way is cancel_the_task]


class Stage:
    """An EM, a client, the same three files on both sides, and the questions that are asked after each cut."""

    def __init__(self, sim: Simulator, em: Client, folder: Path) -> None:
        self.sim, self.em = sim, em
        self.source, self.into = folder / "source", folder / "into"
        self.journal = folder / "journal.sqlite"
        self.sockets = 0

    def up(self, em: Client, on_event: OnEvent | None = None) -> Transfer:
        return em.uplink(f"{self.source}/", dest="up", journal=self.journal, on_event=on_event)

    def down(self, em: Client, on_event: OnEvent | None = None) -> Transfer:
        return em.downlink("there/", into=self.into, journal=self.journal, on_event=on_event)

    def forget(self) -> None:
        """What one run left must not spare the next anything."""
        self.journal.unlink(missing_ok=True)
        shutil.rmtree(self.sim.volume(USER) / "up", ignore_errors=True)
        for path in self.into.rglob("*"):
            if path.is_file():
                path.unlink()

    async def nothing_is_left(self, steps: Steps, transfer: Transfer) -> None:
        """No task, thread, file handle, connection, turn or temporary file; what is said to be done is done."""
        at = f"cut at await {steps.at}"
        assert steps.unfinished() == [], at
        assert [one.name for one in threading.enumerate() if self.journal.name in one.name] == [], at
        assert files_open_below(self.source.parent) == [], at
        assert (self.em._limiter._scheduler.in_flight, self.em._limiter._scheduler.waiting) == (0, 0), at
        assert [path for path in self.source.parent.rglob("*") if path.name.startswith(".emasync-")] == [], at
        assert {name: data for name, data in tree(self.into).items() if FILES[name] != data} == {}, at
        up = tree(self.sim.volume(USER) / "up")
        assert {name: data for name, data in up.items() if FILES[name] != data} == {}, at
        outcomes = transfer.report.outcomes
        assert len({one.path for one in outcomes}) == len(outcomes), at
        for one in outcomes:
            assert one.state in (OutcomeState.DONE, OutcomeState.SKIPPED), (at, one)
            there = self.sim.volume(USER) / one.path
            assert one.local.read_bytes() == there.read_bytes(), (at, one)
        assert await self.em.files.read("there/a/small.bin") == FILES["a/small.bin"], at
        await self.sockets_are_back(at)

    async def sockets_are_back(self, at: str) -> None:
        """Both ends of what the pool keeps for the next GET, and no more; a closed one takes a few turns to be gone."""
        session = self.em._transport._session
        assert session is not None
        assert session.connector is not None
        assert not session.connector._acquired, at
        for _ in range(_LOOKS):
            pooled = sum(len(idle) for idle in session.connector._conns.values())
            if open_sockets() <= self.sockets + 2 * pooled:
                return
            await anyio.sleep(0.005)
        raise AssertionError(f"{at}: {open_sockets()} sockets, {self.sockets} before, {pooled} connections are pooled")


def files_open_below(folder: Path) -> list[str]:
    """Descriptors of files or folders below `folder`, removed ones too."""
    return [name for name in _open() if name.startswith(str(folder))]


def open_sockets() -> int:
    return sum(name.startswith("socket:") for name in _open())


def _open() -> list[str]:
    found: list[str] = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:  # that of the iteration itself
            continue
    return found


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(USERS) as sim:
        write(sim.volume(USER) / "there", FILES)
        yield sim


@pytest.fixture
async def stage(sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    quick = LimiterConfig(
        backoff_base_s=0.002, backoff_cap_s=0.004
    )  # waiting for a busy EM has as many awaits, but short
    monkeypatch.setattr("emasync.client.ConcurrencyLimiter", partial(ConcurrencyLimiter, config=quick))
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.002))  # listings here do not lag
    write(tmp_path / "source", FILES)
    before = open_sockets()
    async with Client(sim.url, username=USER, password=PASSWORD, settings=SETTINGS) as em:
        stage = Stage(sim, em, tmp_path)
        stage.sockets = before
        with watching():
            yield stage
    await _closed_down_to(before)


async def _closed_down_to(sockets: int) -> None:
    for _ in range(_LOOKS):
        if open_sockets() <= sockets:
            return
        await anyio.sleep(0.005)
    assert open_sockets() <= sockets


async def cut_everywhere(stage: Stage, way: Way, direction: str, *, late: bool, faults: tuple[Fault, ...] = ()) -> int:
    """The number of awaits there were; after each cut all is looked at."""
    begin = stage.up if direction == "up" else stage.down
    at = 0
    while True:
        stage.forget()
        stage.sim.faults.clear()
        stage.sim.faults.add(*faults)
        steps = Steps(at, late=late)
        with anyio.fail_after(10):
            transfer = await way(stage.em, begin, steps)
        stage.sim.faults.clear()
        await stage.nothing_is_left(steps, transfer)
        if not steps.struck:
            assert transfer.report.ok
            return at
        at += 1


# Sabotage: in `open_writer`, leave out the `finally` that discards; in `ConcurrencyLimiter.enter`, the `finally` that
# gives back the turn; in `open_database`, the shield; in `wait_uncancelled`, the loop (await the job once).
@pytest.mark.parametrize(("way", "late"), CUTS)
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_transfer_cut_at_any_await_leaves_nothing_behind(
    stage: Stage, way: Way, direction: str, late: bool
) -> None:
    assert await cut_everywhere(stage, way, direction, late=late) > 20


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_so_does_one_that_is_cut_while_it_gets_over_troubles(stage: Stage, direction: str) -> None:
    assert await cut_everywhere(stage, cancel_the_task, direction, late=False, faults=TROUBLE) > 25


# Sabotage: in `Client.__aenter__`, enter the transport without the exit stack; in `open_database`, drop the `finally`.
async def test_a_client_cut_at_any_await_of_its_life_leaves_nothing_behind(sim: Simulator, tmp_path: Path) -> None:
    source = write(tmp_path / "source", FILES)
    before, at = open_sockets(), 0
    settings = Settings(retry=QUICK.retry, durable=False, state_dir=tmp_path / "state", workers=3)

    async def life() -> None:
        async with Client(sim.url, username=USER, password=PASSWORD, settings=settings) as em:
            assert (await em.sync_up(source, "up")).ok
            assert (await em.downlink("up/", into=tmp_path / "into")).ok

    with watching():
        while True:
            (tmp_path / "source" / "empty.bin").write_bytes(f"{at}".encode())  # something to move each time
            steps = Steps(at, late=False)
            task = steps.start(life())
            steps.cut = task.cancel
            with anyio.fail_after(10):
                await ended(task)
            assert steps.unfinished() == [], at
            assert files_open_below(tmp_path) == [], at
            assert [path for path in tmp_path.rglob("*") if path.name.startswith(".emasync-")] == [], at
            await _closed_down_to(before)
            await _threads_are_gone()
            if not steps.struck:
                break
            at += 1
    assert at > 40


async def _threads_are_gone() -> None:
    for _ in range(_LOOKS):
        if not [one for one in threading.enumerate() if one.name.startswith("emasync")]:
            return
        await anyio.sleep(0.005)
    raise AssertionError(threading.enumerate())


# Sabotage: in `FileDownlink._facts`, let the error of `fingerprint` pass.
async def test_a_result_that_is_taken_away_as_it_lands_does_not_end_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = BufferedFileWriter.commit

    async def commit_and_lose(save: BufferedFileWriter) -> Path:
        path = await commit(save)
        if path.name == "small.bin":
            path.unlink()
        return path

    monkeypatch.setattr(BufferedFileWriter, "commit", commit_and_lose)
    report = await stage.down(stage.em)
    assert len(report.done) == len(FILES)
    monkeypatch.undo()
    again = await stage.down(stage.em)
    assert [str(one.path) for one in again.done] == ["there/a/small.bin"]
    assert tree(stage.into) == FILES
