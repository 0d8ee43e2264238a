"""A size, a time or a name that no database or request can carry fails alone or is carried; it ends no transfer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emasync.model import OutcomeState
from emasync.simulator import Simulator
from emasync.simulator.volume import VolumeDirectory
from tests.contract.stage import USERS, connect, write


def also_listed(monkeypatch: pytest.MonkeyPatch, entry: dict[str, object]) -> None:
    """Have every listing end with `entry`, which the volume does not hold."""
    listing = VolumeDirectory.listing
    monkeypatch.setattr(VolumeDirectory, "listing", lambda self, *, now: [*listing(self, now=now), entry])


# Sabotage: leave out `< 2**63` in `Shrinker.file`: OverflowError ends the whole transfer.
async def test_a_listed_size_that_no_database_takes_is_no_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = {"type": "file", "name": "odd.bin", "size": str(2**64), "hash": 1}
    also_listed(monkeypatch, odd)
    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1"})
        report = await em.downlink("/", tmp_path / "out", journal=tmp_path / "journal")
        assert {one.path: one.state for one in report.outcomes} == {
            "a.bin": OutcomeState.DONE,
            "odd.bin": OutcomeState.FAILED,
        }


# Sabotage: leave out `signed64` around mtime_ns in `fact_values`.
async def test_a_file_from_the_24th_century_is_sent_and_remembered(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a.bin": b"1"})
    os.utime(source / "a.bin", ns=(10_413_792_000 * 10**9,) * 2)
    async with Simulator(USERS) as sim, connect(sim) as em:
        assert (await em.uplink(f"{source}/", journal=tmp_path / "journal")).ok
        again = await em.uplink(f"{source}/", journal=tmp_path / "journal")
        assert [one.state for one in again.outcomes] == [OutcomeState.SKIPPED]


# Sabotage: catch no ValueError in `_delete`: the sync ends without a report.
@pytest.mark.parametrize("odd", ["a\nb.txt", "\ud800x", ".."])
async def test_a_name_that_no_request_can_carry_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    entry = {"type": "file", "name": odd, "size": "1", "hash": 1}
    also_listed(monkeypatch, entry)
    source = write(tmp_path / "source", {"a.bin": b"1"})
    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"extra.bin": b"2"})
        report = await em.sync_up(source, "", delete=True)
        assert [one.path for one in report.failed] == [odd]
        assert {one.path for one in report.done} == {"a.bin", "extra.bin"}


# Sabotage: let `tag_by_reading` raise the ValueError.
async def test_a_name_that_no_request_can_carry_is_not_read_for_a_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"type": "file", "name": "a\nb", "size": "3", "hash": 1}
    also_listed(monkeypatch, entry)
    source = write(tmp_path / "source", {"a\nb": b"123"})
    async with Simulator(USERS) as sim, connect(sim) as em:
        assert len((await em.sync_up(source, "")).failed) == 1
