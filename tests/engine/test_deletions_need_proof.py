"""A sync deletes only what an answer proves to be gone from its source, and never more than was agreed to."""

from __future__ import annotations

from pathlib import Path

import pytest

from emasync import (
    DeletionRefusedError,
    EMError,
    NotFoundError,
    OutcomeState,
    ProtocolError,
    SyncSummary,
    TargetChangedError,
    TransferReport,
    UnknownOutcomeError,
)
from emasync.disk import Unchanged, fingerprint, remove_file
from emasync.model import RemotePath
from emasync.simulator import Fault, FaultKind, Simulator
from tests.contract.stage import USERS, calls, connect, tree, write
from tests.engine.test_truth_odd_values import also_listed
from tests.engine.truth_stage import SWIFT

LIST, DELETE = "em/files/list", "em/files/delete"
HERE = {"thesis.txt": b"precious", "sub/data.bin": b"precious too"}


def errors(report: TransferReport) -> dict[str, str]:
    return {str(one.path): type(one.error).__name__ for one in report.failed}


# Sabotage: leave out `check_is_folder`: the target of a mistyped source is emptied, and the report is fine.
@pytest.mark.parametrize("remote", ["resluts", "results/deeper", "RESULTS"])
async def test_a_remote_folder_that_is_not_there_is_not_found_and_nothing_is_deleted(
    tmp_path: Path, remote: str
) -> None:
    here = write(tmp_path / "out", HERE)
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        write(sim.volume("client1"), {"results/a": b"1"})
        with pytest.raises(NotFoundError, match="no folder"):
            await em.sync_down(remote, here, delete=True, allow_empty_source=True)
    assert tree(here) == HERE


# Sabotage: leave out `check_no_file`.
@pytest.mark.parametrize("remote", ["f", "f/below"])
@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_file_where_a_folder_is_meant_is_misuse(tmp_path: Path, remote: str, way: str) -> None:
    here = write(tmp_path / "out", HERE)
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1"), {"f": b"1"})
        with pytest.raises(ValueError, match="f is a file on the EM"):
            await (em.sync_up(here, remote) if way == "up" else em.sync_down(remote, here, delete=True))
        assert tree(there) == {"f": b"1"}
    assert tree(here) == HERE


# Sabotage: leave out `_check_no_local_file` (sync_sides.py).
@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_local_file_where_a_folder_is_meant_is_misuse(tmp_path: Path, way: str) -> None:
    write(tmp_path, {"file": b"1"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1"), {"d/a": b"1"})
        with pytest.raises(ValueError, match="is a file, where a folder is meant"):
            await (
                em.sync_up(tmp_path / "file", "d", delete=True) if way == "up" else em.sync_down("d", tmp_path / "file")
            )
        assert tree(there) == {"d/a": b"1"}
    assert tree(tmp_path) == {"file": b"1"}


async def test_a_local_source_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    # Sabotage: scan what is not there: an empty source.
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1"), {"d/a": b"1"})
        with pytest.raises(NotFoundError, match="no folder"):
            await em.sync_up(tmp_path / "mistyped", "d", delete=True, allow_empty_source=True)
        assert tree(there) == {"d/a": b"1"}


# Sabotage: `_object(reply, "listing").get("data") or []` in file_tree; for error_200: `check_success` returns at once.
@pytest.mark.parametrize("kind", ["no_data", "error_200"])
@pytest.mark.parametrize("way", ["up", "down"])
async def test_an_answer_that_lists_nothing_ends_the_sync_and_deletes_nothing(
    tmp_path: Path, kind: FaultKind, way: str
) -> None:
    here = write(tmp_path / "out", HERE)
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1") / "d", {"a": b"1"})
        sim.faults.add(Fault(kind, endpoint=LIST, times=None))
        with pytest.raises(ProtocolError, match="cannot be reached"):
            await (em.sync_up(here, "d", delete=True) if way == "up" else em.sync_down("d", here, delete=True))
        assert tree(there) == {"a": b"1"}
    assert tree(here) == HERE


async def test_a_listing_that_fails_once_is_asked_for_again(tmp_path: Path) -> None:
    # Sabotage: read the listing's meaning outside of the retried call.
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        write(sim.volume("client1") / "d", {"a": b"1"})
        sim.faults.add(Fault("no_data", endpoint=LIST), Fault("error_200", endpoint=LIST))
        assert (await em.sync_down("d", tmp_path / "out", delete=True)).ok


# Sabotage: in `compare`, ask nobody whether the listing knows: what lies in an unlisted folder is deleted here.
async def test_nothing_is_deleted_in_a_folder_whose_contents_are_not_listed_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    here = write(tmp_path / "out", {"d/local.txt": b"1", "d/deep/er.txt": b"2"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        write(sim.volume("client1"), {"d/remote.txt": b"3", "top.txt": b"4"})
        sim.faults.add(Fault("unlisted_folders", endpoint=LIST, times=None))
        report = await em.sync_down("", here, delete=True)
        assert errors(report) == {"d": "ProtocolError"}
        assert {str(one.path) for one in report.done} == {"top.txt"}
        kept = {str(one.path): one.reason or "" for one in report.skipped}
    assert sorted(kept) == ["d/deep/er.txt", "d/local.txt"]
    assert all("does not give the contents of d" in reason for reason in kept.values())
    assert tree(here) == {"d/local.txt": b"1", "d/deep/er.txt": b"2", "top.txt": b"4"}


async def test_a_sync_up_over_an_unlisted_folder_deletes_nothing_there_and_says_so(tmp_path: Path) -> None:
    # Sabotage: leave out the note.
    here = write(tmp_path / "here", {"x/new.txt": b"1"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1"), {"d/x/theirs.txt": b"3", "d/gone.txt": b"4"})
        monkey = Fault("unlisted_folders", endpoint=LIST)
        sim.faults.add(monkey)
        report = await em.sync_up(here, "d", delete=True)
        assert (there / "d/x/theirs.txt").exists()
    assert any("does not give the contents of d" in note for note in report.notes)


async def test_what_is_asked_for_in_an_unlisted_folder_is_an_error_and_not_missing(tmp_path: Path) -> None:
    # Sabotage: ask `is_folder` alone in `check_is_folder`.
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        write(sim.volume("client1"), {"d/e/remote.txt": b"3"})
        sim.faults.add(Fault("unlisted_folders", endpoint=LIST, times=None))
        for remote in ("d", "d/e"):
            with pytest.raises(ProtocolError, match="contents of d"):
                await em.sync_down(remote, tmp_path / "out", delete=True)
    assert not (tmp_path / "out").exists()


# Sabotage: leave `summary.empties` out of `agree`: an unmounted disk empties the EM.
@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("how", ["empty", "filtered"])
async def test_an_empty_source_deletes_nothing_without_consent(tmp_path: Path, way: str, how: str) -> None:
    files = {"a.txt": b"1", "b/c.txt": b"2"}
    source = {} if how == "empty" else {"only.log": b"x"}
    filters = {} if how == "empty" else {"exclude": ["*.log"]}
    here = write(tmp_path / "here", source if way == "up" else files)
    here.mkdir(exist_ok=True)
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1") / "d", files if way == "up" else source)
        there.mkdir(exist_ok=True)
        target = there if way == "up" else here

        async def sync(**more: bool) -> TransferReport:
            call = em.sync_up(here, "d", delete=True, **filters, **more) if way == "up" else None  # type: ignore[arg-type]
            return await (call or em.sync_down("d", here, delete=True, **filters, **more))  # type: ignore[arg-type]

        with pytest.raises(DeletionRefusedError, match="allow_empty_source") as caught:
            await sync()
        assert (caught.value.files, caught.value.bytes) == (2, 2)
        assert caught.value.side == ("remote" if way == "up" else "local")
        assert tree(target) == files
        dry = await sync(dry_run=True)
        assert {one.action for one in dry.plan} == {"conflict"}
        assert calls(sim, DELETE) == []
        report = await sync(allow_empty_source=True)
        assert (report.ok, len(report.deleted)) == (True, 2)
        assert tree(target) == {}


# Sabotage: ask after the transfers, or go on whatever was answered.
async def test_whoever_is_asked_decides_before_anything_moves(tmp_path: Path) -> None:
    here = write(tmp_path / "here", {"new.txt": b"12345", "same.txt": b"1"})
    asked: list[SyncSummary] = []
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1") / "d", {"same.txt": b"1", "old.txt": b"123"})

        async def answer(summary: SyncSummary) -> bool:
            asked.append(summary)
            return len(asked) > 1

        with pytest.raises(DeletionRefusedError, match="was no"):
            await em.sync_up(here, "d", delete=True, confirm=answer)
        assert tree(there) == {"same.txt": b"1", "old.txt": b"123"}
        report = await em.sync_up(here, "d", delete=True, confirm=answer)
        assert tree(there) == tree(here)
        assert [str(one.path) for one in report.deleted] == ["d/old.txt"]
        await em.sync_up(here, "d", delete=True, confirm=answer)  # nothing to delete: nothing to ask
    assert len(asked) == 2
    one = asked[0]
    assert (one.side, one.delete_files, one.delete_bytes, one.copy_files, one.copy_bytes) == ("remote", 1, 3, 1, 5)
    assert (one.source_files, one.source_bytes, one.target_files, one.target_bytes) == (2, 6, 2, 4)


async def test_a_yes_is_consent_to_an_empty_source(tmp_path: Path) -> None:
    # Sabotage: refuse an empty source before anybody is asked.
    (tmp_path / "here").mkdir()

    async def yes(summary: SyncSummary) -> bool:
        return summary.empties

    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1") / "d", {"old.txt": b"123"})
        assert (await em.sync_up(tmp_path / "here", "d", delete=True, confirm=yes)).ok
        assert tree(there) == {}


# Sabotage: delete what the listing of the beginning shows, without the one that follows the transfers.
async def test_what_changed_on_the_em_while_the_sync_ran_is_not_deleted(tmp_path: Path) -> None:
    here = write(tmp_path / "here", {"new.txt": b"1"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1") / "d", {"work.txt": b"old", "gone.txt": b"x", "old.txt": b"1"})
        paused = sim.breakpoint("em/files/uplink")
        async with em.sync_up(here, "d", delete=True) as transfer:
            await paused.wait_until_hit()
            write(there, {"work.txt": b"new"})
            (there / "gone.txt").unlink()
            write(here, {"old.txt": b"appeared here meanwhile"})
            paused.release()
            assert [outcome async for outcome in transfer]
        report = transfer.report
        assert errors(report) == {"d/work.txt": "TargetChangedError", "d/old.txt": "TargetChangedError"}
        assert [one.reason for one in report.skipped] == ["gone from the EM before it was to be deleted"]
        assert tree(there) == {"new.txt": b"1", "work.txt": b"new", "old.txt": b"1"}


# Sabotage, each alone: no `expected=` in `_delete_one_remote` (a.txt); no `relist=` there, or `relist` without
# `nonlocal` (b.txt).
async def test_what_is_written_while_the_answer_of_a_deletion_is_lost_is_not_deleted(tmp_path: Path) -> None:
    here = write(tmp_path / "here", {"kept.txt": b"1"})
    faults = [Fault("commit_then_drop", endpoint=DELETE)]
    async with Simulator(USERS, faults=faults) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1") / "d", {"kept.txt": b"1", "a.txt": b"old", "b.txt": b"old", "c.txt": b"c"})
        deletion = sim.breakpoint(DELETE)
        async with em.sync_up(here, "d", delete=True) as transfer:
            await deletion.wait_until_hit()
            listing = sim.breakpoint(LIST)
            deletion.release()
            await listing.wait_until_hit()
            write(there, {"a.txt": b"written again", "b.txt": b"rewritten"})
            listing.release()
            assert [outcome async for outcome in transfer]
        assert errors(transfer.report) == {"d/a.txt": "TargetChangedError", "d/b.txt": "TargetChangedError"}
        assert tree(there) == {"kept.txt": b"1", "a.txt": b"written again", "b.txt": b"rewritten"}
        assert len(calls(sim, DELETE)) == 2


async def test_without_a_listing_after_the_transfers_nothing_is_deleted(tmp_path: Path) -> None:
    # Sabotage: go on with the first listing where the second cannot be had.
    here = write(tmp_path / "here", {})
    here.mkdir(exist_ok=True)
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1") / "d", {"old.txt": b"1"})
        sim.faults.add(Fault("no_data", endpoint=LIST, times=None, after=1))
        report = await em.sync_up(here, "d", delete=True, allow_empty_source=True)
        assert errors(report) == {"d/old.txt": "EMError"}
        assert tree(there) == {"old.txt": b"1"}


# Sabotage: leave `unchanged=` out of `_items_down` (or of `_delete_here`): somebody's work is overwritten (deleted).
async def test_a_local_file_that_changed_while_the_sync_ran_is_kept(tmp_path: Path) -> None:
    here = write(tmp_path / "here", {"edited.txt": b"old", "extra.txt": b"extra", "plain.txt": b"old"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        write(sim.volume("client1") / "d", {"edited.txt": b"new!", "fresh.txt": b"theirs", "plain.txt": b"newer"})
        paused = sim.breakpoint("em/files/downlink")
        async with em.sync_down("d", here, delete=True) as transfer:
            await paused.wait_until_hit()
            write(here, {"edited.txt": b"my edit", "fresh.txt": b"made here", "extra.txt": b"EXTRA"})
            paused.release()
            outcomes = [outcome async for outcome in transfer]
        assert errors(transfer.report) == {"d/edited.txt": "TargetChangedError", "d/fresh.txt": "TargetChangedError"}
        assert len(outcomes) == 4
    assert tree(here) == {
        "edited.txt": b"my edit",
        "fresh.txt": b"made here",
        "extra.txt": b"EXTRA",
        "plain.txt": b"newer",
    }


async def test_a_local_file_that_changed_before_it_was_to_be_deleted_is_kept(tmp_path: Path) -> None:
    # Sabotage: leave `unchanged=unchanged` out of `_delete_here`.
    here = write(tmp_path / "here", {"extra.txt": b"extra"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        write(sim.volume("client1") / "d", {"new.txt": b"new"})
        paused = sim.breakpoint("em/files/downlink")
        async with em.sync_down("d", here, delete=True) as transfer:
            await paused.wait_until_hit()
            write(here, {"extra.txt": b"EXTRA"})
            paused.release()
            assert [outcome async for outcome in transfer]
        (failed,) = transfer.report.failed
        assert isinstance(failed.error, TargetChangedError)
    assert tree(here) == {"extra.txt": b"EXTRA", "new.txt": b"new"}


# Sabotage: `listed=True` always in `UplinkState.compare`: a file is sent three times, or called missing.
async def test_an_uplink_that_no_listing_tells_of_is_unknown_and_sent_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.01))
    here = write(tmp_path / "here", {"a.txt": b"1"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        sim.faults.add(Fault("unlisted_folders", endpoint=LIST, times=None))
        report = await em.uplink(f"{here}/", dest="d")
        assert [(one.state, one.attempts) for one in report.outcomes] == [(OutcomeState.UNKNOWN, 1)]
        assert "does not give the contents of d" in str(report.unknown[0].reason)


@pytest.mark.parametrize("overwrite", ["skip", "error"])
async def test_what_may_be_there_is_not_overwritten_unless_asked(tmp_path: Path, overwrite: str) -> None:
    # Sabotage: leave `unknown` out of `_wanted`.
    here = write(tmp_path / "here", {"a.txt": b"mine"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1"), {"d/a.txt": b"theirs"})
        sim.faults.add(Fault("unlisted_folders", endpoint=LIST, times=None))
        report = await em.uplink(f"{here}/", dest="d", overwrite=overwrite)  # type: ignore[arg-type]
        assert errors(report) == {"d/a.txt": "ProtocolError"}
        assert tree(there) == {"d/a.txt": b"theirs"}


async def test_a_delete_that_answers_200_with_an_error_is_no_success() -> None:
    # Sabotage: `check_success` returns at once.
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1"), {"a.txt": b"1"})
        sim.faults.add(Fault("error_200", endpoint=DELETE, times=None))
        with pytest.raises(UnknownOutcomeError) as caught:
            await em.files.delete("a.txt")
        assert isinstance(caught.value, EMError)
        assert tree(there) == {"a.txt": b"1"}


# Sabotage: leave the look at an empty text out of `local_folder`: an unset variable is the current folder.
@pytest.mark.parametrize("way", ["up", "down"])
async def test_an_empty_local_path_is_misuse_and_not_the_current_folder(way: str) -> None:
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        write(sim.volume("client1"), {"d/a": b"1"})
        with pytest.raises(ValueError, match="empty path"):
            await (em.sync_up("", "d", delete=True) if way == "up" else em.sync_down("d", "", delete=True))


# Sabotage: `check_no_parent` returns at once: files are sent to where no listing shows them.
async def test_a_destination_that_leads_out_of_its_folder_is_misuse(tmp_path: Path) -> None:
    here = write(tmp_path / "here", {"a": b"1"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        with pytest.raises(ValueError, match="leads out of its folder"):
            await em.sync_up(here, "d/../e")
        with pytest.raises(ValueError, match="leads out of its folder"):
            await em.sync_down("d/../e", here)
        with pytest.raises(ValueError, match="leads out of its folder"):
            await em.uplink(f"{here}/", dest="../x")
        assert calls(sim, "em/files/uplink") == []


# Sabotage: leave `mistakable` out of `_delete_one_remote`: a listed name reaches another file than the listed one.
@pytest.mark.parametrize(("name", "why"), [("../important", "leads out"), ("a ", "without the blanks")])
async def test_a_sync_deletes_no_file_that_the_em_may_take_for_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    also_listed(monkeypatch, {"type": "file", "name": name, "size": "1", "hash": 1})
    here = write(tmp_path / "here", {"a": b"1"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1"), {"a": b"1", "extra": b"2"})
        report = await em.sync_up(here, "", delete=True)
        assert errors(report) == {name: "UnsafePathError"}
        assert why in str(report.failed[0].error)
        assert tree(there) == {"a": b"1"}


# Sabotage: leave the look at `is_known` out of `_delete_remote`: "changed", of a file that nothing is known of.
async def test_a_file_whose_folder_is_no_longer_listed_is_not_deleted_and_not_called_changed(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1") / "d", {"old.txt": b"1"})
        sim.faults.add(Fault("unlisted_folders", endpoint=LIST, times=None, after=1))
        report = await em.sync_up(tmp_path / "here", "d", delete=True, allow_empty_source=True)
        assert errors(report) == {"d/old.txt": "ProtocolError"}
        assert tree(there) == {"old.txt": b"1"}


# Sabotage: look at the folders below alone for the note of `sync_up`.
async def test_a_sync_up_into_a_folder_that_is_not_listed_says_so(tmp_path: Path) -> None:
    here = write(tmp_path / "here", {"new.txt": b"1"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        write(sim.volume("client1"), {"a/b/old.txt": b"1"})
        sim.faults.add(Fault("unlisted_folders", endpoint=LIST))
        report = await em.sync_up(here, "a/b", delete=True)
    assert any("does not give the contents of a:" in note for note in report.notes)


# Sabotage: go on to `os.unlink` whatever `check` says in `remove_file`: a link that was put in its place is removed.
def test_a_link_to_nowhere_in_the_place_of_a_file_is_kept(tmp_path: Path) -> None:
    write(tmp_path, {"x": b"1"})
    seen = Unchanged(fingerprint=fingerprint(str(tmp_path / "x")))
    (tmp_path / "x").unlink()
    remove_file(tmp_path, RemotePath("x"), unchanged=seen)  # gone already
    (tmp_path / "x").symlink_to(tmp_path / "unmounted")
    with pytest.raises(TargetChangedError):
        remove_file(tmp_path, RemotePath("x"), unchanged=seen)
    assert (tmp_path / "x").is_symlink()
