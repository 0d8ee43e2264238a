from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from emasync.errors import EMError
from emasync.model import Direction, Outcome, Outcomes, OutcomeState, RemotePath
from emasync.transfer.context import Options
from emasync.transfer.ledger import FileResult, Ledger
from emasync.transfer.planning.plan import DownlinkItem
from emasync.transfer.tracker import ResultTracker
from emasync.transfer.transfer import Results


class SlowLedger(Ledger):
    """A journal whose disk takes a while."""

    def __init__(self) -> None:
        super().__init__(None, scope="", direction=Direction.UPLINK)
        self.written: list[Outcome] = []

    async def settle(self, endings: Sequence[FileResult]) -> None:
        await anyio.sleep(0.001)
        self.written += [ending.outcome for ending in endings]


@pytest.fixture
def results() -> Results:
    return Results()


def roster_of(results: Results, ledger: Ledger) -> ResultTracker:
    options = Options(workers=1, overwrite="replace", verify="content")
    return ResultTracker(results, direction=Direction.UPLINK, options=options, ledger=ledger)


def item(path: str) -> DownlinkItem:
    return DownlinkItem(remote=RemotePath(path), place=RemotePath(path))


def outcome(path: str) -> Outcome:
    return Outcome(path=RemotePath(path), place=path, direction=Direction.UPLINK, state=OutcomeState.DONE)


async def test_what_has_ended_is_written_and_told_even_if_the_transfer_is_cancelled_just_then(
    results: Results,
) -> None:
    # Sabotage: ResultTracker.settle without its shield: on disk it is done, in the report it is not.
    ledger = SlowLedger()
    roster = roster_of(results, ledger)
    roster.expect([item("a")])
    with anyio.CancelScope() as scope:
        scope.cancel()
        await roster.settle([FileResult(outcome=outcome("a"))])
    assert ledger.written == list(Outcomes(results.outcomes)) == [outcome("a")]


async def test_what_never_left_has_failed_and_what_left_is_unknown(results: Results) -> None:
    # Sabotage: _abandoned does not look at what was sent.
    roster = roster_of(results, SlowLedger())
    roster.expect([item(name) for name in "abc"], below="here/")
    roster.sent([RemotePath("b")])
    await roster.settle([FileResult(outcome=outcome("c"))])
    await roster.abandon(EMError("over"))
    states = {one.path: one.state for one in Outcomes(results.outcomes)}
    assert states == {"a": OutcomeState.FAILED, "b": OutcomeState.UNKNOWN, "c": OutcomeState.DONE}
    places = {one.path: one.place for one in Outcomes(results.outcomes)}
    assert places == {"a": "here/a", "b": "here/b", "c": "c"}


async def test_a_refused_file_with_the_path_of_an_expected_one_does_not_settle_that(results: Results) -> None:
    # Sabotage: `refuse` does not note in `_unasked` what it settled.
    roster = roster_of(results, SlowLedger())
    roster.expect([item("a"), item("b")])
    twin = Outcome(path=RemotePath("a"), place="other/a", direction=Direction.UPLINK, state=OutcomeState.FAILED)
    await roster.refuse([twin])
    await roster.settle([FileResult(outcome=outcome("b"))])
    await roster.abandon(EMError("over"))
    assert [(one.path, one.place) for one in Outcomes(results.outcomes)] == [("a", "other/a"), ("b", "b"), ("a", "a")]
