"""What an uplink knows and decides, file by file and listing by listing: no event loop, no clock, no server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from emasync.disk import Fingerprint
from emasync.model import FileEntry, FileTree, RemotePath, Verified
from emasync.transfer import uplink_state
from emasync.transfer.planning.plan import UplinkItem
from emasync.transfer.uplink_state import PendingConfirmation, UplinkState
from emasync.transfer.verification import TagCompatibility

SIZE, TAG, OTHER = 10, 7, 8


def state(*, tags: TagCompatibility | None = None, verify: Any = "content") -> UplinkState:
    return UplinkState(by_content=verify == "content", tags=tags or TagCompatibility(), now_s=0.0)


def file(name: str = "a", **changes: Any) -> PendingConfirmation:
    fingerprint = Fingerprint(size=SIZE, mtime_ns=1, ctime_ns=1, inode=1, device=1)
    item = UplinkItem(directory="", remote=RemotePath(name), fingerprint=fingerprint)
    plain: dict[str, Any] = {"item": item, "acknowledged": True, "sha256": None, "tag": TAG}
    return PendingConfirmation(**(plain | changes))


def listing(*names: str, tag: int = TAG) -> FileTree:
    return FileTree([FileEntry(path=RemotePath(name), size=SIZE, content_tag=tag) for name in names])


def names(files: Sequence[PendingConfirmation]) -> list[str]:
    return [pending.item.remote for pending in files]


def miss(uplink: UplinkState, sent: PendingConfirmation) -> tuple[list[str], list[str]]:
    """A round in which `sent` was sent and no listing showed it: (sent again, lost)."""
    uplink.take_unsent()
    uplink.pending.append(sent)
    for pending in uplink.take_pending():
        uplink.compare(pending, listing())
    again, lost = uplink.take_missing()
    return names(again), names(lost)


def test_what_a_listing_confirms_is_no_longer_pending_and_what_it_lacks_is_pending_with_the_reason() -> None:
    # Sabotage: `compare` does not append what did not arrive: the file is in no report.
    uplink = state()
    uplink.pending += [file("a"), file("b")]
    verdicts = [uplink.compare(pending, listing("a")) for pending in uplink.take_pending()]
    assert [(verdict.arrived, verdict.verified) for verdict in verdicts] == [
        (True, Verified.TAG),
        (False, Verified.NONE),
    ]
    assert [(pending.item.remote, pending.mismatch_reason) for pending in uplink.pending] == [
        ("b", "it is not in the listing")
    ]


def test_a_missing_file_is_sent_three_times_and_then_lost() -> None:
    # Sabotage: `_MAX_SENDS = 2`; or `add_unsent` left out of `take_missing`.
    uplink = state()
    assert miss(uplink, file()) == (["a"], [])
    assert [item.remote for item in uplink.take_unsent()] == ["a"]
    assert miss(uplink, file()) == (["a"], [])
    assert miss(uplink, file()) == ([], ["a"])
    assert uplink.take_unsent() == []


def test_a_request_that_another_file_broke_off_is_no_chance_that_was_used() -> None:
    # Sabotage: `+= 1` in the place of `+= file.complete`.
    uplink = state()
    for _ in range(5):
        assert miss(uplink, file(complete=False, acknowledged=False)) == (["a"], [])


def test_a_file_is_lost_after_two_server_errors() -> None:
    # Sabotage: leave `_server_errors` out of `take_missing`.
    uplink = state()
    assert miss(uplink, file(acknowledged=False, server_error=True)) == (["a"], [])
    assert miss(uplink, file(acknowledged=False, server_error=True)) == ([], ["a"])


def test_a_file_of_a_folder_that_is_not_listed_is_lost_at_once() -> None:
    # Sabotage: `take_missing` does not look at `listed`.
    uplink = state()
    uplink.pending.append(file(listed=False))
    assert tuple(map(names, uplink.take_missing())) == ([], ["a"])


def test_only_files_of_complete_requests_are_waited_for() -> None:
    uplink = state()
    assert not uplink.may_appear
    uplink.pending.append(file(complete=False))
    assert not uplink.may_appear
    uplink.pending.append(file("b"))
    assert uplink.may_appear


def test_only_files_that_the_server_counted_are_accepted_without_a_listing() -> None:
    # Sabotage: `take_acknowledged` takes all.
    uplink = state(verify="none")
    uplink.pending += [file("a"), file("b", acknowledged=False)]
    assert names(uplink.take_acknowledged()) == ["a"]
    assert names(uplink.pending) == ["b"]


def test_no_more_files_are_pending_than_the_limit_which_rises_while_listings_lag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Sabotage: `_pending_limit` not raised: one listing after every request.
    monkeypatch.setattr(uplink_state, "_MAX_PENDING", 2)
    uplink, full = state(), list[bool]()
    for name in "abcd":
        uplink.pending.append(file(name))
        full.append(uplink.full)
        if name == "b":
            uplink.raise_pending_limit()
    assert full == [False, True, False, True]


@pytest.mark.parametrize(("took_s", "pause_s"), [(0.1, 15.0), (1.0, 15.0), (10.0, 90.0)])
def test_listings_take_a_tenth_of_the_time_at_most(took_s: float, pause_s: float) -> None:
    uplink = state()
    assert (uplink.due(14.9), uplink.due(15.0)) == (False, True)
    uplink.listing_ended(began_s=100.0, ended_s=100.0 + took_s)
    ended_s = 100.0 + took_s + pause_s
    assert (uplink.due(ended_s - 0.1), uplink.due(ended_s + 0.1)) == (False, True)


def test_one_right_tag_confirms_the_rule() -> None:
    tags = TagCompatibility()
    samples = state(tags=tags).learn_tags([file("a"), file("b")], listing("a"), now_s=1.0, settled=False, lag_s=7.5)
    assert (samples, tags.confirmed) == (None, True)


# Sabotage: take a difference for conclusive at once: a listing that lags refutes the rule.
@pytest.mark.parametrize(
    ("now_s", "settled", "conclusive"), [(2.0, False, False), (2.0, True, True), (9.0, False, True)]
)
def test_a_wrong_tag_counts_only_once_the_listing_can_lag_no_more(
    now_s: float, settled: bool, conclusive: bool
) -> None:
    uplink = state()
    first = uplink.learn_tags([file("a")], listing("a", tag=OTHER), now_s=1.0, settled=False, lag_s=7.5)
    assert first is not None
    assert (first.conclusive, first.sent) == (False, {"a": TAG})
    later = uplink.learn_tags(
        [file("a"), file("b")], listing("a", "b", tag=OTHER), now_s=now_s, settled=settled, lag_s=7.5
    )
    assert later is not None
    assert later.conclusive is conclusive
    assert [entry.path for entry in later.entries] == (["a", "b"] if settled else ["a"])


@pytest.mark.parametrize("unfit", [file(acknowledged=False), file(tag=None), file("elsewhere"), file(item=file().item)])
def test_what_shows_nothing_of_the_rule_is_no_sample(unfit: PendingConfirmation) -> None:
    tree = FileTree([FileEntry(path=RemotePath("a"), size=SIZE + 1, content_tag=OTHER)])
    assert state().learn_tags([unfit], tree, now_s=1.0, settled=True, lag_s=0.0) is None


def test_a_file_that_was_sent_twice_is_taken_by_its_size_with_one_note() -> None:
    # Sabotage: `_note_once` notes each time; or leave `resent` out of `compare`: it is sent until it is lost.
    uplink = state()
    for name in ("a", "b"):
        assert not uplink.compare(file(name), listing(name, tag=OTHER)).arrived
        uplink.take_missing()
        verdict = uplink.compare(file(name), listing(name, tag=OTHER))
        assert (verdict.arrived, verdict.verified) == (True, Verified.SIZE)
    assert [note.partition(":")[0] for note in uplink.take_notes()] == [
        "whether this server's content tags follow the known rule could not be found out"
    ]
    assert uplink.take_notes() == []


def test_an_incompatible_rule_is_noted_once() -> None:
    tags = TagCompatibility()
    uplink = state(tags=tags)
    uplink.note_incompatible_tags()
    assert uplink.take_notes() == []
    tags.mismatch("a")
    tags.mismatch("b")
    uplink.note_incompatible_tags()
    uplink.note_incompatible_tags()
    assert len(uplink.take_notes()) == 1
