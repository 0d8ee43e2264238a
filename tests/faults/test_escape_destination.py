"""A destination that is a link, becomes one or leads nowhere: nothing is written, made or deleted outside it (I4)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emasync import RemotePath
from emasync.cli.plan_output import save_plan
from emasync.disk import RootGuard, remove_file
from emasync.disk.directory import open_directory
from emasync.errors import UnsafePathError
from emasync.model import OutcomeState
from emasync.simulator import Simulator
from emasync.transfer.events import Confirmed, Planned, Settled
from emasync.transfer.planning.plan import UplinkPlan
from tests.contract.stage import USERS, connect, write


# Sabotage: let `_make_root` raise the FileExistsError of mkdir: every file is "skipped", and all is well.
async def test_a_destination_that_leads_nowhere_is_no_reason_to_skip(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "unmounted" / "disk")
    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1"})
        report = await em.downlink("a.bin", tmp_path / "out", overwrite="skip")
        assert [outcome.state for outcome in report.outcomes] == [OutcomeState.FAILED]


# Sabotage: leave out `root_guard=self._pin` in `FileDownlink._begin`: b.bin lands in the canary folder.
@pytest.mark.parametrize("size", [1, 2_000_000])
async def test_a_destination_swapped_for_a_link_while_files_come_is_not_followed(tmp_path: Path, size: int) -> None:
    out, canary = tmp_path / "out", tmp_path / "canary"
    canary.mkdir()

    def swap(event: object) -> None:
        if isinstance(event, Settled) and not out.is_symlink():
            out.rename(tmp_path / "moved")
            out.symlink_to(canary)

    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1" * size, "b.bin": b"2" * size})
        report = await em.downlink(["a.bin", "b.bin"], out, workers=1, on_event=swap)
        assert [outcome.state for outcome in report.outcomes] == [OutcomeState.DONE, OutcomeState.FAILED]
        assert list(canary.iterdir()) == []


# Sabotage: leave out `root_guard=run.root_guard` in `_delete`: the canary is deleted.
async def test_a_destination_swapped_for_a_link_is_not_deleted_in(tmp_path: Path) -> None:
    out = write(tmp_path / "out", {"extra.bin": b"x"})
    canary = write(tmp_path / "canary", {"extra.bin": b"mine"})

    def swap(event: object) -> None:
        if isinstance(event, Confirmed):
            out.rename(tmp_path / "moved")
            out.symlink_to(canary)

    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1"})
        await em.sync_down("", out, delete=True, on_event=swap)
        assert (canary / "extra.bin").read_bytes() == b"mine"


# Sabotage: write the plan under a name that can be guessed, without "x".
def test_a_plan_is_not_written_through_a_link(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("mine")
    (tmp_path / f".emasync-{os.getpid()}.plan").symlink_to(canary)
    save_plan(UplinkPlan(), str(tmp_path / "x.plan"))
    assert (canary.read_text(), (tmp_path / "x.plan").is_symlink()) == ("mine", False)


# Sabotage: use `open_directory` in `remove_file`.
def test_removing_what_is_gone_makes_no_folders(tmp_path: Path) -> None:
    remove_file(tmp_path / "gone", RemotePath("a/b/c.txt"))
    assert list(tmp_path.iterdir()) == []


# Sabotage: ask for `pin.known` only after the miss in `open_directory`: the second worker's file fails.
def test_two_workers_may_make_the_destination_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, pin, real = tmp_path / "new", RootGuard(), RootGuard.open
    missed: list[Path] = []

    def open_late(self: RootGuard, root: Path) -> int:
        if not missed:
            missed.append(root)
            os.close(open_directory(root, (), durable=False, root_guard=pin))  # the other worker, just after our miss
            raise FileNotFoundError(root)
        return real(self, root)

    monkeypatch.setattr(RootGuard, "open", open_late)
    os.close(open_directory(root, (), durable=False, root_guard=pin))
    assert root.is_dir()


# Sabotage: no `known` in `find_directory`: what lives on in the moved folder is "gone".
def test_a_destination_that_was_moved_away_is_not_one_whose_files_are_gone(tmp_path: Path) -> None:
    out, pin = write(tmp_path / "out", {"a.bin": b"1"}), RootGuard()
    pin.set(out)
    out.rename(tmp_path / "moved")
    with pytest.raises(UnsafePathError, match="moved or replaced"):
        remove_file(out, RemotePath("a.bin"), root_guard=pin)


# Sabotage: leave `pin.set` out of `scan_if_there`: a sync that only deletes does so in the canary folder.
async def test_a_destination_swapped_between_a_syncs_scan_and_its_deletions_is_left_alone(tmp_path: Path) -> None:
    out = write(tmp_path / "out", {"extra.bin": b"x"})
    canary = write(tmp_path / "canary", {"extra.bin": b"mine"})

    def swap(event: object) -> None:
        if isinstance(event, Planned):
            out.rename(tmp_path / "moved")
            out.symlink_to(canary)

    async with Simulator(USERS) as sim, connect(sim) as em:
        report = await em.sync_down("", out, delete=True, allow_empty_source=True, on_event=swap)
        assert (canary / "extra.bin").read_bytes() == b"mine"
        assert [outcome.state for outcome in report.outcomes] == [OutcomeState.FAILED]


# Sabotage: leave `suppress(OSError)` out of `scan_if_there`: the sync raises, and no report says which folder it was.
async def test_a_destination_that_cannot_be_opened_is_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: RootGuard, root: Path) -> None:
        raise PermissionError(13, "Permission denied", str(root))

    monkeypatch.setattr(RootGuard, "set", refused)
    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": b"1"})
        report = await em.sync_down("", write(tmp_path / "out", {"b.bin": b"2"}))
        assert [(outcome.path, outcome.state) for outcome in report.outcomes if outcome.path == "a.bin"] == [
            ("a.bin", OutcomeState.DONE)
        ]
