"""`em.downlink`: which files are selected, where they are saved, `overwrite`, and hostile names.

The server's bytes are right here; wrong bytes are in `test_downlink_faults`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from emasync import Client, Glob, NotFoundError, OutcomeState, UnsafePathError, Verified
from emasync.model import Overwrite, Verify
from emasync.simulator import Fault, Simulator
from emasync.transfer.events import Event, Planned, Progress, Settled
from tests.contract.stage import ODD_NAMES, Simulate, assert_outcome_is_true, calls, connect, some_bytes, tree, write

VOLUME = {
    "Dockerfile": b"FROM alpine\n",
    "run.log": b"log",
    "results/a.bin": some_bytes(300_000),
    "results/deep/b c.txt": b"b",
    "results/deep/empty": b"",
    "logs/one.log": b"1",
    "logs/two.log": b"2",
    "logs/old/three.log": b"3",
}


@pytest.fixture
def volume(sim: Simulator) -> Path:
    """The volume, with files in it."""
    return write(sim.volume("client1"), VOLUME)


@pytest.fixture
def into(tmp_path: Path) -> Iterator[Path]:
    """A destination that does not exist yet, in a folder whose other content must not change."""
    around = write(tmp_path / "around", {"canary": b"tweet", "x": b"do not touch", "etc/x": b"nor this"})
    yield around / "into"
    found = {name: data for name, data in tree(around).items() if not name.startswith("into/")}
    assert found == {"canary": b"tweet", "x": b"do not touch", "etc/x": b"nor this"}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/Dockerfile"], {"Dockerfile": "Dockerfile"}),
        (["results/deep/b c.txt"], {"b c.txt": "results/deep/b c.txt"}),
        (
            ["results"],
            {
                "results/a.bin": "results/a.bin",
                "results/deep/b c.txt": "results/deep/b c.txt",
                "results/deep/empty": "results/deep/empty",
            },
        ),
        (
            ["./results/"],
            {"a.bin": "results/a.bin", "deep/b c.txt": "results/deep/b c.txt", "deep/empty": "results/deep/empty"},
        ),
        (["*.log"], {"run.log": "run.log"}),
        (["logs/*.log"], {"one.log": "logs/one.log", "two.log": "logs/two.log"}),
        (
            ["logs/**/*.log"],
            {"one.log": "logs/one.log", "two.log": "logs/two.log", "old/three.log": "logs/old/three.log"},
        ),
        (["/"], {name: name for name in VOLUME}),
        (["results/deep", "results/deep/", "Dockerfile", "Dockerfile"], None),
    ],
    ids=["file", "file in a folder", "folder", "contents", "glob", "glob in a folder", "deep glob", "all", "overlap"],
)
async def test_a_selection_lands_where_it_should(
    em: Client, sim: Simulator, volume: Path, into: Path, paths: list[str], expected: dict[str, str] | None
) -> None:
    report = await em.downlink(paths, into=into)
    report.raise_for_failures()
    if expected is None:  # each file once, under the name that came first
        expected = {
            "deep/b c.txt": "results/deep/b c.txt",
            "deep/empty": "results/deep/empty",
            "Dockerfile": "Dockerfile",
        }
    assert tree(into) == {local: VOLUME[remote] for local, remote in expected.items()}
    assert len(calls(sim, "em/files/downlink")) == len(report.done) == len(expected)
    assert len(calls(sim, "em/files/list")) == 1
    for outcome in report.done:
        assert_outcome_is_true(outcome, volume / outcome.path)


async def test_the_report_has_size_hash_and_verification(
    em: Client, sim: Simulator, volume: Path, into: Path, generation: str
) -> None:
    report = await em.downlink("results/a.bin", into=into)
    (outcome,) = report.outcomes
    data = VOLUME["results/a.bin"]
    assert (outcome.path, outcome.local) == ("results/a.bin", into / "a.bin")
    assert (outcome.state, outcome.bytes, outcome.attempts) == (OutcomeState.DONE, len(data), 1)
    assert outcome.sha256 == hashlib.sha256(data).hexdigest()
    assert outcome.verified is (Verified.SHA256 if generation == "seed" else Verified.TAG)
    assert (report.ok, report.bytes) == (True, len(data))
    assert report.requests >= 2


async def test_a_big_file_comes_down_whole(em: Client, sim: Simulator, into: Path) -> None:
    write(sim.volume("client1"), {"big.bin": some_bytes(20 * 1024 * 1024)})
    (await em.downlink("big.bin", into=into)).raise_for_failures()
    assert (into / "big.bin").read_bytes() == some_bytes(20 * 1024 * 1024)


async def test_odd_names_come_down_unchanged(em: Client, sim: Simulator, into: Path) -> None:
    files = {f"ödd folder/{name}": name.encode() for name in ODD_NAMES}
    write(sim.volume("client1"), files)
    (await em.downlink("ödd folder", into=into)).raise_for_failures()
    assert tree(into) == files


async def test_a_missing_file_fails_alone(em: Client, sim: Simulator, volume: Path, into: Path) -> None:
    report = await em.downlink(["ghost", "*.none", "run.log"], into=into)
    assert [outcome.path for outcome in report.done] == ["run.log"]
    assert [outcome.path for outcome in report.failed] == ["ghost", "*.none"]
    assert all(isinstance(outcome.error, NotFoundError) for outcome in report.failed)
    with pytest.raises(NotFoundError, match="ghost"):
        report.raise_for_failures()
    assert tree(into) == {"run.log": b"log"}


@pytest.mark.parametrize(
    ("overwrite", "state", "kept"),
    [
        ("replace", OutcomeState.DONE, b"log"),
        ("skip", OutcomeState.SKIPPED, b"mine"),
        ("error", OutcomeState.FAILED, b"mine"),
    ],
)
async def test_an_existing_file_is_treated_as_overwrite_says(
    em: Client, sim: Simulator, volume: Path, into: Path, overwrite: Overwrite, state: OutcomeState, kept: bytes
) -> None:
    # Sabotage: FileDownlink.run does not call `_there`, and the writer renames over any file.
    write(into, {"run.log": b"mine", "other": b"stays"})
    report = await em.downlink(["run.log", "logs/one.log"], into=into, overwrite=overwrite)
    states = {outcome.path: outcome.state for outcome in report.outcomes}
    assert states == {"run.log": state, "logs/one.log": OutcomeState.DONE}
    assert tree(into) == {"run.log": kept, "other": b"stays", "one.log": b"1"}
    assert len(calls(sim, "em/files/downlink")) == (2 if overwrite == "replace" else 1)


@pytest.mark.parametrize("overwrite", ["skip", "error"])
async def test_a_file_that_appears_meanwhile_is_not_replaced(
    em: Client, sim: Simulator, volume: Path, into: Path, overwrite: Overwrite
) -> None:
    # Sabotage: AtomicFile.publish uses os.replace whatever `overwrite` says.
    paused = sim.breakpoint("em/files/downlink")
    async with anyio.create_task_group() as tasks:

        async def be_quicker() -> None:
            await paused.wait_until_hit()
            write(into, {"run.log": b"mine"})
            paused.release()

        tasks.start_soon(be_quicker)
        report = await em.downlink("run.log", into=into, overwrite=overwrite)
    assert not report.done
    assert tree(into) == {"run.log": b"mine"}


@pytest.mark.parametrize(
    "hostile",
    [
        "../../x",
        "../x",
        "/etc/x",
        "a\\b",
        "..\\x",
        "..%2fx",
        "%2e%2e%2fx",
        "x\x1b[2J",
        "x\ny",
        "",
        ".",
        "..",
        "C:x",
        "é/../x",
    ],
)
async def test_a_name_the_server_sends_is_never_a_path(simulate: Simulate, into: Path, hostile: str) -> None:
    # Sabotage: FileDownlink renames what it committed to `into / facts.filename`, as the vendor's script does.
    async with simulate() as sim, connect(sim) as em:
        write(sim.volume("client1"), VOLUME)
        sim.downlink_filename = hostile
        report = await em.downlink("/results/a.bin", into=into)
        report.raise_for_failures()
        assert tree(into) == {"a.bin": VOLUME["results/a.bin"]}
        assert await em.files.read("run.log") == b"log"


@pytest.mark.parametrize(
    "name", ["a\\b", "bell\x07", "tab\there", "C:x", "nul.txt", "trailing.", "\u202egnp.exe", ".emasync-1"]
)
async def test_a_listed_name_that_must_not_become_a_file_is_refused_and_the_others_come(
    em: Client, sim: Simulator, into: Path, name: str
) -> None:
    # Sabotage: selection._landing does not ask disk.names.
    write(sim.volume("client1"), {f"in/{name}": b"1", "in/good": b"2"})
    report = await em.downlink("in/", into=into)
    assert tree(into) == {"good": b"2"}
    (failed,) = report.failed
    assert isinstance(failed.error, UnsafePathError)
    assert "\x07" not in str(failed.error)


async def test_names_that_a_file_system_may_take_for_one_never_overwrite_each_other(
    em: Client, sim: Simulator, into: Path
) -> None:
    # Sabotage: selection._landing compares the paths and not their case_fold_key.
    write(sim.volume("client1"), {"in/Readme": b"1", "in/README": b"2", "in/e\u0301": b"3", "in/\u00e9": b"4"})
    report = await em.downlink("in/", into=into)
    assert (len(report.done), len(report.failed)) == (2, 2)
    assert len(tree(into)) == 2


@pytest.mark.parametrize("planted", ["the file", "its folder"])
async def test_a_link_planted_in_the_destination_is_not_followed(
    em: Client, sim: Simulator, volume: Path, into: Path, tmp_path: Path, planted: str
) -> None:
    # Sabotage: Target opens its folders without O_NOFOLLOW; or publish opens the final name instead of renaming.
    outside = write(tmp_path / "outside", {"one.log": b"precious"})
    into.mkdir()
    link = into / "logs" if planted == "its folder" else into / "logs/one.log"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside if planted == "its folder" else outside / "one.log")
    report = await em.downlink("logs", into=into)
    assert tree(outside) == {"one.log": b"precious"}
    if planted == "its folder":
        assert all(isinstance(outcome.error, UnsafePathError | OSError) for outcome in report.failed)
        assert len(report.failed) == 3
    else:
        report.raise_for_failures()
        assert (into / "logs/one.log").read_bytes() == b"1"


async def test_a_destination_that_is_a_file_fails_every_file_and_leaves_it_alone(
    em: Client, sim: Simulator, volume: Path, into: Path
) -> None:
    into.write_bytes(b"a file")
    report = await em.downlink("logs/", into=into)
    assert (len(report.failed), len(report.outcomes)) == (3, 3)
    assert into.read_bytes() == b"a file"
    into.unlink()


@pytest.mark.parametrize("verify", ["none", "size", "content"])
async def test_the_report_says_how_much_was_proved(
    em: Client, sim: Simulator, volume: Path, into: Path, verify: Verify, generation: str
) -> None:
    report = await em.downlink("logs/", into=into, verify=verify)
    best = Verified.SHA256 if generation == "seed" else Verified.TAG
    assert {outcome.verified for outcome in report.done} == {
        {"none": Verified.NONE, "size": Verified.SIZE, "content": best}[verify]
    }


async def test_patterns_choose_what_comes(em: Client, sim: Simulator, volume: Path, into: Path) -> None:
    (await em.downlink("/", into=into, include=["*.log"], exclude=["old/"])).raise_for_failures()
    assert set(tree(into)) == {"run.log", "logs/one.log", "logs/two.log"}


async def test_outcomes_and_events_come_as_files_settle(em: Client, sim: Simulator, volume: Path, into: Path) -> None:
    events: list[Event] = []
    async with em.downlink("/", into=into, workers=3, on_event=events.append) as transfer:
        seen = [outcome async for outcome in transfer]
    assert {outcome.path for outcome in seen} == set(VOLUME)
    assert transfer.report.outcomes == tuple(seen)
    planned = [event for event in events if isinstance(event, Planned)]
    assert [(event.files, event.bytes) for event in planned] == [(len(VOLUME), sum(map(len, VOLUME.values())))]
    assert [event.outcome for event in events if isinstance(event, Settled)] == seen
    assert max(event.bytes for event in events if isinstance(event, Progress)) == 300_000


async def test_a_downlink_left_early_leaves_only_whole_files(
    em: Client, sim: Simulator, volume: Path, into: Path
) -> None:
    # Sabotage: open_writer does not discard its temporary file (the check for `.emasync-*` after each test fails).
    paused = sim.breakpoint("em/files/downlink", at="body")
    write(volume, {"results/big.bin": some_bytes(8_000_000)})
    async with em.downlink("results", into=into) as transfer:
        await paused.wait_until_hit(1)
    assert set(tree(into)) <= {"results/deep/b c.txt", "results/deep/empty", "results/a.bin"}
    assert all(outcome.state is OutcomeState.DONE for outcome in transfer.report.outcomes)
    paused.release()
    assert await em.files.read("run.log") == b"log"


async def test_leaving_after_the_first_outcome_keeps_it(em: Client, sim: Simulator, volume: Path, into: Path) -> None:
    async with em.downlink("/", into=into, workers=1, order="smallest") as transfer:
        async for outcome in transfer:
            assert_outcome_is_true(outcome, volume / outcome.path)
            break
    names = set(tree(into))
    assert {str(outcome.path) for outcome in transfer.report.outcomes} <= names
    assert len(names) < len(VOLUME)


async def test_cancelling_a_downlink_leaves_nothing_of_it(em: Client, sim: Simulator, volume: Path, into: Path) -> None:
    paused = sim.breakpoint("em/files/downlink", at="body")
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                await paused.wait_until_hit()
                scope.cancel()

            tasks.start_soon(cancel)
            await em.downlink("results/a.bin", into=into)
    assert scope.cancelled_caught
    assert tree(into) == {}
    paused.release()


async def test_an_event_handler_that_raises_ends_the_transfer_with_its_error(
    em: Client, sim: Simulator, volume: Path, into: Path
) -> None:
    def handler(event: Event) -> None:
        if isinstance(event, Progress):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        await em.downlink("results/a.bin", into=into, on_event=handler)
    assert tree(into) == {}


async def test_a_listing_that_cannot_be_had_is_raised(em: Client, sim: Simulator, into: Path) -> None:
    sim.faults.add(Fault("html_200", endpoint="em/files/list", times=None))
    with pytest.raises(Exception, match="em/files/list"):
        await em.downlink("x", into=into)
    assert not into.exists()


async def test_brackets_in_a_path_are_the_file_s_own_and_a_glob_is_a_pattern(
    em: Client, sim: Simulator, into: Path
) -> None:
    # Sabotage: `wildcards = "*?["` for a str too in PathPattern.of, or `select` that takes a Glob for its text.
    write(sim.volume("client1"), {"run[1].log": b"[1]", "run1.log": b"1", "d[1]/a.log": b"a", "d1/b.log": b"b"})

    plain = await em.downlink("run[1].log", into / "plain")
    glob = await em.downlink(Glob("run[1].log"), into / "glob")
    many = await em.downlink(["d[1]/*.log", Glob("d[1]/*.log")], into / "many")
    plan = await em.plan_downlink([Glob("run?.log"), "run?.log"])
    gone = await em.downlink(["run[2].log", Glob("run[2-9].log")], into / "gone")

    assert plain.ok
    assert glob.ok
    assert many.ok
    assert tree(into) == {
        "plain/run[1].log": b"[1]",
        "glob/run1.log": b"1",
        "many/a.log": b"a",
        "many/d1/b.log": b"b",
    }
    assert [item.remote for item in plan.items] == ["run1.log"]
    assert [file.remote for file in plan.refused] == ["run?.log"]
    assert [(outcome.path, type(outcome.error)) for outcome in gone.failed] == [
        ("run[2].log", NotFoundError),
        ("run[2-9].log", NotFoundError),
    ]


async def test_no_message_about_a_hostile_name_starts_a_line_of_its_own(sim: Simulator, into: Path) -> None:
    # Sabotage: leave out safe() in TransferReport.raise_for_failures, or in _Listing._named.
    names = ("a\nFORGED", "b\x1b[2J", "c\u202e", "d\x85", "e\u2028", "f\tg")
    write(sim.volume("client1"), dict.fromkeys(names, b"x"))
    async with connect(sim) as em:
        report = await em.downlink([*names, "gone\nFORGED"], into)

    with pytest.raises(NotFoundError) as raised:
        report.raise_for_failures()
    texts = [
        str(raised.value),
        *raised.value.__notes__,
        *(str(outcome.error) for outcome in report.failed),
        *report.notes,
    ]
    assert len(report.failed) == len(names) + 1
    assert [text for text in texts if not text.isprintable()] == []
