"""`TransferReport` adds up, and raises what its files raised."""

from __future__ import annotations

import pytest

from emasync.errors import EMError, NotFoundError
from emasync.model import Direction, Outcome, OutcomeState, RemotePath, TransferReport


def outcome(
    path: str, state: OutcomeState, *, size: int = 0, error: Exception | None = None, reason: str | None = None
) -> Outcome:
    return Outcome(
        path=RemotePath(path),
        place=path,
        direction=Direction.UPLINK,
        state=state,
        bytes=size,
        error=error,
        reason=reason,
    )


DONE, SKIPPED, FAILED, UNKNOWN = OutcomeState.DONE, OutcomeState.SKIPPED, OutcomeState.FAILED, OutcomeState.UNKNOWN


def test_every_file_is_in_exactly_one_group() -> None:
    states = [DONE, SKIPPED, FAILED, UNKNOWN, DONE]
    report = TransferReport(outcomes=tuple(outcome(str(i), state, size=10) for i, state in enumerate(states)))
    groups = (report.done, report.skipped, report.failed, report.unknown)
    assert [len(group) for group in groups] == [2, 1, 1, 1]
    assert report.bytes == 20  # of those that are done alone


@pytest.mark.parametrize(("state", "ok"), [(DONE, True), (SKIPPED, True), (FAILED, False), (UNKNOWN, False)])
def test_a_report_is_ok_without_failed_and_unknown(state: OutcomeState, ok: bool) -> None:
    # Sabotage: leave `unknown` out of `ok`.
    assert TransferReport(outcomes=(outcome("a", state),)).ok is ok


def test_an_ok_report_raises_nothing() -> None:
    TransferReport(outcomes=(outcome("a", DONE), outcome("b", SKIPPED))).raise_for_failures()


def test_the_first_failure_is_raised_with_a_note_for_each_other() -> None:
    first = NotFoundError("GET em/files/downlink (a): not found (404)")
    report = TransferReport(
        outcomes=(
            outcome("u", UNKNOWN, reason="the answer was lost"),
            outcome("a", FAILED, error=first),
            outcome("b", FAILED, error=PermissionError("no")),
        )
    )
    with pytest.raises(NotFoundError) as caught:
        report.raise_for_failures()
    assert caught.value is first
    assert caught.value.__notes__ == ["also failed: b: no", "also unknown: u: the answer was lost"]


def test_an_unknown_file_without_an_error_raises_its_reason() -> None:
    with pytest.raises(EMError, match="u: the answer was lost"):
        TransferReport(outcomes=(outcome("u", UNKNOWN, reason="the answer was lost"),)).raise_for_failures()
