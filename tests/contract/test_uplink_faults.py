"""`em.uplink` with faults of the server and of the disk: no file is lost, sent twice without need or wrongly reported.

A busy EM is in `test_busy`, tokens are in `test_auth`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from emasync import Client, IntegrityError, OutcomeState, SourceChangedError, Verified
from emasync.simulator import Fault, FaultKind, Simulator, VirtualClock
from tests.contract.stage import Simulate, assert_outcome_is_true, calls, connect, sent_names, some_bytes, tree, write

pytestmark = pytest.mark.usefixtures("quick_looks")

UPLINK = "em/files/uplink"
FILES = {f"in/f{number}": some_bytes(20_000 + number, seed=number) for number in range(8)}


async def send(em: Client, sim: Simulator, tmp_path: Path) -> None:
    """Send FILES; all outcomes must be `done` and true."""
    report = await em.uplink(f"{write(tmp_path, FILES)}/")
    report.raise_for_failures()
    assert len(report.done) == len(FILES)
    assert tree(sim.volume("client1")) == FILES
    for outcome in report.done:
        assert_outcome_is_true(outcome, sim.volume("client1") / outcome.path)
        assert outcome.verified is Verified.TAG


@pytest.mark.parametrize("hard", [False, True])
async def test_files_that_arrived_before_the_answer_was_lost_are_not_sent_twice(
    em: Client, sim: Simulator, tmp_path: Path, hard: bool
) -> None:
    # Sabotage: retry.decide gives RETRY for an uplink whose answer was lost.
    sim.faults.add(Fault("commit_then_drop", endpoint=UPLINK, hard=hard))
    await send(em, sim, tmp_path)
    assert sorted(sent_names(sim)) == sorted(FILES)


@pytest.mark.parametrize("honest", [False, True])
async def test_files_the_server_dropped_are_sent_again_and_no_others(
    em: Client, sim: Simulator, tmp_path: Path, honest: bool
) -> None:
    # Sabotage: verify_sent takes a counted file for arrived whatever the listing shows.
    sim.faults.add(Fault("drop_files", endpoint=UPLINK, count=3, claim_full=not honest))
    await send(em, sim, tmp_path)
    assert [len(request.detail["files"]) for request in calls(sim, UPLINK)] == [8, 3]


async def test_a_file_that_was_stored_short_is_sent_again(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: verify_sent does not compare the size.
    sim.faults.add(Fault("truncate_store", endpoint=UPLINK))
    await send(em, sim, tmp_path)
    assert [len(request.detail["files"]) for request in calls(sim, UPLINK)] == [8, 1]


async def test_a_file_that_is_stored_short_for_ever_fails_with_an_integrity_error(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    # Sabotage: UplinkState.take_missing has no _MAX_SENDS (never ends), or _record_lost records DONE.
    sim.faults.add(Fault("truncate_store", endpoint=UPLINK, times=None))
    report = await em.uplink(write(tmp_path, {"a": some_bytes(5000)}) / "a")
    (failed,) = report.failed
    assert isinstance(failed.error, IntegrityError)
    assert "2500 bytes" in str(failed.error)
    assert failed.attempts == len(calls(sim, UPLINK)) <= 3


async def test_an_answer_before_the_body_is_not_believed(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: Transport.send leaves out its look at upload.sent (with listings, those would tell).
    data = some_bytes(4_000_000)
    sim.faults.add(Fault("early_answer", endpoint=UPLINK, count=1))
    report = await em.uplink(write(tmp_path, {"a": data}) / "a", verify="none")
    report.raise_for_failures()
    assert tree(sim.volume("client1")) == {"a": data}
    assert len(calls(sim, UPLINK)) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset", endpoint=UPLINK),
        Fault("reset", endpoint=UPLINK, at=60_000),
        Fault("error_500", endpoint=UPLINK),
        Fault("html_502", endpoint=UPLINK),
        Fault("html_200", endpoint=UPLINK),
    ],
    ids=["reset at once", "reset in the body", "500", "502 of a proxy", "a page with 200"],
)
async def test_a_call_that_failed_is_looked_up_and_sent_again(
    em: Client, sim: Simulator, tmp_path: Path, fault: Fault
) -> None:
    # Sabotage: UplinkRequestSender.send records UnknownOutcomeError as failed (or as sent and counted).
    sim.faults.add(fault)
    await send(em, sim, tmp_path)
    assert len(calls(sim, UPLINK)) == 2


async def test_a_redirect_is_not_followed_and_names_where_it_leads(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: Transport._request passes allow_redirects=True.
    sim.faults.add(Fault("redirect", endpoint=UPLINK, location="http://elsewhere.invalid/x"))
    report = await em.uplink(write(tmp_path, {"a": b"1"}) / "a")
    (failed,) = report.failed
    assert "elsewhere.invalid" in str(failed.error)
    assert len(calls(sim, UPLINK)) == 1


async def test_a_listing_that_lags_behind_causes_no_second_send(simulate: Simulate, tmp_path: Path) -> None:
    # Sabotage: Uplink._confirm_by_listing lists once.
    clock = VirtualClock()
    async with simulate(list_lag=5, clock=clock) as sim, connect(sim) as em:
        paused = sim.breakpoint("em/files/list", at="answer")

        async def catch_up() -> None:
            await paused.wait_until_hit()  # with a listing that does not show the file yet
            await clock.advance(6)
            paused.release()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(catch_up)
            report = await em.uplink(write(tmp_path, {"a": b"1"}) / "a")
        report.raise_for_failures()
        assert sent_names(sim) == ["a"]
        assert len(calls(sim, "em/files/list")) == 2


async def test_a_server_with_other_content_tags_is_noticed_and_sizes_have_to_do(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    # Sabotage: TagCompatibility.mismatch does nothing (each file is sent three times and fails).
    sim.faults.add(Fault("wrong_hash", endpoint="em/files/list", times=None))
    notes: list[str] = []
    report = await em.uplink(
        f"{write(tmp_path, FILES)}/", on_event=lambda event: notes.append(getattr(event, "text", ""))
    )
    assert {outcome.verified for outcome in report.done} == {Verified.SIZE}
    assert len(report.done) == len(FILES)
    assert sorted(sent_names(sim)) == sorted(FILES)
    assert any("verified by size only" in note for note in notes)


async def test_after_a_lost_answer_an_older_file_of_the_same_size_is_no_proof(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    # Sabotage: verify_sent compares the tag only of files that were counted.
    write(sim.volume("client1"), {"a": b"old"})
    sim.faults.add(Fault("html_502", endpoint=UPLINK))
    report = await em.uplink(write(tmp_path, {"a": b"new"}) / "a")
    report.raise_for_failures()
    assert tree(sim.volume("client1")) == {"a": b"new"}


@pytest.mark.parametrize(("kind", "sends"), [("error_500", 2), ("html_502", 3)])
async def test_a_file_that_the_server_fails_over_is_sent_twice_and_one_whose_answer_is_lost_three_times(
    em: Client, sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: FaultKind, sends: int
) -> None:
    # Sabotage: leave `_server_errors` out of UplinkState.take_missing: three times in any case.
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0,))
    sim.faults.add(Fault(kind, endpoint=UPLINK, times=None))
    report = await em.uplink(write(tmp_path, {"a": b"1"}) / "a")
    assert [outcome.state for outcome in report.outcomes] == [OutcomeState.UNKNOWN]
    assert len(calls(sim, UPLINK)) == report.outcomes[0].attempts == sends


async def test_when_nothing_can_be_found_out_the_file_is_unknown(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: Uplink._give_up records DONE.
    sim.faults.add(Fault("error_500", endpoint="em/files/list", times=None))
    report = await em.uplink(write(tmp_path, {"a": b"1"}) / "a")
    assert [outcome.state for outcome in report.outcomes] == [OutcomeState.UNKNOWN]
    assert not report.ok
    assert "could not be listed" in (report.unknown[0].reason or "")


async def test_without_verification_a_counted_file_is_believed_and_labelled_so(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    sim.faults.add(Fault("drop_files", endpoint=UPLINK))
    report = await em.uplink(write(tmp_path, {"a": b"1"}) / "a", verify="none")
    assert [(outcome.state, outcome.verified) for outcome in report.outcomes] == [(OutcomeState.DONE, Verified.COUNT)]


async def test_without_verification_a_lost_answer_is_still_looked_up(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    # Sabotage: UplinkState.take_acknowledged takes all that was sent for counted.
    sim.faults.add(Fault("html_502", endpoint=UPLINK))
    report = await em.uplink(write(tmp_path, {"a": b"1"}) / "a", verify="none")
    report.raise_for_failures()
    assert tree(sim.volume("client1")) == {"a": b"1"}


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _shrink(path: Path) -> None:
    os.truncate(path, 1_000_000)


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(some_bytes(path.stat().st_size, seed=9))
    other.replace(path)


@pytest.mark.parametrize("change", [_grow, _shrink, _replace])
async def test_a_file_that_changes_while_it_is_sent_fails_alone(
    em: Client, sim: Simulator, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    # Sabotage: open_reader() does not compare the fingerprint after the last byte.
    files = {"big": some_bytes(24_000_000), "small": b"1"}
    local = write(tmp_path, files)
    paused = sim.breakpoint(UPLINK, at="body")

    async def meddle() -> None:
        await paused.wait_until_hit()
        await anyio.to_thread.run_sync(change, local / "big")
        paused.release()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(meddle)
        report = await em.uplink([local / "big", local / "small"])
    states = {outcome.path: outcome.state for outcome in report.outcomes}
    assert states == {"big": OutcomeState.FAILED, "small": OutcomeState.DONE}
    assert isinstance(report.failed[0].error, SourceChangedError)
    assert (sim.volume("client1") / "small").read_bytes() == b"1"


async def test_a_file_that_goes_away_fails_alone(em: Client, sim: Simulator, tmp_path: Path) -> None:
    paused = sim.breakpoint("em/files/list")
    local = write(tmp_path, {"gone": b"1", "stays": b"2"})
    async with anyio.create_task_group() as tasks:

        async def remove() -> None:
            await paused.wait_until_hit()
            (local / "gone").unlink()
            paused.release()

        tasks.start_soon(remove)
        report = await em.uplink([local / "gone", local / "stays"], overwrite="skip")  # lists before it sends
    states = {outcome.path: outcome.state for outcome in report.outcomes}
    assert states == {"gone": OutcomeState.FAILED, "stays": OutcomeState.DONE}
