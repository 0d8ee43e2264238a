"""`em.uplink`: files, folders, names, limits and `overwrite`: what is stored where, in how many calls, and the report.

Faults are in `test_uplink_faults`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from emasync import (
    Client,
    Glob,
    Limits,
    NotFoundError,
    OutcomeState,
    TooLargeError,
    UnsafePathError,
    Verified,
)
from emasync.model import Overwrite, Verify
from emasync.simulator import Simulator
from emasync.transfer.events import Event, Forwarding, Planned, Progress, Settled
from tests.contract.stage import (
    ODD_NAMES,
    QUICK,
    Simulate,
    assert_outcome_is_true,
    calls,
    connect,
    sent_names,
    some_bytes,
    tree,
    write,
)

MIB = 1024 * 1024


async def test_files_and_folders_come_back_as_they_went(em: Client, folder: str, tmp_path: Path) -> None:
    files = {"a.bin": some_bytes(200_000), "src/b c.txt": b"b", "src/deep/er/ü.txt": b"u", "src/empty": b""}
    local = write(tmp_path / "up", files)
    up = await em.uplink([local / "a.bin", local / "src"], dest=folder)
    up.raise_for_failures()
    assert (up.ok, len(up.done), up.bytes) == (True, 4, 200_002)
    assert {outcome.path for outcome in up.done} == {f"{folder}/{name}" for name in files}

    down = await em.downlink(f"{folder}/", into=tmp_path / "down")
    down.raise_for_failures()
    assert tree(tmp_path / "down") == files


async def test_a_single_file_lands_under_its_name_and_is_verified(em: Client, sim: Simulator, tmp_path: Path) -> None:
    data = some_bytes(100_000)
    report = await em.uplink(write(tmp_path, {"a.bin": data}) / "a.bin", dest="/in/./here/")
    (outcome,) = report.outcomes
    assert (outcome.path, outcome.state, outcome.verified) == ("in/here/a.bin", OutcomeState.DONE, Verified.TAG)
    assert (outcome.attempts, outcome.error) == (1, None)
    assert outcome.sha256 == hashlib.sha256(data).hexdigest()
    assert_outcome_is_true(outcome, sim.volume("client1") / "in/here/a.bin")
    assert [request.path for request in sim.requests] == ["auth/", "em/files/uplink", "em/files/list"]


async def test_a_trailing_slash_means_the_contents(em: Client, sim: Simulator, tmp_path: Path) -> None:
    write(tmp_path, {"src/a": b"1", "src/sub/b": b"2"})
    (await em.uplink(f"{tmp_path}/src/", dest="x")).raise_for_failures()
    (await em.uplink(tmp_path / "src", dest="y")).raise_for_failures()
    assert tree(sim.volume("client1")) == {"x/a": b"1", "x/sub/b": b"2", "y/src/a": b"1", "y/src/sub/b": b"2"}


async def test_without_a_destination_files_land_in_the_root(em: Client, sim: Simulator, tmp_path: Path) -> None:
    (await em.uplink([write(tmp_path, {"a": b"1"}) / "a"])).raise_for_failures()
    assert tree(sim.volume("client1")) == {"a": b"1"}


async def test_odd_names_arrive_unchanged(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: multipart percent-encodes the file name (as the HTTP library's own form does).
    files = {name: name.encode() for name in ODD_NAMES}
    (await em.uplink(f"{write(tmp_path, files)}/", dest="ödd folder")).raise_for_failures()
    assert tree(sim.volume("client1")) == {f"ödd folder/{name}": data for name, data in files.items()}


async def test_a_name_that_would_not_arrive_is_refused_and_the_others_go(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    # Sabotage: packing does not ask multipart.name_problem.
    write(tmp_path, {"a&amp;b.txt": b"1", "line\nbreak": b"2", "good": b"3"})
    report = await em.uplink(f"{tmp_path}/")
    assert tree(sim.volume("client1")) == {"good": b"3"}
    assert [outcome.path for outcome in report.done] == ["good"]
    assert len(report.failed) == 2
    assert all(isinstance(outcome.error, UnsafePathError) for outcome in report.failed)


async def test_what_is_no_file_is_refused_and_the_others_go(em: Client, sim: Simulator, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    report = await em.uplink(
        [tmp_path / "pipe", tmp_path / "dangling", tmp_path / "missing", write(tmp_path, {"good": b"1"}) / "good"]
    )
    assert [outcome.path for outcome in report.done] == ["good"]
    assert len(report.failed) == 3
    assert any(isinstance(outcome.error, NotFoundError) for outcome in report.failed)
    with pytest.raises(Exception, match=r"pipe|dangling|missing") as caught:
        report.raise_for_failures()
    assert len(caught.value.__notes__) == 2


async def test_nothing_to_send_sends_nothing(em: Client, sim: Simulator, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = await em.uplink(tmp_path / "empty")
    assert (report.ok, report.outcomes) == (True, ())
    assert calls(sim, "em/files/uplink") == []


async def test_many_files_of_one_folder_take_as_few_calls_as_can_be(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: packing ignores limits.uplink_files (the server answers a bare 400 and the calls are split).
    files = {f"many/f{number:03}.txt": b"%d" % number for number in range(250)}
    report = await em.uplink(write(tmp_path, files) / "many")
    assert len(report.done) == 250
    assert tree(sim.volume("client1")) == files
    assert [request.status for request in calls(sim, "em/files/uplink")] == [200, 200, 200]
    assert len(calls(sim, "em/files/list")) == 1


async def test_a_server_that_takes_fewer_files_gets_smaller_calls(simulate: Simulate, tmp_path: Path) -> None:
    # Sabotage: UplinkRequestSender._failed does not look at _too_many: a bare 400 is final.
    files = {f"f{number:03}": b"%d" % number for number in range(60)}
    async with simulate(uplink_files=20) as sim, connect(sim) as em:
        report = await em.uplink(f"{write(tmp_path, files)}/")
        assert len(report.done) == 60
        assert tree(sim.volume("client1")) == files


async def test_a_server_that_takes_fewer_bytes_gets_smaller_calls(simulate: Simulate, tmp_path: Path) -> None:
    # Sabotage: UplinkRequestSender._failed does not look at _too_many: a TooLargeError is final.
    files = {f"f{number}": some_bytes(300_000, seed=number) for number in range(6)}
    async with simulate(uplink_limit=MIB) as sim, connect(sim) as em:
        report = await em.uplink(f"{write(tmp_path, files)}/")
        report.raise_for_failures()
        assert tree(sim.volume("client1")) == files


async def test_the_clients_own_limit_is_kept_and_a_file_above_it_is_refused_unsent(
    simulate: Simulate, tmp_path: Path
) -> None:
    # Sabotage: packing compares files with the limit after, and not before, it has made a call of them.
    files = {f"f{number}": some_bytes(300_000, seed=number) for number in range(6)}
    settings = replace(QUICK, limits=Limits(uplink_call=MIB))
    async with simulate(uplink_limit=MIB) as sim, connect(sim, settings=settings) as em:
        report = await em.uplink(f"{write(tmp_path, files | {'huge': some_bytes(2 * MIB)})}/")
        assert tree(sim.volume("client1")) == files
        assert [request.status for request in calls(sim, "em/files/uplink")] == [200, 200]
        (failed,) = report.failed
        assert isinstance(failed.error, TooLargeError)
        assert failed.path == "huge"


@pytest.mark.parametrize(
    ("overwrite", "state", "kept"),
    [
        ("replace", OutcomeState.DONE, b"new"),
        ("skip", OutcomeState.SKIPPED, b"old"),
        ("error", OutcomeState.FAILED, b"old"),
    ],
)
async def test_an_existing_file_is_treated_as_overwrite_says(
    em: Client, sim: Simulator, tmp_path: Path, overwrite: Overwrite, state: OutcomeState, kept: bytes
) -> None:
    # Sabotage: engine.uplink ignores `overwrite` and sends every file.
    write(sim.volume("client1"), {"x/a": b"old"})
    report = await em.uplink(f"{write(tmp_path, {'a': b'new', 'b': b'2'})}/", dest="x", overwrite=overwrite)
    states = {outcome.path: outcome.state for outcome in report.outcomes}
    assert states == {"x/a": state, "x/b": OutcomeState.DONE}
    assert tree(sim.volume("client1")) == {"x/a": kept, "x/b": b"2"}
    assert report.ok is (overwrite != "error")
    assert all(outcome.reason for outcome in report.skipped)
    assert all(isinstance(outcome.error, FileExistsError) for outcome in report.failed)


@pytest.mark.parametrize(
    ("verify", "how", "listings"),
    [("none", Verified.COUNT, 0), ("size", Verified.SIZE, 1), ("content", Verified.TAG, 1)],
)
async def test_the_report_says_how_much_was_proved(
    em: Client, sim: Simulator, tmp_path: Path, verify: Verify, how: Verified, listings: int
) -> None:
    report = await em.uplink(f"{write(tmp_path, {'a': b'1', 'b': b'2'})}/", verify=verify)
    assert [outcome.verified for outcome in report.done] == [how, how]
    assert len(calls(sim, "em/files/list")) == listings


async def test_patterns_choose_what_is_sent(em: Client, sim: Simulator, tmp_path: Path) -> None:
    write(tmp_path, {"a.py": b"1", "b.log": b"2", "sub/c.py": b"3", "skip/d.py": b"4"})
    (await em.uplink(f"{tmp_path}/", include=["*.py"], exclude=["skip/"])).raise_for_failures()
    assert tree(sim.volume("client1")) == {"a.py": b"1", "sub/c.py": b"3"}


async def test_events_tell_the_plan_the_two_phases_and_every_end(em: Client, sim: Simulator, tmp_path: Path) -> None:
    events: list[Event] = []
    files = {"a": some_bytes(3 * MIB), "b": b"2"}
    report = await em.uplink(f"{write(tmp_path, files)}/", on_event=events.append)

    assert isinstance(events[0], Planned)
    assert (events[0].files, events[0].bytes, events[0].calls) == (2, 3 * MIB + 1, 1)
    steps = [event.bytes for event in events if isinstance(event, Progress) and event.path == "a"]
    assert steps == sorted(steps)
    assert steps[-1] == 3 * MIB
    assert [event.bytes for event in events if isinstance(event, Forwarding)] == [3 * MIB + 1]
    assert [event.outcome for event in events if isinstance(event, Settled)] == list(report.outcomes)
    assert report.requests >= 2


async def test_outcomes_can_be_walked_through_as_they_settle(em: Client, sim: Simulator, tmp_path: Path) -> None:
    files = {f"d{number}/f": b"%d" % number for number in range(12)}
    async with em.uplink(f"{write(tmp_path, files)}/", workers=3) as transfer:
        seen = [outcome async for outcome in transfer]
    assert {outcome.path for outcome in seen} == set(files)
    assert transfer.report.outcomes == tuple(seen)
    assert sorted(sent_names(sim)) == sorted(files)


async def test_an_uplink_left_early_ends_at_once_and_keeps_what_it_knows(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    # Sabotage: Transfer._running does not cancel its tasks (the breakpoint would pause the test for ever).
    paused = sim.breakpoint("em/files/uplink")
    async with em.uplink(f"{write(tmp_path, {'a': some_bytes(MIB)})}/") as transfer:
        await paused.wait_until_hit()
    assert transfer.report.outcomes == ()
    paused.release()
    assert not await em.files.list()


async def test_a_transfer_runs_once(em: Client, sim: Simulator, tmp_path: Path) -> None:
    transfer = em.uplink(write(tmp_path, {"a": b"1"}) / "a")
    await transfer
    with pytest.raises(RuntimeError, match="runs once"):
        await transfer


async def test_senseless_keywords_are_value_errors(em: Client, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="overwrite"):
        em.uplink(tmp_path, overwrite="perhaps")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="verify"):
        em.uplink(tmp_path, verify="twice")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="workers"):
        em.uplink(tmp_path, workers=0)


async def test_brackets_in_a_source_are_the_file_s_own_and_a_glob_is_a_pattern(
    em: Client, sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sabotage: hand a Glob's text to `walk.source` in scan, or `wildcards = "*?["` for a str too in PathPattern.of.
    monkeypatch.chdir(write(tmp_path / "up", {"run[1].log": b"[1]", "run1.log": b"1", "d[1]/a.log": b"a"}))
    (await em.uplink("run[1].log", dest="plain")).raise_for_failures()
    (await em.uplink(Glob("run[1].log"), dest="glob")).raise_for_failures()
    (await em.uplink(["d[1]/*.log", Path("run1.log")], dest="many")).raise_for_failures()
    plan = await em.plan_uplink([Glob("run?.log"), "run?.log"])

    assert tree(sim.volume("client1")) == {
        "plain/run[1].log": b"[1]",
        "glob/run1.log": b"1",
        "many/a.log": b"a",
        "many/run1.log": b"1",
    }
    assert [item.remote for item in plan.items] == ["run1.log"]
    assert [type(file.error) for file in plan.refused] == [NotFoundError]


@pytest.mark.parametrize("local", ["data*", "data*/", "data[1]"])
async def test_a_sync_never_takes_another_folder_for_the_one_that_is_named(
    em: Client, sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: str
) -> None:
    # Sabotage: drop `literal=True` in scan_folder: then "data1" goes up in its place, and what is there is deleted.
    monkeypatch.chdir(write(tmp_path / "up", {"data1/x": b"x"}))
    write(sim.volume("client1"), {"there/precious": b"p"})
    with pytest.raises(NotFoundError):
        await em.sync_up(local, "there", delete=True, allow_empty_source=True)

    assert tree(sim.volume("client1")) == {"there/precious": b"p"}
