"""Deadlines and syncs, where it would be easy to say less than the truth.

Owns: that nothing is left out of a report, whatever ends the transfer, and that a sync's fall-back is told.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import anyio

from emasync import OutcomeState, Settings
from emasync.model import Direction
from emasync.simulator import Simulator
from emasync.transfer.events import Confirmed, Event
from emasync.transfer.state.journal import open_journal
from emasync.transfer.state.schema import ItemState
from tests.contract.stage import QUICK, USERS, calls, connect, tree, write

UPLINK, LIST, DOWNLINK = "em/files/uplink", "em/files/list", "em/files/downlink"


async def test_what_never_left_before_the_deadline_has_failed_and_is_not_unknown(tmp_path: Path) -> None:
    # Sabotage: Uplink._send_call tells the tracker before the call has its turn.
    async with Simulator(USERS, exclusive=True) as sim, connect(sim) as em:
        paused = sim.breakpoint(DOWNLINK)
        write(sim.volume("client1"), {"held": b"1"})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(em.files.read, "held")  # takes the lock, and keeps it
            await paused.wait_until_hit()
            with anyio.move_on_after(0.05):
                await em.files.list()  # from here on the limiter knows
            report = await em.uplink(write(tmp_path, {"a": b"1"}) / "a", deadline=0.3)
            paused.release()
        assert [outcome.state for outcome in report.outcomes] == [OutcomeState.FAILED]
        assert calls(sim, UPLINK) == []


async def test_a_file_that_is_in_place_when_the_transfer_is_left_has_its_outcome_and_its_row(tmp_path: Path) -> None:
    # Sabotage: Fetch._facts without its shield: the file is there, report and journal know nothing of it.
    scope = anyio.CancelScope()

    def leave(event: Event) -> None:
        if isinstance(event, Confirmed):
            scope.cancel()

    journal = tmp_path / "j.db"
    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a": b"1"})
        transfer = em.downlink("a", into=tmp_path / "out", journal=journal, on_event=leave)
        with scope:
            await transfer
    assert scope.cancelled_caught
    assert [outcome.state for outcome in transfer.report.outcomes] == [OutcomeState.DONE]
    async with open_journal(journal) as rows:
        (tally,) = await rows.summary()
    assert (tally.direction, tally.state, tally.files) == (Direction.DOWNLINK, ItemState.DONE, 1)


async def test_deletions_that_a_deadline_prevents_are_in_the_report(tmp_path: Path) -> None:
    # Sabotage: sync_up does not let the tracker expect what it will delete.
    async with Simulator(USERS) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"site/extra": b"1"})
        paused = sim.breakpoint(UPLINK)
        report = await em.sync_up(write(tmp_path, {"new": b"2"}), "site", delete=True, deadline=0.2)
        paused.release()
        states = {outcome.path: outcome.state for outcome in report.outcomes}
        assert states == {"site/new": OutcomeState.UNKNOWN, "site/extra": OutcomeState.FAILED}
        assert "site/extra" in tree(sim.volume("client1"))


async def test_a_state_folder_that_cannot_be_used_costs_time_and_no_sync(tmp_path: Path) -> None:
    # Sabotage: content_tags lets what open_hash_cache raises through.
    local = write(tmp_path / "in", {"a": b"1"})
    state = write(tmp_path, {"a file": b""}) / "a file"
    settings: Settings = replace(QUICK, state_dir=state)
    async with Simulator(USERS) as sim, connect(sim, settings=settings) as em:
        write(sim.volume("client1"), {"a": b"2"})
        os.utime(local / "a", (1, 1))
        assert (await em.sync_up(local, "")).ok
        assert tree(sim.volume("client1")) == {"a": b"1"}
