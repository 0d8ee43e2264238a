"""Old, wrong or foreign bytes of the right size, on either side, never pass for the ones that were to be moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emasync.model import OutcomeState, Verified
from emasync.simulator import Fault, Simulator
from emasync.simulator.volume import VolumeDirectory
from emasync.transfer.events import Confirmed, Settled
from tests.contract.stage import USERS, calls, connect, write
from tests.engine.truth_stage import many, other_tag

UPLINK = "em/files/uplink"


@pytest.fixture
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait seconds for a listing that may lag: the simulator's does not, unless told."""
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.01, 0.02))


# Sabotage: in `UplinkState.learn_tags` count a difference as evidence at once: the old bytes count as done.
@pytest.mark.usefixtures("_no_wait")
async def test_an_old_file_of_the_same_size_does_not_pass_for_the_one_that_was_sent_first(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"cal.bin": b"NEW" * 100})
    faults = [Fault("drop_files", endpoint=UPLINK, times=None)]
    async with Simulator(USERS, faults=faults) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"cal.bin": b"OLD" * 100})
        report = await em.uplink(source / "cal.bin")
        assert [one.state for one in report.outcomes] == [OutcomeState.FAILED]
        sim.faults.clear()
        await em.sync_up(source, "")
        assert (sim.volume("client1") / "cal.bin").read_bytes() == b"NEW" * 100


# Sabotage: no `not entry.size` in `_lessons`: the empty file is right, so nothing is asked, and the old one refutes.
@pytest.mark.usefixtures("_no_wait")
async def test_nor_does_it_beside_an_empty_file_that_arrived(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"x/cal.bin": b"NEW" * 100, "y/empty": b""})
    faults = [Fault("early_answer", endpoint=UPLINK)]  # the first call is taken, says the answer, and stores nothing
    async with Simulator(USERS, faults=faults) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"x/cal.bin": b"OLD" * 100})
        report = await em.uplink(f"{source}/", workers=1)
        assert {str(one.path): one.verified for one in report.done} == {
            "x/cal.bin": Verified.TAG,
            "y/empty": Verified.TAG,
        }
        assert (sim.volume("client1") / "x/cal.bin").read_bytes() == b"NEW" * 100


# Sabotage: drop `elif not settled: return`.
@pytest.mark.usefixtures("_no_wait")
async def test_a_listing_that_still_shows_the_old_file_says_nothing_of_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "source", {"cal.bin": b"NEW" * 100})
    shown: list[Any] = []
    listing = VolumeDirectory.listing

    def lagging(self: VolumeDirectory, *, now: float) -> Any:
        shown.append(listing(self, now=now))
        return shown[max(0, len(shown) - 2)]

    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"cal.bin": b"OLD" * 100})
        monkeypatch.setattr(VolumeDirectory, "listing", lagging)
        await em.files.list()
        report = await em.uplink(source / "cal.bin")
        assert (report.done[0].verified, report.notes) == (Verified.TAG, ())


# Sabotage: `return Verified.SIZE` at the end of `FileDownlink._settle_mismatch`: wrong bytes are put in place as done.
async def test_the_same_wrong_bytes_twice_are_no_other_rule(tmp_path: Path) -> None:
    faults = [Fault("corrupt_body", endpoint="em/files/downlink", at=5, times=2)]
    async with Simulator(USERS, generation="pods", faults=faults) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"0123456789", "b.bin": b"fine"})
        report = await em.downlink("/", tmp_path / "out", workers=1)
        assert {one.verified for one in report.done} == {Verified.TAG}
        assert (tmp_path / "out/a.bin").read_bytes() == b"0123456789"  # the third time it came as it is
        assert report.outcomes[0].attempts == 3


# Sabotage: ask the path for `facts` after the commit: the next run calls foreign bytes verified.
async def test_a_file_replaced_as_soon_as_it_appeared_is_not_remembered_as_ours(tmp_path: Path) -> None:
    def replaced(event: object) -> None:
        if isinstance(event, Confirmed):
            (tmp_path / "other").write_bytes(b"WRONG")
            (tmp_path / "other").replace(tmp_path / "out" / "a.bin")

    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"right"})
        await em.downlink("a.bin", tmp_path / "out", journal=tmp_path / "journal", on_event=replaced)
        await em.downlink("a.bin", tmp_path / "out", journal=tmp_path / "journal")
        assert (tmp_path / "out" / "a.bin").read_bytes() == b"right"


# Sabotage: in `UplinkState.learn_tags` return None unless `settled`: no file of such a server ends before the last
# call has.
async def test_files_of_a_server_with_another_tag_rule_settle_while_calls_still_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emasync.transfer.uplink_state._MAX_PENDING", 2)
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0,))
    monkeypatch.setattr("emasync.simulator.volume.tag_of_digest", other_tag(1))
    source = many(tmp_path / "source", 60, parts=12)
    settled: list[int] = []

    async with Simulator(USERS) as sim, connect(sim) as em:

        def hear(event: object) -> None:
            if isinstance(event, Settled):
                settled.append(len(calls(sim, "em/files/uplink")))

        report = await em.uplink(f"{source}/", workers=1, on_event=hear)
    assert len(report.done) == 60
    assert min(settled) < 12


# Sabotage: no `note` in `_DownlinkWorker.download`: bytes that nothing but their number speaks for pass for proved.
# Sabotage: no `_size_only_noted = True` there: every file tells it.
async def test_a_downlink_that_had_to_go_by_sizes_says_so_once_and_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emasync.simulator.volume.tag_of_digest", other_tag(1))
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.01))
    async with Simulator(USERS, generation="pods") as sim, connect(sim) as em:
        source = many(tmp_path / "source", 4)
        (await em.uplink(f"{source}/")).raise_for_failures()  # shows that the rule is another one: its bytes are known
        for name in ("first", "second"):
            report = await em.downlink("/", tmp_path / name)
            assert {one.verified for one in report.done} == {Verified.SIZE}
            assert [note.split(":")[0] for note in report.notes] == [
                "this server's content tags follow another rule than the known one"
            ]
        assert (await em.downlink("/", tmp_path / "third", verify="size")).notes == ()  # as it was asked for
    async with Simulator(USERS) as sim, connect(sim) as em:  # every file comes with its checksum
        many(sim.volume("client1"), 4)
        report = await em.downlink("/", tmp_path / "fourth")
        assert ({one.verified for one in report.done}, report.notes) == ({Verified.SHA256}, ())
