"""What is learned of a file at one moment is never taken for what it is at another.

A pod may rewrite any file between any two calls: between listing, transfer and proof, and back again.
"""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from emasync import Client, OutcomeState, TransferReport
from emasync.simulator import Fault, Simulator
from tests.contract.stage import USERS, calls, connect, tree, write
from tests.engine.truth_stage import SWIFT, other_tag

DOWN, LIST = "em/files/downlink", "em/files/list"
GENERATIONS = ["seed", "pods"]  # bodies with their SHA-256, and raw ones


async def rewrite_at(sim: Simulator, endpoint: str, files: dict[str, bytes]) -> None:
    """A pod that rewrites `files` when the next call of `endpoint` arrives."""
    paused = sim.breakpoint(endpoint)
    await paused.wait_until_hit()
    write(sim.volume("client1"), files)
    paused.release()


async def sync_down(em: Client, into: Path) -> TransferReport:
    return await em.sync_down("", into)


# Sabotage: let one mismatch make the rule incompatible (`_FILES_TO_REFUTE = 1`; `tags.mismatch` for any difference).
@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("way", ["down", "plan", "up"])
async def test_a_file_rewritten_between_two_calls_does_not_blind_the_next_sync(
    tmp_path: Path, generation: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.01))
    into = tmp_path / "into"
    async with (
        Simulator(USERS, generation=generation) as sim,  # type: ignore[arg-type]
        connect(sim, settings=SWIFT) as em,
        anyio.create_task_group() as tasks,
    ):
        there = write(sim.volume("client1"), {"a.bin": b"A" * 1000})
        if way == "down":
            tasks.start_soon(rewrite_at, sim, DOWN, {"a.bin": b"B" * 1000})
            await em.downlink("a.bin", into=into)
        elif way == "plan":
            plan = await em.plan_downlink("a.bin")
            write(there, {"a.bin": b"B" * 1000})
            await em.apply(plan, into=into)
        else:
            source = write(tmp_path / "source", {"a.bin": b"A" * 1000})
            tasks.start_soon(rewrite_at, sim, LIST, {"a.bin": b"B" * 1000})
            await em.uplink(f"{source}/")
            write(into, {"a.bin": b"B" * 1000})
        write(there, {"a.bin": b"C" * 1000})
        report = await sync_down(em, into)
        assert report.ok
    assert tree(into) == {"a.bin": b"C" * 1000}


# Sabotage: `_MAX_PROBED_FILES = 1` and `_FILES_TO_REFUTE = 1`: the only file read is the one that was rewritten.
@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("with_journal", [False, True])
async def test_a_file_rewritten_before_it_is_read_for_proof_hides_no_change_of_others(
    tmp_path: Path, generation: str, way: str, with_journal: bool
) -> None:
    here = write(tmp_path / "here", {f"f{number}": b"O" * (100 + number) for number in range(5)})
    journal = tmp_path / "journal.db" if with_journal else None
    async with (
        Simulator(USERS, generation=generation) as sim,  # type: ignore[arg-type]
        connect(sim, settings=SWIFT) as em,
        anyio.create_task_group() as tasks,
    ):
        there = write(sim.volume("client1"), {f"f{number}": b"N" * (100 + number) for number in range(5)})
        tasks.start_soon(rewrite_at, sim, DOWN, {"f0": b"P" * 100})
        report = await (
            em.sync_up(here, "", journal=journal) if way == "up" else em.sync_down("", here, journal=journal)
        )
        assert report.ok
        assert tree(here) == tree(there)


# Sabotage: `_remote_change` returns None at once: what was verified at one moment is kept at another.
@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("how", ["downlink", "sync"])
async def test_a_file_that_changed_and_changed_back_is_fetched_again(tmp_path: Path, generation: str, how: str) -> None:
    into, journal = tmp_path / "into", tmp_path / "journal.db"
    async with Simulator(USERS, generation=generation) as sim:  # type: ignore[arg-type]
        there = write(sim.volume("client1"), {"status": b"idle"})
        async with connect(sim, settings=SWIFT) as em, anyio.create_task_group() as tasks:
            tasks.start_soon(rewrite_at, sim, DOWN, {"status": b"busy"})
            (await em.downlink("status", into=into, journal=journal)).raise_for_failures()
        assert tree(into) == {"status": b"busy"}
        write(there, {"status": b"idle"})
        async with connect(sim, settings=SWIFT) as em:
            again = em.downlink("status", into=into, journal=journal)
            report = await (again if how == "downlink" else em.sync_down("", into, journal=journal))
            assert [one.state for one in report.outcomes] == [OutcomeState.DONE]
    assert tree(into) == {"status": b"idle"}


# Sabotage: keep a file whose listed tag is as it was before the read (`lenient = True` in resume.py).
async def test_a_tag_that_was_listed_before_the_read_keeps_nothing_while_the_rule_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emasync.simulator.volume.tag_of_digest", other_tag(3))
    into, journal = tmp_path / "into", tmp_path / "journal.db"
    async with Simulator(USERS) as sim:
        write(sim.volume("client1"), {"status": b"idle"})
        for _ in range(2):  # one file alone never shows that the rule is another one
            async with connect(sim, settings=SWIFT) as em:
                report = await em.downlink("status", into=into, journal=journal)
                assert [one.state for one in report.outcomes] == [OutcomeState.DONE]
        async with connect(sim, settings=SWIFT) as em:
            report = await em.downlink("status", into=into, journal=journal, verify="size")
            assert [one.state for one in report.outcomes] == [OutcomeState.SKIPPED]


# Sabotage: let `_compare_tags` go by size at once while the rule is unknown: the wrong file on the EM counts as done.
async def test_an_uplink_whose_tag_differs_is_sent_once_more_and_then_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.01))
    monkeypatch.setattr("emasync.simulator.volume.tag_of_digest", other_tag(3))
    monkeypatch.setattr("emasync.transfer.verification._MAX_PROBED_BYTES", 4)  # nothing can be found out by reading
    source = write(tmp_path / "source", {"a.bin": b"content", "b.bin": b"content of b"})
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        report = await em.uplink(f"{source}/")
        assert [(one.state, one.verified, one.attempts) for one in report.outcomes] == [
            (OutcomeState.DONE, one.verified, 2) for one in report.outcomes
        ]
        assert {str(one.verified) for one in report.done} == {"size"}
        assert any("could not be found out" in note for note in report.notes)
        assert len(calls(sim, "em/files/uplink")) == 2


# Sabotage: leave `expected_size` out of `_read` in verification.
async def test_a_read_for_proof_is_bounded_by_the_listed_size(tmp_path: Path) -> None:
    here = write(tmp_path / "here", {"a.bin": b"O" * 100})
    async with Simulator(USERS, generation="pods") as sim, connect(sim, settings=SWIFT) as em:
        write(sim.volume("client1"), {"a.bin": b"N" * 100})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rewrite_at, sim, DOWN, {"a.bin": b"G" * 50_000_000})
            report = await em.sync_down("", here)
        assert report.ok
        assert calls(sim, DOWN)[0].bytes_out < 20_000_000
    assert (here / "a.bin").stat().st_size == 50_000_000


async def test_a_corrupted_body_of_a_raw_answer_is_fetched_again_while_nothing_is_known(tmp_path: Path) -> None:
    # Sabotage: take the first body for what it is where the rule is not confirmed.
    async with Simulator(USERS, generation="pods") as sim, connect(sim, settings=SWIFT) as em:
        there = write(sim.volume("client1"), {"a.bin": b"A" * 1000, "b.bin": b"B" * 999})
        sim.faults.add(Fault("corrupt_body", endpoint=DOWN, at=3), Fault("corrupt_body", endpoint=DOWN, at=5))
        report = await em.downlink([""], into=tmp_path / "into", workers=1)
        assert report.ok
        assert tree(tmp_path / "into") == tree(there)
