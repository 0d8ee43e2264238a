"""A journal that is optional may be lost in the midst of a transfer; one that was asked for may not."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from emasync.model import Direction, Outcome, OutcomeState, RemotePath
from emasync.transfer.state.journal import Journal, open_journal, unfinished
from emasync.transfer.state.transfer_journal import FileResult, IntendedFile, TransferJournal, journal_lost

PATH = RemotePath("a/b")


class FullDisk(Journal):
    """A journal whose disk is full for every write."""

    def __init__(self) -> None:
        self.asked = 0

    async def record_sent(self, *_: Any, **__: Any) -> None:
        self.asked += 1
        await anyio.sleep(0)
        raise OSError(errno.ENOSPC, "No space left on device", "/state/j.db")


# Sabotage: leave `self._journal = None` out of `TransferJournal._in_use`; or call `on_lost` for each that waited.
async def test_an_optional_journal_that_is_lost_is_told_once_and_asked_no_more() -> None:
    journal, lost = FullDisk(), list[OSError]()
    transfer = TransferJournal(journal, scope="em", direction=Direction.UPLINK, on_lost=lost.append)
    async with anyio.create_task_group() as tasks:
        for name in ("x", "y"):
            tasks.start_soon(partial(transfer.record_sent, [(PATH, name)], call_id="1"))
    await transfer.record_sent([(PATH, "z")], call_id="2")
    await transfer.record_intents([IntendedFile(remote=PATH, local_path="z")])
    await transfer.record_results([])
    assert await transfer.lookup([(PATH, "z")]) == {}
    assert (journal.asked, [one.errno for one in lost]) == (2, [errno.ENOSPC])
    said = "no journal is kept, an interrupted run cannot be resumed: No space left on device (/state/j.db)"
    assert journal_lost(lost[0]) == said


# Sabotage: `if self._on_lost is None: return` in `TransferJournal._in_use`.
async def test_a_journal_that_was_asked_for_raises_what_its_disk_says() -> None:
    transfer = TransferJournal(FullDisk(), scope="em", direction=Direction.UPLINK)
    with pytest.raises(OSError, match="No space left"):
        await transfer.record_sent([(PATH, "x")], call_id="1")


# Sabotage: count FAILED, or INTENT, as ended in `unfinished`.
@pytest.mark.parametrize(
    ("state", "left"),
    [(None, 1), (OutcomeState.FAILED, 1), (OutcomeState.UNKNOWN, 1), (OutcomeState.DONE, 0), (OutcomeState.SKIPPED, 0)],
)
async def test_what_is_unfinished_is_what_a_resume_would_go_on_with(
    tmp_path: Path, state: OutcomeState | None, left: int
) -> None:
    path = tmp_path / "j.db"
    assert unfinished(path) == 0
    assert not path.exists()
    async with open_journal(path) as journal:
        transfer = TransferJournal(journal, scope="em", direction=Direction.UPLINK)
        await transfer.record_intents([IntendedFile(remote=PATH, local_path="x")])
        if state is not None:
            outcome = Outcome(path=PATH, place="x", direction=Direction.UPLINK, state=state)
            await transfer.record_results([FileResult(outcome=outcome)])
        with pytest.raises(BlockingIOError):
            unfinished(path)
    assert unfinished(path) == left
