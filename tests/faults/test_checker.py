"""The checker finds each violation when it is there, and nothing when it is not: otherwise no fault test means much.

Sabotage: take any one finding out of checker.py, or its exception.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from emasync import Direction, Outcome, OutcomeState, RemotePath, TransferReport
from emasync.disk import fingerprint
from emasync.transfer.state.journal import open_journal
from emasync.transfer.state.schema import Intent, Key, Settled
from tests.faults import checker
from tests.faults.checker import Run, changed, leaks, residue, sha256, snapshot, storm, tree, violations

FILES = {"a.bin": b"new a", "sub/b.bin": b"new b", "empty": b""}


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    put(folder, FILES)
    return folder


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def ends(destination: Path, direction: Direction = Direction.DOWNLINK) -> list[Outcome]:
    return [
        Outcome(
            path=RemotePath(name),
            place=str(destination / name),
            direction=direction,
            state=OutcomeState.DONE,
            bytes=len(data),
            sha256=sha256(data),
        )
        for name, data in FILES.items()
    ]


def a_run(destination: Path, **changes: Any) -> Run:
    outcomes = changes.pop("outcomes", ends(destination))
    run = Run(direction="down", wanted=FILES, destination=destination, report=TransferReport(outcomes=tuple(outcomes)))
    return replace(run, **changes)


def only(found: list[str], invariant: str) -> bool:
    return bool(found) and all(finding.startswith(invariant) for finding in found)


def test_a_good_run_has_no_violation(destination: Path) -> None:
    assert violations(a_run(destination, ended_ok=True)) == []


def test_a_good_run_may_name_what_it_wants_by_hash_only(destination: Path) -> None:
    assert violations(a_run(destination, wanted={name: sha256(data) for name, data in FILES.items()})) == []


def test_old_bytes_may_stay_where_the_new_ones_did_not_come(destination: Path) -> None:
    (destination / "a.bin").write_bytes(b"old a")
    failed = replace(ends(destination)[0], state=OutcomeState.FAILED, error=OSError("no"))
    run = a_run(destination, outcomes=[failed, *ends(destination)[1:]], before={"a.bin": sha256(b"old a")})
    assert violations(run) == []


@pytest.mark.parametrize("data", [b"", b"new ", b"new a!", b"old a"])
def test_a_wrong_file_is_found(destination: Path, data: bytes) -> None:
    (destination / "a.bin").write_bytes(data)
    failed = replace(ends(destination)[0], state=OutcomeState.FAILED, error=OSError("no"))
    found = violations(a_run(destination, outcomes=[failed, *ends(destination)[1:]]))
    assert only(found, "I1")


def test_a_file_that_nobody_asked_for_is_found(destination: Path) -> None:
    put(destination, {"sub/more": b"x"})
    assert only(violations(a_run(destination)), "I1")


def test_a_link_in_the_place_of_a_file_is_found(destination: Path, tmp_path: Path) -> None:
    (destination / "a.bin").rename(tmp_path / "elsewhere")
    (destination / "a.bin").symlink_to(tmp_path / "elsewhere")
    assert any(violation.startswith("I1") for violation in violations(a_run(destination)))


def test_an_old_file_that_was_lost_is_found(destination: Path) -> None:
    assert only(violations(a_run(destination, before={"other": sha256(b"")})), "I1")


def test_a_done_without_its_file_is_a_lie(destination: Path) -> None:
    (destination / "a.bin").unlink()
    assert only(violations(a_run(destination)), "I2")


def test_a_done_with_the_old_bytes_is_a_lie(destination: Path) -> None:
    (destination / "a.bin").write_bytes(b"old a")
    assert only(violations(a_run(destination, before={"a.bin": sha256(b"old a")})), "I2")


@pytest.mark.parametrize("change", [{"sha256": sha256(b"x")}, {"bytes": 4}])
def test_a_done_with_a_false_fact_is_a_lie(destination: Path, change: dict[str, Any]) -> None:
    first, *others = ends(destination)
    assert only(violations(a_run(destination, outcomes=[replace(first, **change), *others])), "I2")


def test_a_done_that_nobody_asked_for_is_a_lie(destination: Path) -> None:
    more = replace(ends(destination)[0], path=RemotePath("more"), place=str(destination / "more"))
    assert only(violations(a_run(destination, outcomes=[*ends(destination), more])), "I2")


def test_a_good_end_without_a_file_is_a_lie(destination: Path) -> None:
    (destination / "empty").unlink()
    assert only(violations(a_run(destination, report=None, ended_ok=True)), "I2")


def test_events_that_tell_what_the_report_tells_are_no_violation(destination: Path) -> None:
    assert violations(a_run(destination, told=ends(destination))) == []


@pytest.mark.parametrize("told", [ends(Path())[1:], [*ends(Path()), ends(Path())[0]]], ids=["too few", "twice"])
def test_an_end_that_events_forget_or_tell_twice_is_found(destination: Path, told: list[Outcome]) -> None:
    told = [replace(one, place=str(destination / one.path)) for one in told]
    assert only(violations(a_run(destination, told=told)), "I2")


def test_an_end_that_events_tell_otherwise_is_found(destination: Path) -> None:
    first, *others = ends(destination)
    failed = replace(first, state=OutcomeState.FAILED, error=OSError("no"), sha256=None)
    assert only(violations(a_run(destination, told=[failed, *others])), "I2")


def test_a_done_of_an_event_without_its_file_is_a_lie_even_without_a_report(destination: Path) -> None:
    (destination / "a.bin").unlink()
    assert only(violations(a_run(destination, told=ends(destination), report=None)), "I2")


def test_a_lost_item_is_found(destination: Path) -> None:
    assert only(violations(a_run(destination, outcomes=ends(destination)[1:])), "I3")


def test_an_item_that_ends_twice_is_found(destination: Path) -> None:
    assert only(violations(a_run(destination, outcomes=[*ends(destination), ends(destination)[0]])), "I3")


@pytest.mark.parametrize("state", [OutcomeState.FAILED, OutcomeState.SKIPPED, OutcomeState.UNKNOWN])
def test_an_end_without_its_reason_is_found(destination: Path, state: OutcomeState) -> None:
    first, *others = ends(destination)
    assert only(violations(a_run(destination, outcomes=[replace(first, state=state), *others])), "I3")


def test_a_temporary_file_that_stays_is_found_at_any_depth(destination: Path) -> None:
    put(destination, {"sub/.emasync-0123.part": b"new"})
    assert only(violations(a_run(destination)), "I8")
    assert only(residue(destination), "I8")


def test_after_a_kill_a_temporary_file_is_no_violation_but_a_wrong_file_is(destination: Path) -> None:
    put(destination, {".emasync-0123.part": b"new"})
    assert violations(a_run(destination, report=None)) == []
    (destination / "a.bin").write_bytes(b"new")
    assert only(violations(a_run(destination, report=None)), "I1")


def test_an_upload_that_says_it_failed_may_have_left_a_broken_file_but_not_one_that_says_it_is_done(
    destination: Path,
) -> None:
    (destination / "a.bin").write_bytes(b"ne")
    outcomes = ends(destination, Direction.UPLINK)
    unknown = replace(outcomes[0], state=OutcomeState.UNKNOWN, reason="the answer was lost")
    assert violations(a_run(destination, direction="up", outcomes=[unknown, *outcomes[1:]])) == []
    found = violations(a_run(destination, direction="up", outcomes=outcomes))
    assert {finding[:2] for finding in found} == {"I1", "I2"}


async def a_journal(path: Path, destination: Path) -> Path:
    """What emasync itself writes for a good run."""
    facts = fingerprint(destination / "a.bin")
    keys = {
        name: Key(scope="em", direction=Direction.DOWNLINK, remote=RemotePath(name), local=str(destination / name))
        for name in FILES
    }
    async with open_journal(path) as journal:
        await journal.record_intents(Intent(key=key, size=5) for key in keys.values())
        await journal.record_sent(keys.values())
        await journal.record_outcomes(
            Settled(key=key, state=OutcomeState.DONE, facts=facts, sha256=sha256(FILES[name]))
            for name, key in keys.items()
        )
    return path


async def test_a_journal_that_tells_the_truth_is_no_violation(destination: Path, tmp_path: Path) -> None:
    rows = await a_journal(tmp_path / "j", destination)
    assert violations(a_run(destination, rows=rows)) == []
    assert {row.state for row in checker.read_journal(rows)} == {"done"}


async def test_a_done_in_the_journal_without_its_file_is_a_lie_even_after_a_kill(
    destination: Path, tmp_path: Path
) -> None:
    rows = await a_journal(tmp_path / "j", destination)
    (destination / "a.bin").unlink()
    assert only(violations(a_run(destination, rows=rows, report=None)), "I2")


async def test_a_done_in_the_journal_that_failed_in_the_report_is_a_lie(destination: Path, tmp_path: Path) -> None:
    rows = await a_journal(tmp_path / "j", destination)
    failed = replace(ends(destination)[0], state=OutcomeState.FAILED, error=OSError("no"))
    assert only(violations(a_run(destination, rows=rows, outcomes=[failed, *ends(destination)[1:]])), "I2")


async def test_a_false_hash_in_the_journal_is_a_lie(destination: Path, tmp_path: Path) -> None:
    rows = await a_journal(tmp_path / "j", destination)
    with contextlib.closing(sqlite3.connect(rows)) as connection, connection:
        connection.execute("UPDATE item SET sha256 = 'x' WHERE remote = CAST('a.bin' AS BLOB)")
    assert only(violations(a_run(destination, rows=rows)), "I2")


async def test_rows_that_are_still_in_the_log_of_a_killed_run_count(destination: Path, tmp_path: Path) -> None:
    rows = await a_journal(tmp_path / "j", destination)
    copy = tmp_path / "killed"
    with contextlib.closing(sqlite3.connect(rows)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute("UPDATE item SET state = 'unknown'")
        shutil.copy(rows, copy)
        shutil.copy(f"{rows}-wal", f"{copy}-wal")
    assert {row.state for row in checker.read_journal(copy)} == {"unknown"}
    assert Path(f"{copy}-wal").exists()  # it was looked at, not opened


def test_a_journal_that_is_none_is_a_violation_and_a_missing_one_has_no_rows(destination: Path, tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"no database at all, whatever it says" * 100)
    assert only(violations(a_run(destination, rows=tmp_path / "j")), "I2")
    assert violations(a_run(destination, rows=tmp_path / "missing")) == []


def test_a_tree_shows_links_and_odd_things_unread(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    assert tree(tmp_path) == {"fifo": "special", "link": "-> /etc"}


def _add(folder: Path) -> None:
    (folder / "new").mkdir()


def _rewrite(folder: Path) -> None:
    about = (folder / "a.bin").stat()
    (folder / "a.bin").write_bytes(b"NEW A")
    os.utime(folder / "a.bin", ns=(about.st_atime_ns, about.st_mtime_ns))


def _swap(folder: Path) -> None:
    about = (folder / "a.bin").stat()
    (folder / "other").write_bytes(b"new a")
    os.utime(folder / "other", ns=(about.st_atime_ns, about.st_mtime_ns))
    (folder / "other").replace(folder / "a.bin")


@pytest.mark.parametrize(
    ("deed", "finding"),
    [
        (_add, ["I4 'new' was made"]),
        (_rewrite, ["I4 'a.bin' was changed"]),
        (_swap, ["I4 'a.bin' was changed"]),
        (lambda folder: (folder / "empty").unlink(), ["I4 'empty' was removed"]),
        (lambda folder: (folder / "sub").chmod(0o700), ["I4 'sub' was changed"]),
        (lambda folder: os.utime(folder / "a.bin", ns=(1, 1)), ["I4 'a.bin' was changed"]),
        (lambda folder: (folder / "a.bin").read_bytes(), []),
    ],
)
def test_a_change_of_the_surroundings_is_found(
    destination: Path, deed: Callable[[Path], object], finding: list[str]
) -> None:
    (destination / "sub").chmod(0o755)
    before = snapshot(destination)
    deed(destination)
    assert changed(before, snapshot(destination)) == finding


SECRET = 'canary-pass/word+"1'


@pytest.mark.parametrize(
    "text",
    [
        f"password={SECRET}.",
        "password=canary-pass%2Fword%2B%221",
        '{"password": "canary-pass/word+\\"1"}',
        "Basic Y2FuYXJ5LXBhc3Mvd29yZCsiMQ==",
        f"Basic {b64encode(f'client1:{SECRET}'.encode()).decode()}",
        f"Basic {b64encode(f'user:{SECRET}, and more'.encode()).decode()}",
    ],
)
def test_a_secret_is_found_in_all_its_spellings_and_not_told_again(text: str) -> None:
    found = leaks(["other", SECRET], {"stderr": text})
    assert found == ["I5 secret 1 shows in stderr"]


def test_a_secret_beyond_ascii_is_found_as_json_writes_it_either_way() -> None:
    for only in (True, False):
        text = json.dumps({"password": "geheim-é-1"}, ensure_ascii=only)
        assert leaks(["geheim-é-1"], {"stdout": text}) == ["I5 secret 0 shows in stdout"]


def test_a_secret_is_found_in_files_links_and_names(tmp_path: Path) -> None:
    put(tmp_path, {"journal": b"\xff\x00canary-1\x00", "canary-1.json": b""})
    (tmp_path / "link").symlink_to("/tmp/canary-1")
    assert len(leaks(["canary-1"], {}, [tmp_path])) == 3
    assert leaks(["canary-2"], {"stdout": "canary-1"}, [tmp_path]) == []


def test_an_empty_secret_is_a_mistake_of_the_test() -> None:
    with pytest.raises(ValueError, match="empty"):
        leaks([""], {"stdout": "x"})


@dataclass
class LoggedCall:
    at: float
    path: str
    status: int = 200


LIST, DOWN, AUTH = "em/files/list", "em/files/downlink", "auth/"


def test_a_calm_run_is_no_storm() -> None:
    requests = [LoggedCall(0, AUTH), LoggedCall(1, LIST), *(LoggedCall(2 + n, DOWN) for n in range(10))]
    assert storm(requests, items=10, budget=0) == []


def test_a_log_in_per_task_is_a_storm() -> None:
    found = storm([LoggedCall(0, AUTH), LoggedCall(0, AUTH), LoggedCall(1, LIST)], items=1, budget=0)
    assert only(found, "I7 2 log-ins")


def test_one_log_in_for_all_that_were_refused_with_the_old_token_is_none() -> None:
    refused = [LoggedCall(1, DOWN, 401), LoggedCall(1, DOWN, 401), LoggedCall(1, DOWN, 401)]
    again = [LoggedCall(3, DOWN), LoggedCall(3, DOWN), LoggedCall(3, DOWN)]
    assert storm([LoggedCall(0, AUTH), *refused, LoggedCall(2, AUTH), *again], items=3, budget=3) == []
    assert (
        storm(
            [LoggedCall(0, AUTH), *refused, LoggedCall(2, AUTH), LoggedCall(2, AUTH), *again],
            items=3,
            budget=3,
        )
        != []
    )


def test_a_log_in_before_the_token_grows_old_must_be_announced() -> None:
    requests = [LoggedCall(0, AUTH), LoggedCall(1, LIST), LoggedCall(100, AUTH)]
    assert storm(requests, items=1, budget=0, expiries=1) == []
    assert storm(requests, items=1, budget=0) != []


def test_more_attempts_than_the_faults_explain_are_a_storm() -> None:
    requests = [LoggedCall(0, AUTH), *(LoggedCall(1, DOWN, 500) for _ in range(14))]
    assert storm(requests, items=10, budget=3) == []
    assert only(storm(requests, items=10, budget=2), "I7 14 requests")


def test_probes_of_a_locked_em_are_counted_but_not_what_was_on_its_way() -> None:
    burst = [LoggedCall(0.01 * n, DOWN, 423) for n in range(16)]
    probes = [LoggedCall(1 + 0.5 * n, "em/pod/status", 423) for n in range(20)]
    assert only(storm([*burst, *probes], items=16, budget=0), "I7 10 probes")
    assert storm([*burst, *probes[::2]], items=16, budget=0) == []


def test_between_two_probes_that_a_call_passed_the_em_was_not_locked() -> None:
    requests = [LoggedCall(0.3 * n, LIST if n % 2 else "em/pod/status", 200 if n % 2 else 423) for n in range(40)]
    assert storm(requests, items=1, budget=0) == []
