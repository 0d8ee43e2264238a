from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from emasync.errors import EMError
from emasync.model import Direction, Outcome, Outcomes, OutcomeState, RemotePath
from emasync.transfer.planning.plan import DownlinkItem
from emasync.transfer.state.transfer_journal import FileResult, TransferJournal
from emasync.transfer.tracker import ResultTracker


class SlowJournal(TransferJournal):
    """A journal whose disk takes a while."""

    def __init__(self) -> None:
        super().__init__(None, scope="", direction=Direction.UPLINK)
        self.written: list[Outcome] = []

    async def record_results(self, results: Sequence[FileResult]) -> None:
        await anyio.sleep(0.001)
        self.written += [result.outcome for result in results]


@pytest.fixture
def journal() -> SlowJournal:
    return SlowJournal()


@pytest.fixture
def tracker(journal: SlowJournal) -> ResultTracker:
    return ResultTracker(direction=Direction.UPLINK, journal=journal)


def item(path: str) -> DownlinkItem:
    return DownlinkItem(remote=RemotePath(path), local_path=RemotePath(path))


def outcome(path: str) -> Outcome:
    return Outcome(path=RemotePath(path), place=path, direction=Direction.UPLINK, state=OutcomeState.DONE)


async def test_what_has_ended_is_written_and_told_even_if_the_transfer_is_cancelled_just_then(
    tracker: ResultTracker, journal: SlowJournal
) -> None:
    # Sabotage: ResultTracker.record without its shield: on disk it is done, in the report it is not.
    tracker.register([item("a")])
    with anyio.CancelScope() as scope:
        scope.cancel()
        await tracker.record([FileResult(outcome=outcome("a"))])
    assert journal.written == list(Outcomes(tracker.outcomes)) == [outcome("a")]


async def test_what_never_left_has_failed_and_what_left_is_unknown(tracker: ResultTracker) -> None:
    # Sabotage: _remaining does not look at what was sent.
    tracker.register([item(name) for name in "abc"], directory="here/")
    tracker.mark_sent([RemotePath("b")])
    await tracker.record([FileResult(outcome=outcome("c"))])
    await tracker.fail_remaining(EMError("over"))
    states = {one.path: one.state for one in Outcomes(tracker.outcomes)}
    assert states == {"a": OutcomeState.FAILED, "b": OutcomeState.UNKNOWN, "c": OutcomeState.DONE}
    places = {one.path: one.place for one in Outcomes(tracker.outcomes)}
    assert places == {"a": "here/a", "b": "here/b", "c": "c"}


async def test_a_refused_file_with_the_path_of_an_expected_one_does_not_settle_that(tracker: ResultTracker) -> None:
    # Sabotage: `record_unregistered` does not note in `_unregistered` what it recorded.
    tracker.register([item("a"), item("b")])
    twin = Outcome(path=RemotePath("a"), place="other/a", direction=Direction.UPLINK, state=OutcomeState.FAILED)
    tracker.record_unregistered([twin])
    await tracker.record([FileResult(outcome=outcome("b"))])
    await tracker.fail_remaining(EMError("over"))
    assert [(one.path, one.place) for one in Outcomes(tracker.outcomes)] == [("a", "other/a"), ("b", "b"), ("a", "a")]
