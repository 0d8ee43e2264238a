"""What a report looks like in a REPL and a log: short, however many files it holds."""

from __future__ import annotations

from emasync.model import Direction, Outcome, OutcomeState, RemotePath, TransferReport


def _outcome(index: int, state: OutcomeState) -> Outcome:
    path = RemotePath(f"data/f{index}")
    return Outcome(path=path, place="f", direction=Direction.DOWNLINK, state=state)


def test_the_repr_of_a_report_counts_its_files_and_names_none() -> None:
    # asyncio.run() makes the repr of what it returns (by way of signal.signal), so it must not cost by the file
    # sabotage: the dataclass's own repr
    states = [OutcomeState.DONE] * 3000 + [OutcomeState.FAILED] * 2
    report = TransferReport(outcomes=tuple(_outcome(index, state) for index, state in enumerate(states)), seconds=1.5)
    assert repr(report) == "<TransferReport: 3000 done, 2 failed, 0 bytes in 1.5 s>"


def test_the_repr_of_an_empty_report_says_so() -> None:
    assert repr(TransferReport()) == "<TransferReport: no files, 0 bytes in 0 s>"
