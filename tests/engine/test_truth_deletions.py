"""A deletion whose end nobody saw is unknown: it is neither failed nor done."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from emasync.disk import FileExecutor
from emasync.errors import UnknownOutcomeError
from emasync.http.pipeline import RequestStats
from emasync.model import Direction, FileEntry, FileTree, OutcomeState, RemotePath
from emasync.simulator import Fault, Simulator
from emasync.transfer.events import Settled
from emasync.transfer.planning.scan import scan_folder
from emasync.transfer.sync_deletion import Deletion
from emasync.transfer.sync_sides import Sides
from tests.contract.stage import USERS, connect, write


# Sabotage: let the listing's error through in `Files.delete`.
async def test_a_deletion_whose_answer_is_lost_stays_unknown_when_nothing_can_be_listed() -> None:
    lost = Fault("commit_then_drop", endpoint="em/files/delete")
    blind = Fault("error_500", endpoint="em/files/list", times=None)
    async with Simulator(USERS, faults=[lost, blind]) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1"})
        with pytest.raises(UnknownOutcomeError):
            await em.files.delete("a.bin")


# Sabotage: leave UnknownOutcomeError out of `Deletion._settle`: it "failed", and was "not deleted".
async def test_a_deletion_of_a_sync_whose_answer_is_lost_is_unknown(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a.bin": b"1"})
    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1", "extra.bin": b"2"})

        def blind(event: object) -> None:
            if isinstance(event, Settled):  # one listing is made before the deletion, and none after it
                sim.faults.add(Fault("commit_then_drop", endpoint="em/files/delete"))
                sim.faults.add(Fault("error_500", endpoint="em/files/list", times=None, after=1))

        report = await em.sync_up(source, "", delete=True, on_event=blind)
        assert [(one.path, one.reason and "deleted" in one.reason) for one in report.unknown] == [("extra.bin", False)]


# Sabotage: leave out `run.tracker.mark_sent` in `_delete_one_remote`: what is gone on the EM is "failed".
async def test_a_deletion_that_a_deadline_cuts_off_is_unknown(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a.bin": b"1"})
    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1", "extra.bin": b"2"})
        paused = sim.breakpoint("em/files/delete", at="answer")
        report = await em.sync_up(source, "", delete=True, deadline=0.6)
        paused.release()
        assert [one.path for one in report.unknown] == ["extra.bin"]


# Sabotage: no `if stats.requests` in `_delete_one_remote`: what was never asked for counts as perhaps gone.
@pytest.mark.parametrize("left", [False, True])
async def test_only_a_deletion_that_left_may_have_happened(left: bool, tmp_path: Path) -> None:
    asked: list[RemotePath] = []

    async def no_look() -> FileTree:
        raise AssertionError("no answer was lost")

    class Files:
        def with_stats(self, stats: RequestStats) -> Files:
            self.stats = stats
            return self

        async def delete(self, path: str, *, expected: object, relist: object) -> None:
            if left:
                self.stats.add(requests=1)
            await anyio.sleep_forever()  # for its turn, or for the answer

    whole = RequestStats()
    async with FileExecutor(size=1) as threads:
        run: Any = SimpleNamespace(
            stats=whole,
            context=SimpleNamespace(files=Files(), threads=threads),
            tracker=SimpleNamespace(mark_sent=asked.extend),
        )
        tree = FileTree([FileEntry(path=RemotePath("d/extra.bin"), size=1)])
        deletion = Deletion(
            run=run,
            sides=Sides(
                local_dir=tmp_path,
                remote_dir=RemotePath("d"),
                direction=Direction.UPLINK,
                scan=scan_folder(tmp_path),
                tree=tree,
            ),
            decisions=(),
        )
        with anyio.move_on_after(0.2):
            await deletion._delete_one_remote(RemotePath("extra.bin"), tree, no_look)
    assert asked == (["d/extra.bin"] if left else [])
    assert whole.requests == int(left)


# Sabotage: `tracker.mark_sent` for all that is to be deleted at once: what was never asked for counts as perhaps gone.
async def test_a_deletion_after_the_one_that_the_deadline_cut_off_has_failed(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a.bin": b"1"})
    async with Simulator(USERS) as sim, connect(sim) as em:
        volume = write(sim.volume("client1"), {"a.bin": b"1", "extra.bin": b"2", "extra2.bin": b"2"})
        paused = sim.breakpoint("em/files/delete")
        report = await em.sync_up(source, "", delete=True, deadline=0.6)
        assert [(one.path, one.state) for one in report.outcomes if one.path != "a.bin"] == [
            ("extra.bin", OutcomeState.UNKNOWN),
            ("extra2.bin", OutcomeState.FAILED),
        ]
        assert "its effect was not seen" in str(report.unknown[0].reason)
        paused.release()
        assert (volume / "extra2.bin").exists()
