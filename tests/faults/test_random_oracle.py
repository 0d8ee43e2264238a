"""The oracle of random schedules finds each planted lie, and says nothing of an honest operation."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from emasync import Direction, Outcome, OutcomeState, RemotePath, SyncDecision, TransferReport, Verified
from tests.faults.random_history import History, Listing, Request
from tests.faults.random_oracle import Ended, Finding, Kind, Operation, differences, judge, misled
from tests.faults.random_schedules import Sum
from tests.torture.rows_random_schedules import as_row

DOWN = Operation(way="sync_down", prefix="d", delete=True)
UP = Operation(way="sync_up", prefix="d", delete=True)


class Scene:
    """A history and the report of one operation, made by hand."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.history = History()
        self.outcomes: list[Outcome] = []
        self.plan: list[SyncDecision] = []
        self.begin = 0

    def start(self, *, remote: dict[str, bytes], local: dict[str, bytes]) -> Scene:
        """What is there before the operation."""
        for path, data in remote.items():
            self.history.record("remote", path, data, "start")
        for path, data in local.items():
            self.history.record("local", path, data, "start")
        self.begin = self.history.tick()
        return self

    def listing(self, *, unknown: frozenset[str] = frozenset(), folders: frozenset[str] = frozenset({"d"})) -> None:
        """A listing of what is there now."""
        made = self.history.now
        self.call("em/files/list")
        files = self.history.tree("remote", made)
        listing = Listing(made=made, answered=self.history.tick(), files=files, folders=folders, unknown=unknown)
        self.history.listings.append(listing)

    def call(self, endpoint: str, subject: str = "", *, answer: int = 200, **sent: bytes) -> None:
        """A call of the client."""
        request = Request(endpoint=endpoint, moment=self.history.tick(), subject=subject, answer=answer)
        request.sent = {f"d/{name}": data for name, data in sent.items()}
        self.history.requests.append(request)

    def ends(self, path: str, state: OutcomeState = OutcomeState.DONE, **facts: Any) -> None:
        """An outcome of the report."""
        outcome = Outcome(
            path=RemotePath(path), place=path, direction=Direction.DOWNLINK, state=state, **{"reason": "so", **facts}
        )
        self.outcomes.append(outcome)

    def deletes(self, path: str) -> None:
        """The report calls it deleted."""
        self.plan.append(SyncDecision(path=RemotePath(path.removeprefix("d/")), action="delete", reason="so"))
        self.ends(path)

    def found(self) -> list[tuple[Kind, str]]:
        """What the oracle finds."""
        report = TransferReport(outcomes=tuple(self.outcomes), plan=tuple(self.plan))
        ended = Ended(operation=self.operation, begin=self.begin, end=self.history.tick(), report=report)
        return [(finding.kind, finding.path) for finding in judge(ended, self.history).findings]


def down(operation: Operation = DOWN) -> Scene:
    """A sync of one new, one equal and one extra file, as far as the transfer of the new one."""
    scene = Scene(operation).start(
        remote={"d/new": b"N", "d/same": b"S"}, local={"same": b"S", "extra": b"E", "extra2": b"F"}
    )
    scene.listing()
    scene.call("em/files/downlink", "d/new")
    scene.history.record("local", "new", b"N", "client")
    scene.ends("d/new")
    scene.ends("d/same", OutcomeState.SKIPPED, verified=Verified.TAG, reason="same content")
    return scene


def deleted(scene: Scene) -> Scene:
    """The end of it: both extra files are deleted."""
    for name in ("extra", "extra2"):
        scene.history.record("local", name, None, "client")
        scene.deletes(f"d/{name}")
    return scene


# sabotage of the oracle: `in` for `not in` where the SHA-256 is compared.
def test_an_honest_sync_down_is_found_to_be_one() -> None:
    scene = deleted(down())
    assert scene.found() == []
    assert differences(DOWN, scene.history) == []


def up() -> Scene:
    """A sync of one new, one equal and one extra file, as far as the listing after the transfer."""
    scene = Scene(UP).start(remote={"d/same": b"S", "d/extra": b"E"}, local={"same": b"S", "new": b"N"})
    scene.listing()
    scene.call("em/files/uplink", "d", new=b"N")
    scene.history.record("remote", "d/new", b"N", "client")
    scene.listing()
    scene.ends("d/new")
    scene.ends("d/same", OutcomeState.SKIPPED, verified=Verified.TAG, reason="same content")
    return scene


def removed(scene: Scene, *, answer: int = 200) -> Scene:
    """The end of it: the extra file is deleted on the EM."""
    scene.call("em/files/delete", "d/extra", answer=answer)
    scene.history.record("remote", "d/extra", None, "client")
    scene.deletes("d/extra")
    return scene


# sabotage of the oracle: `_deletion_answered` returns False.
def test_an_honest_sync_up_is_found_to_be_one() -> None:
    scene = removed(up())
    assert scene.found() == []
    assert differences(UP, scene.history) == []


# sabotage of the oracle: let `_ever_equal` return True.
@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"reason": "same content", "verified": Verified.TAG}, Kind.FALSE_SKIP),
        ({"reason": "same size, content unknown"}, Kind.TAG_RULE),
        ({"reason": "verified earlier, unchanged since", "verified": Verified.SHA256}, Kind.JOURNAL),
        ({"reason": "same size, unchanged since moved"}, Kind.JOURNAL),
    ],
)
def test_a_skip_of_files_that_were_never_equal_is_found(facts: dict[str, Any], kind: Kind) -> None:
    scene = Scene(DOWN).start(remote={"d/a": b"B"}, local={"a": b"A"})
    scene.listing()
    scene.ends("d/a", OutcomeState.SKIPPED, **facts)
    assert scene.found() == [(kind, "d/a")]


# sabotage of the oracle: search all versions instead of those of the operation in `_contents`.
def test_equality_before_the_operation_counts_for_nothing_and_during_it_for_all() -> None:
    scene = Scene(DOWN)
    scene.history.record("remote", "d/a", b"A", "start")
    scene.start(remote={"d/a": b"B"}, local={"a": b"A"})
    scene.listing()
    scene.ends("d/a", OutcomeState.SKIPPED, reason="same content")
    assert scene.found() == [(Kind.FALSE_SKIP, "d/a")]
    scene.history.record("remote", "d/a", b"A", "other")
    scene.history.record("remote", "d/a", b"B", "other")
    assert scene.found() == []


# sabotage of the oracle: leave `_called_done` out of `ends`, or the check of the SHA-256 out of it.
def test_a_done_without_the_bytes_or_with_a_false_hash_is_found() -> None:
    scene = Scene(DOWN).start(remote={"d/a": b"A", "d/b": b"B"}, local={})
    scene.listing()
    scene.history.record("local", "b", b"B", "client")
    scene.ends("d/a")
    scene.ends("d/b", sha256=hashlib.sha256(b"C").hexdigest())
    assert scene.found() == [(Kind.FALSE_DONE, "d/a"), (Kind.FALSE_DONE, "d/b")]


# sabotage of the oracle: leave the WRONG_BYTES branch out of `_change`.
@pytest.mark.parametrize("operation", [DOWN, UP, Operation(way="uplink", prefix="d")])
def test_bytes_that_no_version_had_are_found_whatever_the_report_says(operation: Operation) -> None:
    scene = Scene(operation).start(remote={"d/a": b"A"}, local={"a": b"A"})
    scene.listing()
    if operation.up:
        scene.history.record("remote", "d/a", b"X", "client")
    else:
        scene.history.record("local", "a", b"X", "client")
    scene.ends("d/a", OutcomeState.FAILED)
    assert scene.found() == [(Kind.WRONG_BYTES, "d/a")]


# sabotage of the oracle: leave `missing` out of `judge`; `> 2` for `> 1` in it.
def test_a_file_without_an_outcome_with_two_or_without_a_reason_is_found() -> None:
    scene = Scene(DOWN).start(remote={"d/a": b"A", "d/b": b"B", "d/c": b"C"}, local={"only-here": b"O"})
    scene.listing()
    scene.ends("d/b", OutcomeState.FAILED)
    scene.ends("d/b", OutcomeState.FAILED)
    scene.ends("d/c", OutcomeState.FAILED, reason=None)
    found = scene.found()
    assert sorted(found) == [(Kind.NO_OUTCOME, f"d/{name}") for name in ("a", "b", "c", "only-here")]


# sabotage of the oracle: leave `knows` out of `_constant`.
def test_what_no_listing_could_tell_of_needs_no_outcome() -> None:
    scene = Scene(DOWN).start(remote={"d/s/a": b"A", "d/b": b"B"}, local={})
    scene.listing(unknown=frozenset({"d/s"}), folders=frozenset({"d", "d/s"}))
    scene.history.record("remote", "d/b", None, "other")
    assert scene.found() == []


# sabotage of the oracle: leave `_lost_edit` out of `_change`; `self._begin` for `self._scanned` in it.
@pytest.mark.parametrize("data", [b"N", None])
def test_a_local_change_after_the_scan_that_is_gone_is_found(data: bytes | None) -> None:
    scene = Scene(DOWN).start(remote={"d/new": b"N"} if data else {}, local={"other": b"O"})
    scene.listing()
    scene.history.record("local", "new", b"seen, or not: nobody knows", "other")
    scene.history.record("local", "new", data, "client")
    assert (Kind.LOST_EDIT, "d/new") not in scene.found()
    scene.call("em/files/downlink", "d/new")
    scene.history.record("local", "new", b"mine", "other")
    scene.history.record("local", "new", data, "client")
    assert (Kind.LOST_EDIT, "d/new") in scene.found()


# sabotage of the oracle: leave `proves_absent`, or the moment of the answer, out of `_local_deletion`.
@pytest.mark.parametrize("unknown", [None, "d"])
def test_a_local_deletion_that_no_listing_proves_is_found(unknown: str | None) -> None:
    scene = Scene(DOWN).start(remote={"d/a": b"A"}, local={"a": b"A", "extra": b"E"})
    if unknown:
        scene.listing(unknown=frozenset({unknown}))
    scene.ends("d/a", OutcomeState.FAILED)
    deleted = (Kind.UNPROVED_DELETION, "d/extra")
    scene.history.record("local", "extra", None, "client")
    assert scene.found() == [deleted]
    scene.listing()  # too late
    assert scene.found() == [deleted]


# sabotage of the oracle: leave out the two branches of EMPTY_SOURCE in `_local_deletion`.
@pytest.mark.parametrize(
    ("folders", "consent", "found"),
    [({"d"}, False, True), ({"d"}, True, False), (set(), False, True), (set(), True, True)],
)
def test_a_deletion_because_of_an_empty_remote_folder_needs_consent_and_that_folder(
    folders: set[str], consent: bool, found: bool
) -> None:
    scene = Scene(replace(DOWN, consent=consent)).start(remote={"elsewhere": b"A"}, local={"extra": b"E"})
    scene.listing(folders=frozenset(folders))
    scene.history.record("local", "extra", None, "client")
    scene.deletes("d/extra")
    assert scene.found() == ([(Kind.EMPTY_SOURCE, "d/extra")] if found else [])


# sabotage of the oracle: `if False:` for either of the first two questions of `_remote_deletion`.
def test_a_remote_deletion_of_what_is_here_or_because_of_an_empty_folder_is_found() -> None:
    scene = Scene(UP).start(remote={"d/extra": b"E"}, local={"extra": b"E"})
    scene.listing()
    assert removed(scene).found() == [(Kind.UNPROVED_DELETION, "d/extra")]
    empty = Scene(UP).start(remote={"d/extra": b"E"}, local={})
    empty.listing()
    assert removed(empty).found() == [(Kind.EMPTY_SOURCE, "d/extra")]
    agreed = Scene(replace(UP, consent=True)).start(remote={"d/extra": b"E"}, local={})
    agreed.listing()
    assert removed(agreed).found() == []


# sabotage of the oracle: leave `_stale` out of `_remote_deletion`, or `moved` out of it; `seen` for the `last` listing.
def test_a_remote_file_that_changed_in_the_sight_of_the_client_and_is_deleted_is_found() -> None:
    scene = Scene(UP).start(remote={"d/extra": b"E"}, local={"new": b"N"})
    scene.listing()
    scene.history.record("remote", "d/extra", b"changed", "other")
    scene.call("em/files/uplink", "d", new=b"N")
    scene.history.record("remote", "d/new", b"N", "client")
    scene.ends("d/new")
    unseen = removed(scene)
    assert unseen.found() == [(Kind.STALE_DELETION, "d/extra")]  # no listing after the transfers
    seen = up()
    seen.history.record("remote", "d/extra", b"changed", "other")
    seen.listing()
    assert removed(seen).found() == [(Kind.STALE_DELETION, "d/extra")]
    raced = up()
    raced.history.record("remote", "d/extra", b"changed", "other")
    assert removed(raced).found() == []  # after the last listing: nobody can know


# sabotage of the oracle: `if False:` for either question of `_called_deleted`.
def test_a_deletion_that_is_called_done_and_is_not_or_not_proved_is_found() -> None:
    there = up()
    there.call("em/files/delete", "d/extra")
    there.deletes("d/extra")
    assert there.found() == [(Kind.FALSE_DELETED, "d/extra")]
    lost = removed(up(), answer=0)
    assert lost.found() == [(Kind.FALSE_DELETED, "d/extra")]
    lost.listing()
    assert lost.found() == []  # a listing without it is a proof


# sabotage of the oracle: leave the OUTSIDE branch out of `_change`.
def test_a_change_of_the_source_of_another_folder_or_in_a_dry_run_is_found() -> None:
    source = deleted(down())
    source.history.record("remote", "d/same", b"X", "client")
    assert (Kind.OUTSIDE, "d/same") in source.found()
    beside = up()
    beside.history.record("remote", "dz", b"X", "client")
    assert (Kind.OUTSIDE, "dz") in beside.found()
    dry = down(replace(DOWN, dry_run=True))
    assert (Kind.OUTSIDE, "d/new") in dry.found()


# sabotage of the oracle: leave `too_many` out of `judge`; `not operation.delete` out of `_deletion`.
def test_more_deletions_than_agreed_to_are_found() -> None:
    one = (Kind.UNPROVED_DELETION, "d")
    assert deleted(down(replace(DOWN, max_delete=1))).found() == [one]
    assert deleted(down(replace(DOWN, max_delete=2))).found() == []
    unasked = deleted(down(replace(DOWN, delete=False))).found()
    assert unasked == [(Kind.UNPROVED_DELETION, "d/extra"), (Kind.UNPROVED_DELETION, "d/extra2")]


# sabotage of the oracle: compare sizes instead of contents in `differences`, or leave `extra` out of it.
def test_sides_that_stay_different_are_found() -> None:
    scene = Scene(DOWN).start(remote={"d/a": b"A", "d/b": b"B", "z": b"Z"}, local={"a": b"X", "c": b"C"})
    found = {(one.path, one.text) for one in differences(DOWN, scene.history)}
    assert found == {
        ("d/a", "same size"),
        ("d/b", "the target lacks it"),
        ("d/c", "only the target has it"),
    }
    assert len(differences(replace(DOWN, delete=False), scene.history)) == 2


# sabotage of the oracle: let `misled` take the listing before a transfer for the one after it.
def test_only_transfers_that_the_next_listing_contradicts_can_mislead_a_client() -> None:
    scene = Scene(UP).start(remote={"d/a": b"A", "d/b": b"old"}, local={})
    scene.listing()
    scene.history.record("remote", "d/b", b"B", "other")
    scene.call("em/files/downlink", "d/a", a=b"wrong")
    scene.call("em/files/downlink", "d/b", b=b"B")
    assert misled(scene.history) == set()
    scene.listing()
    assert misled(scene.history) == {"d/a"}


# sabotage: `count(*WRONG)` for `files_lost`.
def test_every_finding_is_a_failure_of_the_row() -> None:
    total = Sum(tries=3)
    total.found = [("7/1", Finding(kind=kind, path="a")) for kind in (*Kind, Kind.LOST_EDIT, Kind.EMPTY_SOURCE)]
    total.first = dict.fromkeys(Kind, 1)
    row = as_row(total)
    assert len(row.failures) == len(Kind) + 2
    assert row.failures[0].startswith("python -m tests.faults.random_schedules --seed 7 --only 1: ")
    assert (row.files_wrong, row.files_lost, row.outside) == (6, 8, 1)
