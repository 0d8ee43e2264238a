"""`em.downlink` when bytes are wrong or missing: a final name holds the right file, or nothing new at all.

Faults of single downlinks, in both forms of the response.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from emasync import Client, EMError, IntegrityError, NotFoundError, OutcomeState, RetryPolicy, ServerError, Verified
from emasync.simulator import Fault, Simulator
from tests.contract.stage import QUICK, Simulate, assert_outcome_is_true, calls, connect, some_bytes, tree, write

DOWN = "em/files/downlink"
DATA = some_bytes(400_000)


async def fetch(em: Client, sim: Simulator, tmp_path: Path) -> int:
    """Downlink one file, which must arrive unchanged; returns how many requests that took."""
    volume = write(sim.volume("client1"), {"a.bin": DATA})
    report = await em.downlink("a.bin", into=tmp_path / "into")
    report.raise_for_failures()
    assert tree(tmp_path / "into") == {"a.bin": DATA}
    (outcome,) = report.outcomes
    assert_outcome_is_true(outcome, volume / "a.bin")
    assert outcome.verified in (Verified.SHA256, Verified.TAG)
    return len(calls(sim, DOWN))


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut_body", endpoint=DOWN),
        Fault("cut_body", endpoint=DOWN, at=10),
        Fault("reset", endpoint=DOWN),
        Fault("reset", endpoint=DOWN, at=100_000),
        Fault("commit_then_drop", endpoint=DOWN),
        Fault("error_500", endpoint=DOWN),
        Fault("html_502", endpoint=DOWN),
    ],
    ids=["cut", "cut at once", "reset", "reset in the body", "no answer", "500", "502 of a proxy"],
)
async def test_a_downlink_that_broke_off_is_made_again(
    em: Client, sim: Simulator, tmp_path: Path, fault: Fault
) -> None:
    # Sabotage: Response.receive takes the end of the connection for the end of the body.
    sim.faults.add(fault)
    assert await fetch(em, sim, tmp_path) == 2


@pytest.mark.parametrize("kind", ["reset", "commit_then_drop"])
async def test_every_request_that_was_sent_is_counted(em: Client, sim: Simulator, tmp_path: Path, kind: str) -> None:
    # Sabotage: Transport leaves the session's `_retry_connection` on: aiohttp then sends the GET again by itself.
    sim.faults.add(Fault(kind, endpoint=DOWN))  # type: ignore[arg-type]
    write(sim.volume("client1"), {"a.bin": DATA})
    report = await em.downlink("a.bin", into=tmp_path / "into")
    assert report.outcomes[0].attempts == len(calls(sim, DOWN)) == 2


@pytest.mark.parametrize("at", [0, 399_999, None])
async def test_a_wrong_byte_is_never_kept(em: Client, sim: Simulator, tmp_path: Path, at: int | None) -> None:
    # Sabotage: wire.downlink.verify compares neither SHA-256 nor tag.
    sim.faults.add(Fault("corrupt_body", endpoint=DOWN, at=at))
    assert await fetch(em, sim, tmp_path) == 2


async def test_two_wrong_bytes_one_after_the_other_are_not_too_many(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: `_TRIES = 2` in fetch: raw answers, which only a listing proves wrong, get less patience than others.
    sim.faults.add(Fault("corrupt_body", endpoint=DOWN, at=0))
    sim.faults.add(Fault("corrupt_body", endpoint=DOWN, at=7))
    assert await fetch(em, sim, tmp_path) == 3


@pytest.mark.parametrize("kind", ["wrong_hash", "wrong_size", "html_200"])
async def test_an_envelope_that_contradicts_itself_is_fetched_again(
    simulate: Simulate, tmp_path: Path, kind: str
) -> None:
    # Sabotage: wire.downlink.verify leaves out the answer's own SHA-256 (or size; open_decoder takes a page).
    fault = Fault(kind, endpoint=DOWN)  # type: ignore[arg-type]
    async with simulate(downlink_form="json", faults=[fault]) as sim, connect(sim) as em:
        assert await fetch(em, sim, tmp_path) == 2


async def test_a_page_instead_of_the_raw_bytes_is_fetched_again(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: open_decoder takes a text/html answer for a raw stream.
    sim.faults.add(Fault("html_200", endpoint=DOWN))
    assert await fetch(em, sim, tmp_path) == 2


@pytest.mark.parametrize("old", [None, b"the file as it was"])
@pytest.mark.parametrize("kind", ["wrong_hash", "wrong_size", "corrupt_body"])
async def test_a_file_that_is_wrong_for_ever_fails_and_the_old_one_stays(
    simulate: Simulate, tmp_path: Path, kind: str, old: bytes | None
) -> None:
    # Sabotage: FileDownlink commits before it verifies; or retry.decide never stops for an IntegrityError.
    fault = Fault(kind, endpoint=DOWN, times=None)  # type: ignore[arg-type]
    into = write(tmp_path / "into", {} if old is None else {"a.bin": old})
    async with simulate(downlink_form="json", faults=[fault]) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": DATA})
        report = await em.downlink("a.bin", into=into)
        (failed,) = report.outcomes
        assert failed.state is OutcomeState.FAILED
        assert isinstance(failed.error, IntegrityError)
        assert failed.error.expected != failed.error.actual
        assert (failed.bytes, failed.sha256) == (0, None)
        assert len(calls(sim, DOWN)) <= 3
    assert tree(into) == ({} if old is None else {"a.bin": old})


async def test_a_raw_file_that_is_wrong_for_ever_fails_once_the_servers_tags_are_proven(
    simulate: Simulate, tmp_path: Path
) -> None:
    # Sabotage: FileDownlink._settle_mismatch returns Verified.SIZE whatever is known of the tags.
    async with simulate(downlink_form="raw") as sim, connect(sim) as em:
        write(sim.volume("client1"), {"good": b"right", "a.bin": DATA})
        (await em.downlink("good", into=tmp_path / "into")).raise_for_failures()
        sim.faults.add(Fault("corrupt_body", endpoint=DOWN, times=None))
        report = await em.downlink("a.bin", into=tmp_path / "into")
        (failed,) = report.failed
        assert isinstance(failed.error, IntegrityError)
    assert tree(tmp_path / "into") == {"good": b"right"}


async def test_on_a_server_with_other_content_tags_a_raw_file_is_never_called_done_for_its_bytes_alone(
    simulate: Simulate, tmp_path: Path
) -> None:
    # Sabotage: take bytes without a checksum for certain in `probe_tags` and `_settle_mismatch`: bodies that a proxy
    # spoils, each in the same way, are called done.
    lies = Fault("wrong_hash", endpoint="em/files/list", times=None)
    files = {"a.bin": DATA, "b.bin": b"another file"}
    async with simulate(downlink_form="raw", faults=[lies]) as sim, connect(sim) as em:
        write(sim.volume("client1"), files)
        report = await em.downlink(["a.bin", "b.bin"], into=tmp_path / "into")
        assert [outcome.state for outcome in report.outcomes] == [OutcomeState.FAILED] * 2
        assert "verify='size'" in str(report.failed[0].error)
        report = await em.downlink(["a.bin", "b.bin"], into=tmp_path / "into", verify="size")
        assert [outcome.verified for outcome in report.done] == [Verified.SIZE] * 2
    assert tree(tmp_path / "into") == files


async def test_what_was_sent_and_reads_back_alike_shows_that_the_servers_tags_follow_another_rule(
    simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sabotage: leave `sent=samples.sent` out of `Uplink._learn_tags`.
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.01))
    lies = Fault("wrong_hash", endpoint="em/files/list", times=None)
    files = {"a.bin": DATA, "b.bin": b"another file"}
    source = write(tmp_path / "source", files)
    async with simulate(downlink_form="raw", faults=[lies]) as sim, connect(sim) as em:
        report = await em.uplink(f"{source}/")
        assert [outcome.verified for outcome in report.done] == [Verified.SIZE] * 2
        report = await em.downlink(["a.bin", "b.bin"], into=tmp_path / "into")
        assert [outcome.verified for outcome in report.done] == [Verified.SIZE] * 2
    assert tree(tmp_path / "into") == files


async def test_a_server_that_spoils_every_body_alike_makes_no_file_done(simulate: Simulate, tmp_path: Path) -> None:
    # Sabotage: as above.
    spoiled = Fault("corrupt_body", endpoint=DOWN, at=0, times=None)
    async with simulate(downlink_form="raw", faults=[spoiled]) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": DATA, "b.bin": b"another file", "c.bin": b"third"})
        report = await em.downlink([""], into=tmp_path / "into")
        assert [outcome.state for outcome in report.outcomes] == [OutcomeState.FAILED] * 3
    assert tree(tmp_path / "into") == {}


async def test_a_listing_with_a_wrong_size_never_makes_a_wrong_file(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: Fetch stops reading at the listed size.
    sim.faults.add(Fault("wrong_size", endpoint="em/files/list"))
    write(sim.volume("client1"), {"a.bin": DATA})
    report = await em.downlink("a.bin", into=tmp_path / "into")
    report.raise_for_failures()
    assert tree(tmp_path / "into") == {"a.bin": DATA}


async def test_a_body_that_runs_far_past_its_listed_size_is_cut_off_and_listed_anew(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    # Sabotage: FileContent.receive compares with no bound.
    grown = some_bytes(30_000_000)
    volume = write(sim.volume("client1"), {"a.bin": b"small"})
    paused = sim.breakpoint(DOWN)
    async with em.downlink("a.bin", into=tmp_path / "into", verify="size") as transfer:
        await paused.wait_until_hit()
        write(volume, {"a.bin": grown})
        paused.release()
        outcomes = [outcome async for outcome in transfer]
    assert [outcome.state for outcome in outcomes] == [OutcomeState.DONE]
    assert calls(sim, DOWN)[0].bytes_out < 30_000_000 <= calls(sim, DOWN)[-1].bytes_out
    assert tree(tmp_path / "into") == {"a.bin": grown}


async def test_a_file_that_changed_after_the_listing_is_taken_as_it_is_now(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    # Sabotage: Fetch._fetch does not list again.
    volume = write(sim.volume("client1"), {"a.bin": b"as it was"})
    paused = sim.breakpoint(DOWN)
    async with em.downlink("a.bin", into=tmp_path / "into") as transfer:
        await paused.wait_until_hit()
        write(volume, {"a.bin": b"as it is now, and longer"})
        paused.release()
        outcomes = [outcome async for outcome in transfer]
    assert [(outcome.state, outcome.error) for outcome in outcomes] == [(OutcomeState.DONE, None)]
    assert tree(tmp_path / "into") == {"a.bin": b"as it is now, and longer"}


async def test_a_file_deleted_after_the_listing_fails_alone(em: Client, sim: Simulator, tmp_path: Path) -> None:
    volume = write(sim.volume("client1"), {"gone": b"of larger size", "stays": b"2"})
    paused = sim.breakpoint("em/files/list", at="answer")
    async with em.downlink("/", into=tmp_path / "into") as transfer:
        await paused.wait_until_hit()
        (volume / "gone").unlink()
        paused.release()
        outcomes = {str(outcome.path): outcome async for outcome in transfer}
    assert isinstance(outcomes["gone"].error, NotFoundError)
    assert outcomes["stays"].state is OutcomeState.DONE
    assert tree(tmp_path / "into") == {"stays": b"2"}


async def test_a_server_that_fails_for_ever_is_asked_three_times(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: retry.decide counts a 500 against the retries for lost connections.
    sim.faults.add(Fault("error_500", endpoint=DOWN, times=None))
    write(sim.volume("client1"), {"a.bin": DATA})
    report = await em.downlink("a.bin", into=tmp_path / "into")
    (failed,) = report.failed
    assert isinstance(failed.error, ServerError)
    assert len(calls(sim, DOWN)) == failed.attempts == 3
    assert tree(tmp_path / "into") == {}


async def test_a_redirect_is_not_followed(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: Transport._request passes allow_redirects=True.
    sim.faults.add(Fault("redirect", endpoint=DOWN, location=f"{sim.url}em/files/list"))
    write(sim.volume("client1"), {"a.bin": DATA})
    report = await em.downlink("a.bin", into=tmp_path / "into")
    assert "redirects (302)" in str(report.failed[0].error)
    assert [request.path for request in sim.requests].count("em/files/list") == 1


async def test_faults_of_every_kind_among_many_files_lose_none(simulate: Simulate, tmp_path: Path) -> None:
    # Sabotage: any of those above; or TransferRun.fetch records a file twice, or not at all.
    kinds = ["cut_body", "corrupt_body", "reset", "error_500", "html_502", "html_200", "unauthorized_before"]
    files = {f"d{number % 4}/f{number:02}": some_bytes(5000 + number, seed=number) for number in range(40)}
    faults = [Fault(kind, endpoint=DOWN, after=4 * number) for number, kind in enumerate(kinds)]  # type: ignore[arg-type]
    async with simulate(faults=faults) as sim, connect(sim) as em:
        write(sim.volume("client1"), files)
        report = await em.downlink("/", into=tmp_path / "into", workers=6)
        report.raise_for_failures()
        assert sorted(outcome.path for outcome in report.outcomes) == sorted(files)
        assert tree(tmp_path / "into") == files
        assert len(calls(sim, DOWN)) <= len(files) + 2 * len(kinds)


async def test_every_error_of_a_transfer_is_an_em_error_with_its_call(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    sim.faults.add(Fault("html_502", endpoint=DOWN, times=None))
    write(sim.volume("client1"), {"a.bin": DATA})
    report = await em.downlink("a.bin", into=tmp_path / "into")
    error = report.failed[0].error
    assert isinstance(error, EMError)
    assert (error.call, error.status) == ("GET em/files/downlink", 502)
    assert "502 Bad Gateway" in str(error)


# Sabotage: `Client` gives its RequestPipeline `anyio.sleep`: the second file waits for the first one's backoff.
async def test_a_file_that_waits_to_be_tried_again_holds_up_no_other(simulate: Simulate, tmp_path: Path) -> None:
    patient = replace(QUICK, retry=RetryPolicy(base_s=0.4, cap_s=0.4))
    reset = Fault("reset", endpoint="em/files/downlink")
    async with simulate(faults=[reset]) as sim, connect(sim, settings=patient) as em:
        em._pipeline._rand = lambda: 0.99
        write(sim.volume("client1"), {"first": b"12", "second": b"1"})
        async with em.downlink("/", into=tmp_path / "into", workers=1) as transfer:
            ended = [str(outcome.path) async for outcome in transfer]
    assert ended == ["second", "first"]
