"""What keeps a very long transfer small: listings in between, rows in portions, and files that are forgotten."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from emasync.errors import AuthError
from emasync.model import FileTree, OutcomeState
from emasync.simulator import Simulator
from emasync.transfer.context import TransferRun
from emasync.transfer.planning.scan import Scan
from emasync.transfer.sync_sides import scan_and_list
from tests.contract.stage import USERS, calls, connect
from tests.engine.truth_stage import SWIFT, hashes, many
from tests.faults.checker import read_journal

UPLINK, LIST = "em/files/uplink", "em/files/list"


# Sabotage: leave `self._state.full` out of Uplink._send_call: one listing; or no `raise_pending_limit`
# while the listing lags behind: one after every call.
@pytest.mark.parametrize(("lag_s", "listings"), [(0.0, range(3, 6)), (2.0, range(1, 9))])
async def test_files_that_wait_for_a_listing_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lag_s: float, listings: range
) -> None:
    monkeypatch.setattr("emasync.transfer.uplink_state._MAX_PENDING", 15)
    source = many(tmp_path / "source", 60, parts=12)
    async with Simulator(USERS, list_lag=lag_s) as sim, connect(sim, settings=SWIFT) as em:
        report = await em.uplink(f"{source}/", dest="d", workers=1)
        assert len(report.done) == len(report.outcomes) == 60
        assert len(calls(sim, UPLINK)) == 12
        assert len(calls(sim, LIST)) in listings
        assert hashes(sim.volume("client1") / "d") == hashes(source)


# Sabotage: lose the last portion in `_batches`.
async def test_portions_lose_no_file_and_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emasync.transfer.state.transfer_journal._ROWS_AT_ONCE", 4)
    source = many(tmp_path / "source", 50, parts=3)
    journal = tmp_path / "up.journal"
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        first = await em.uplink(f"{source}/", dest="d", journal=journal)
        again = await em.uplink(f"{source}/", dest="d", journal=journal)
        assert len(calls(sim, UPLINK)) == 3
    assert len({one.path for one in first.done}) == len(first.outcomes) == 50
    assert {one.state for one in again.outcomes} == {OutcomeState.SKIPPED}
    rows = read_journal(journal)
    assert len(rows) == 50
    assert {row.state for row in rows} == {"done"}


# Sabotage: run the two sides in a task group as they are: callers get a group of errors that they do not know.
async def test_when_scan_and_listing_of_a_sync_fail_the_first_error_is_raised_as_itself() -> None:
    failed = anyio.Event()

    async def fresh() -> FileTree:
        failed.set()
        raise AuthError("no")

    async def run(look: Any) -> Scan:
        with anyio.CancelScope(shield=True):  # as a file thread, which cannot be cancelled
            await failed.wait()
        raise ValueError("broken")

    threads = SimpleNamespace(run=run)
    both = SimpleNamespace(context=SimpleNamespace(threads=threads), listing=SimpleNamespace(fresh=fresh))
    with pytest.raises(AuthError, match="no"):
        await scan_and_list(cast(TransferRun, both), lambda: cast(Scan, None))
