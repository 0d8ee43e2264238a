"""Payload bytes that were moved twice are told apart from those of files that are not done, file by file."""

from __future__ import annotations

from pathlib import Path

import pytest

from emasync import Client, Settings
from emasync.simulator import Fault, Simulator
from tests.contract.stage import PASSWORD, QUICK, USER, USERS, some_bytes, write

SETTINGS = Settings(retry=QUICK.retry, durable=False, state_dir=None)
SIZE = 60_000


# Sabotage: leave `run.tracker.add_moved(...)` out of `_DownlinkWorker._downloaded`; or give `FileDownlink.run` no
# stats of its own there.
async def test_a_downlink_whose_answer_was_cut_has_its_first_part_moved_again(tmp_path: Path) -> None:
    async with Simulator(users=USERS, faults=[Fault("cut_body", endpoint="em/files/downlink")]) as sim:
        write(sim.volume(USER), {"a": some_bytes(SIZE), "b": some_bytes(SIZE)})
        async with Client(sim.url, username=USER, password=PASSWORD, settings=SETTINGS) as em:
            report = await em.downlink("", into=tmp_path / "out", workers=1)
    assert report.ok
    assert 0 < report.resent_bytes < SIZE
    assert (report.failed_bytes, report.wasted_bytes) == (0, report.resent_bytes)


# Sabotage: count `moved` as resent whatever the state in `ResultTracker._add`.
async def test_what_came_for_a_file_that_has_no_place_here_is_counted_as_failed(tmp_path: Path) -> None:
    (tmp_path / "out/b").mkdir(parents=True)
    async with Simulator(users=USERS) as sim:
        write(sim.volume(USER), {"a": some_bytes(SIZE), "b": some_bytes(SIZE)})
        async with Client(sim.url, username=USER, password=PASSWORD, settings=SETTINGS) as em:
            report = await em.downlink("", into=tmp_path / "out")
    assert [outcome.path for outcome in report.failed] == ["b"]
    assert (report.resent_bytes, report.failed_bytes) == (0, SIZE)


# Sabotage: leave `self._tracker.add_moved(...)` out of `UplinkRequestSender._body`.
@pytest.mark.parametrize("fault", ["busy_after", "unauthorized_after_body"])
async def test_an_uplink_that_was_refused_after_its_body_is_moved_again(tmp_path: Path, fault: str) -> None:
    write(tmp_path / "src", {"a": some_bytes(SIZE), "b": some_bytes(SIZE)})
    faults = [Fault(fault, endpoint="em/files/uplink")]  # type: ignore[arg-type]  # one of its kinds
    async with Simulator(users=USERS, faults=faults) as sim:
        async with Client(sim.url, username=USER, password=PASSWORD, settings=SETTINGS) as em:
            report = await em.uplink(f"{tmp_path}/src/")
    assert report.ok
    assert (report.resent_bytes, report.failed_bytes) == (2 * SIZE, 0)


# Sabotage: `tracker.add_moved` behind the `try` in `_DownlinkWorker._downloaded`, not in its `finally`.
async def test_what_had_come_when_the_deadline_struck_is_counted_as_failed(tmp_path: Path) -> None:
    async with Simulator(users=USERS, bandwidth=200_000) as sim:
        write(sim.volume(USER), {"big": some_bytes(2_000_000)})
        async with Client(sim.url, username=USER, password=PASSWORD, settings=SETTINGS) as em:
            report = await em.downlink("", into=tmp_path / "out", deadline=1.0)
    assert [outcome.path for outcome in report.failed] == ["big"]
    assert 0 < report.failed_bytes < 2_000_000
