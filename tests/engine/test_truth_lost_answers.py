"""Uplinks whose answer is lost, or a lie: the listing decides, nothing is missing, nothing goes twice in vain."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emasync import Client, Outcome, OutcomeState, TransferReport, Verified
from emasync.simulator import Fault, Simulator
from tests.contract.stage import USERS, calls, connect, tree, write
from tests.engine.truth_stage import SWIFT, hashes, many, other_tag, times_sent

UPLINK = "em/files/uplink"

pytestmark = pytest.mark.usefixtures("quick_looks")


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait seconds for a listing that may lag: the simulator's does not, unless told."""
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.01, 0.05))


@contextlib.asynccontextmanager
async def trouble(*faults: Fault, **options: object) -> AsyncIterator[tuple[Simulator, Client]]:
    async with Simulator(USERS, faults=faults, **options) as sim:  # type: ignore[arg-type]  # the test's own keywords
        async with connect(sim, settings=SWIFT) as em:
            yield sim, em


def alone(report: TransferReport) -> Outcome:
    """The one outcome of `report`."""
    (outcome,) = report.outcomes
    return outcome


# Sabotage: let `UplinkRequestSender.send` return the files of an UnknownOutcomeError as `unsent`: they go twice. Let
# `UplinkState.compare` call them done without a look: the next test fails.
@pytest.mark.parametrize("hard", [False, True])
async def test_answers_lost_on_every_third_uplink_cost_no_file_and_no_second_sending(
    tmp_path: Path, hard: bool
) -> None:
    source = many(tmp_path / "source", 300, parts=30, size=500)
    lost = Fault("commit_then_drop", endpoint=UPLINK, every=3, times=None, hard=hard)
    async with trouble(lost) as (sim, em):
        report = await em.uplink(f"{source}/", dest="d", workers=4)
        assert hashes(sim.volume("client1") / "d") == hashes(source)
        assert {one.state for one in report.outcomes} == {OutcomeState.DONE}
        assert {one.verified for one in report.outcomes} == {Verified.TAG}
        assert len(report.outcomes) == 300
        assert set(times_sent(sim).values()) == {1}
        assert sum(entry.fault == "commit_then_drop" for entry in calls(sim, UPLINK)) == 10


# Sabotage: in `judge_sent` accept an equal size whether it was `counted` or not, and leave the tag out: the old file is
# taken for the new one.
async def test_an_old_file_of_the_same_size_is_not_taken_for_one_whose_answer_was_lost(tmp_path: Path) -> None:
    (tmp_path / "new.bin").write_bytes(b"new content")
    async with trouble(Fault("reset", endpoint=UPLINK, at=100)) as (sim, em):
        write(sim.volume("client1"), {"new.bin": b"old content"})
        report = await em.uplink(tmp_path / "new.bin")
        assert tree(sim.volume("client1")) == {"new.bin": b"new content"}
        assert (alone(report).state, alone(report).verified) == (OutcomeState.DONE, Verified.TAG)


# Sabotage: the same as above, for a server whose tags are of no use.
async def test_nor_where_the_servers_tags_follow_another_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emasync.simulator.volume.tag_of_digest", other_tag(0))
    (tmp_path / "first.bin").write_bytes(b"something else")
    (tmp_path / "new.bin").write_bytes(b"new content")
    async with trouble() as (sim, em):
        write(sim.volume("client1"), {"new.bin": b"old content"})
        (await em.uplink(tmp_path / "first.bin")).raise_for_failures()
        sim.faults.add(Fault("reset", endpoint=UPLINK, at=100))
        report = await em.uplink(tmp_path / "new.bin")
        assert tree(sim.volume("client1"))["new.bin"] == b"new content"
        assert (alone(report).state, alone(report).verified) == (OutcomeState.DONE, Verified.SIZE)
        assert len(report.notes) == 1


# Sabotage: believe `file_count` (`receipt=True` always, no listing): a file is missing.
@pytest.mark.parametrize("claim_full", [True, False])
async def test_files_that_the_server_dropped_are_sent_again_and_only_those(tmp_path: Path, claim_full: bool) -> None:
    source = many(tmp_path / "source", 20)
    async with trouble(Fault("drop_files", endpoint=UPLINK, count=3, claim_full=claim_full)) as (sim, em):
        report = await em.uplink(f"{source}/", dest="d")
        assert hashes(sim.volume("client1") / "d") == hashes(source)
        assert len(report.done) == 20
        assert sorted(times_sent(sim).values()) == [1] * 17 + [2] * 3


# Sabotage: leave size and tag out of `judge_sent` where the answer was `counted`.
async def test_a_file_that_was_stored_cut_short_is_sent_again(tmp_path: Path) -> None:
    source = many(tmp_path / "source", 5, size=1000)
    async with trouble(Fault("truncate_store", endpoint=UPLINK)) as (sim, em):
        report = await em.uplink(f"{source}/", dest="d")
        assert hashes(sim.volume("client1") / "d") == hashes(source)
        assert {one.verified for one in report.done} == {Verified.TAG}
        assert sum(times_sent(sim).values()) == 6


# Sabotage: let `learn_from_sent` learn from files of another size than was sent: the rule counts as refuted, and the
# report says so, and a file changed on its way is not found any more.
async def test_a_single_file_cut_short_says_nothing_of_the_servers_tags(tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(b"x" * 1000)
    async with trouble(Fault("truncate_store", endpoint=UPLINK)) as (sim, em):
        report = await em.uplink(tmp_path / "one.bin")
        assert hashes(sim.volume("client1")) == hashes(tmp_path)
        assert alone(report).verified is Verified.TAG
        assert report.notes == ()


# Sabotage: one look only (`_LISTING_DELAYS_S[:1]`) after the last call: the files go again although they are there.
async def test_a_listing_that_lags_behind_is_waited_for_and_nothing_goes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.02, 0.2, 0.5))
    source = many(tmp_path / "source", 20)
    async with trouble(list_lag=0.15) as (sim, em):
        report = await em.uplink(f"{source}/", dest="d")
        assert len(report.done) == 20
        assert set(times_sent(sim).values()) == {1}


# Sabotage: have `UplinkState.take_missing` forget `_MAX_SENDS`: it never ends. Have it give up at once:
# one sending only.
async def test_what_never_shows_in_a_listing_is_sent_three_times_and_then_failed_with_the_reason(
    tmp_path: Path,
) -> None:
    (tmp_path / "one.bin").write_bytes(b"x")
    async with trouble(list_lag=1e6) as (sim, em):
        report = await em.uplink(tmp_path / "one.bin")
        assert alone(report).state is OutcomeState.FAILED
        assert "not in the listing" in str(alone(report).error)
        assert times_sent(sim) == {"one.bin": 3}


# Sabotage: never call `tokens.replace`.
async def test_a_token_refused_after_the_body_costs_one_log_in_and_one_more_body(tmp_path: Path) -> None:
    source = many(tmp_path / "source", 20, size=5000)
    async with trouble(Fault("unauthorized_after_body", endpoint=UPLINK)) as (sim, em):
        report = await em.uplink(f"{source}/", dest="d")
        assert hashes(sim.volume("client1") / "d") == hashes(source)
        assert len(report.done) == 20
        assert len(calls(sim, UPLINK)) == 2
        assert sum(one.path.startswith("auth/") for one in sim.requests) == 2


# Sabotage: count a body that was refused as a sending in `UplinkRequestSender.send`: after three 423 what was dropped
# is not sent again, and fails.
async def test_a_busy_em_does_not_use_up_the_second_chance_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(b"x" * 100)
    (tmp_path / "two.bin").write_bytes(b"y" * 100)
    busy = Fault("busy_after", endpoint=UPLINK, times=3)
    async with trouble(busy, Fault("drop_files", endpoint=UPLINK)) as (sim, em):
        report = await em.uplink([tmp_path / "one.bin", tmp_path / "two.bin"])
        assert [one.state for one in report.outcomes] == [OutcomeState.DONE] * 2
        assert hashes(sim.volume("client1")) == hashes(tmp_path)


# Sabotage: `halves` that are the call itself, or no splitting: it never ends, or fails. Without
# `UplinkRequestSender._learn` each of the three calls is refused anew.
async def test_a_server_that_takes_40_files_a_call_is_found_out_once(tmp_path: Path) -> None:
    source = many(tmp_path / "source", 300, size=100)
    async with trouble(uplink_files=40) as (sim, em):
        report = await em.uplink(f"{source}/", dest="d", workers=1)
        assert hashes(sim.volume("client1") / "d") == hashes(source)
        assert len(report.done) == 300
        assert set(times_sent(sim).values()) == {1}
        refused = [entry for entry in calls(sim, UPLINK) if entry.status == 400]
        assert len(refused) == 2  # with 100 files and with 50


# Sabotage: take TooLargeError as final in `_too_many`; without `UplinkRequestSender._learn` each call is refused anew.
async def test_a_server_with_a_smaller_byte_limit_is_found_out_once(tmp_path: Path) -> None:
    source = many(tmp_path / "source", 60, size=20_000, parts=3)
    async with trouble(uplink_limit=150_000) as (sim, em):
        report = await em.uplink(f"{source}/", dest="d", workers=1)
        assert hashes(sim.volume("client1") / "d") == hashes(source)
        assert len(report.done) == 60
        assert set(times_sent(sim).values()) == {1}
        refused = [entry for entry in calls(sim, UPLINK) if entry.status == 400]
        assert len(refused) == 2  # with 20 files and with 10


async def test_one_file_above_the_servers_limit_fails_and_the_others_arrive(tmp_path: Path) -> None:
    source = many(tmp_path / "source", 10, size=1000)
    (source / "part-00" / "big.bin").write_bytes(b"x" * 300_000)
    async with trouble(uplink_limit=100_000) as (sim, em):
        report = await em.uplink(f"{source}/", dest="d")
        assert [one.path.name for one in report.failed] == ["big.bin"]
        assert len(report.done) == 10
        assert len(tree(sim.volume("client1"))) == 10
