"""A deletion whose end nobody saw is unknown: it is neither failed nor done."""

from __future__ import annotations

from pathlib import Path

import pytest

from emasync.errors import UnknownOutcomeError
from emasync.simulator import Fault, Simulator
from emasync.transfer.events import Settled
from tests.contract.stage import USERS, connect, write


# Sabotage: let the listing's error through in `Files.delete`.
async def test_a_deletion_whose_answer_is_lost_stays_unknown_when_nothing_can_be_listed() -> None:
    lost = Fault("commit_then_drop", endpoint="em/files/delete")
    blind = Fault("error_500", endpoint="em/files/list", times=None)
    async with Simulator(USERS, faults=[lost, blind]) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1"})
        with pytest.raises(UnknownOutcomeError):
            await em.files.delete("a.bin")


# Sabotage: leave UnknownOutcomeError out of `_deleted`: it "failed", and was "deleted".
async def test_a_deletion_of_a_sync_whose_answer_is_lost_is_unknown(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a.bin": b"1"})
    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1", "extra.bin": b"2"})

        def blind(event: object) -> None:
            if isinstance(event, Settled):
                sim.faults.add(Fault("commit_then_drop", endpoint="em/files/delete"))
                sim.faults.add(Fault("error_500", endpoint="em/files/list", times=None))

        report = await em.sync_up(source, "", delete=True, on_event=blind)
        assert [(one.path, one.reason and "deleted" in one.reason) for one in report.unknown] == [("extra.bin", False)]


# Sabotage: leave out `run.roster.sent` in `_delete`: what is gone on the EM is "failed".
async def test_a_deletion_that_a_deadline_cuts_off_is_unknown(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a.bin": b"1"})
    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1", "extra.bin": b"2"})
        gate = sim.gate("em/files/delete", at="answer")
        report = await em.sync_up(source, "", delete=True, deadline=0.6)
        gate.open()
        assert [one.path for one in report.unknown] == ["extra.bin"]
