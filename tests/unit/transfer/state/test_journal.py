from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from emasync.model import Direction, OutcomeState, RemotePath, Verified
from emasync.transfer.state.journal import APPLICATION_ID, VERSION, open_journal
from emasync.transfer.state.schema import Intent, ItemState, Key, Row, Settled, journal_scope
from tests.unit.transfer.state.journal_samples import SCOPE, Facts, done, key_of, nothing_left_behind, rows_of

UNSETTLED = (ItemState.INTENT, ItemState.SENT)


async def test_an_item_goes_from_intent_to_sent_to_done_and_survives_reopening(tmp_path: Path) -> None:
    path, key = tmp_path / "jobs" / "run.db", key_of("a.txt")
    async with open_journal(path, now=lambda: 1.0) as journal:
        await journal.record_intents([Intent(key=key, facts=Facts())])
        assert (await journal.lookup([key]))[key].state is ItemState.INTENT
        await journal.record_sent([key], call_id="call-1")
        assert (await journal.lookup([key]))[key].attempts == 1
    async with open_journal(path, now=lambda: 2.0) as journal:
        (left,) = await rows_of(journal, SCOPE, states=UNSETTLED)
        assert (left.key, left.state, left.call_id, left.updated_at) == (key, ItemState.SENT, "call-1", 1.0)
        await journal.record_outcomes(
            [
                Settled(
                    key=key,
                    state=OutcomeState.DONE,
                    sha256="cd" * 32,
                    tag=9,
                    listed_tag=9,
                    verified=Verified.TAG,
                    attempts=2,
                )
            ]
        )
        assert await rows_of(journal, SCOPE, states=UNSETTLED) == []
        assert await journal.lookup([key, key_of("other")]) == {
            key: Row(
                key=key,
                state=ItemState.DONE,
                size=10,
                mtime_ns=1_000,
                ctime_ns=2_000,
                inode=7,
                sha256="cd" * 32,
                tag=9,
                listed_tag=9,
                verified=Verified.TAG,
                attempts=2,
                call_id="call-1",
                updated_at=2.0,
            )
        }


async def test_a_new_intent_forgets_what_the_last_run_knew(tmp_path: Path) -> None:
    # Sabotage: INSERT OR IGNORE for _INTEND leaves the row done while the file moves again.
    key = key_of("a.txt", direction=Direction.DOWNLINK)
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.record_outcomes([done(key)])
        await journal.record_intents([Intent(key=key, size=11)])
        row = (await journal.lookup([key]))[key]
    assert (row.state, row.size, row.mtime_ns, row.sha256, row.verified) == (
        ItemState.INTENT,
        11,
        None,
        None,
        Verified.NONE,
    )


async def test_sent_without_an_intent_is_refused_as_a_whole(tmp_path: Path) -> None:
    # Sabotage: must_exist=False in record_sent.
    known, unknown = key_of("known"), key_of("unknown")
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.record_intents([Intent(key=known)])
        with pytest.raises(LookupError, match="1 of 2 items"):
            await journal.record_sent([known, unknown])
        assert {row.state for row in await rows_of(journal, SCOPE, states=UNSETTLED)} == {ItemState.INTENT}


async def test_the_same_path_the_other_way_or_on_another_em_is_another_item(tmp_path: Path) -> None:
    other = journal_scope("http://em.test:8000/", username="client1", volume="pod-a")
    keys = [key_of("a"), key_of("a", direction=Direction.DOWNLINK), key_of("a", scope=other)]
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.record_intents(Intent(key=key) for key in keys)
        await journal.record_outcomes([done(keys[1])])
        rows = await journal.lookup(keys)
        assert [rows[key].state for key in keys] == [ItemState.INTENT, ItemState.DONE, ItemState.INTENT]
        assert [row.key for row in await rows_of(journal, SCOPE, states=UNSETTLED)] == [keys[0]]
        assert [(tally.direction, tally.state, tally.files, tally.bytes) for tally in await journal.summary()] == [
            (Direction.DOWNLINK, ItemState.DONE, 1, 10),
            (Direction.UPLINK, ItemState.INTENT, 1, 0),
            (Direction.UPLINK, ItemState.INTENT, 1, 0),
        ]


async def test_names_that_are_no_text_and_inodes_of_64_bits_come_back_as_they_were(tmp_path: Path) -> None:
    key = Key(
        scope=SCOPE,
        direction=Direction.UPLINK,
        remote=RemotePath("lone \ud83d/tab\t"),
        local="/data/" + os.fsdecode(b"latin-\xe9"),
    )
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.record_intents([Intent(key=key, facts=Facts(inode=2**64 - 1))])
        await journal.record_outcomes(
            [Settled(key=key, state=OutcomeState.FAILED, tag=-(2**63), error="red \x1b[31m \ud83d")]
        )
        (row,) = await rows_of(journal, SCOPE, states=[ItemState.FAILED])
    assert (row.key, row.inode, row.tag) == (key, -1, -(2**63))
    assert row.error == "red \\x1b[31m \\ud83d"


async def test_ten_thousand_items_cost_one_commit_a_call(tmp_path: Path) -> None:
    keys = [key_of(f"f{n:05}", direction=Direction.DOWNLINK) for n in range(10_000)]
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.record_intents(Intent(key=key, size=10) for key in keys)
        await journal.record_outcomes(done(key) for key in keys)
        assert journal._database.commits == 2
        assert len(await journal.lookup(keys)) == 10_000


async def test_the_disk_is_flushed_at_every_commit_and_only_the_owner_may_read(tmp_path: Path) -> None:
    # Sabotage: synchronous = NORMAL loses acknowledged rows in a power cut; no test without one could see it otherwise.
    path = tmp_path / "new" / "j.db"
    async with open_journal(path) as journal:
        await journal.record_intents([Intent(key=key_of("a"))])
        pragmas = [
            await journal._database.read(lambda c, name=name: c.execute(f"PRAGMA {name}").fetchone()[0])  # type: ignore[misc]
            for name in ("synchronous", "journal_mode", "locking_mode")
        ]
        assert pragmas == [2, "wal", "exclusive"]
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["j.db", "j.db-wal"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert [file.name for file in path.parent.iterdir()] == ["j.db"]
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    connection.close()


async def test_a_second_journal_on_the_file_is_refused_and_may_come_later(tmp_path: Path) -> None:
    # Sabotage: locking_mode = NORMAL lets two runs write one journal.
    path = tmp_path / "j.db"
    async with open_journal(path) as first:
        with pytest.raises(BlockingIOError, match="in use by another emasync run"):
            async with open_journal(path, wait_s=0.0):
                pass
        await first.record_intents([Intent(key=key_of("a"))])
    async with open_journal(path, wait_s=0.0) as later:
        assert len(await rows_of(later, SCOPE, states=UNSETTLED)) == 1


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 99; CREATE TABLE item (x);",
            "newer emasync",
        ),
        ("CREATE TABLE photos (x);", "database of another program"),
        ("PRAGMA application_id = 77;", "database of another program"),
    ],
)
async def test_a_newer_or_foreign_database_is_refused_untouched(tmp_path: Path, setup: str, message: str) -> None:
    path = tmp_path / "j.db"
    connection = sqlite3.connect(path)
    connection.executescript(setup)
    connection.close()
    before = path.read_bytes()
    with nothing_left_behind(), pytest.raises(ValueError, match=message):
        async with open_journal(path):
            pass
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["j.db"]


async def test_a_text_file_is_no_journal_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"dear diary\n" * 100)
    with nothing_left_behind(), pytest.raises(ValueError, match="damaged or no database"):
        async with open_journal(path):
            pass
    assert path.read_bytes() == b"dear diary\n" * 100


async def test_a_damaged_journal_says_what_to_do(tmp_path: Path) -> None:
    # Sabotage: leave out quick_check, and the damage shows only when a row is needed.
    path = tmp_path / "j.db"
    async with open_journal(path) as journal:
        await journal.record_intents(Intent(key=key_of(f"f{n}")) for n in range(1_000))
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2 // 4096 * 4096
    whole[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(whole)
    with nothing_left_behind(), pytest.raises(ValueError, match="move it away and run the same command again"):
        async with open_journal(path):
            pass


async def test_an_empty_file_is_a_journal_that_was_killed_before_it_began(tmp_path: Path) -> None:
    (tmp_path / "j.db").touch()
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.record_intents([Intent(key=key_of("a"))])
        assert len(await rows_of(journal, SCOPE, states=UNSETTLED)) == 1


async def test_a_folder_in_the_journals_place_is_an_os_error(tmp_path: Path) -> None:
    with nothing_left_behind(), pytest.raises(OSError, match="unable to open"):
        async with open_journal(tmp_path):
            pass


async def test_the_file_holds_no_log_in_data(tmp_path: Path) -> None:
    scope = journal_scope("HTTPS://client1:canary@Em.Test:8000/api/?token=canary#canary", username="client1")
    assert scope == "https://em.test:8000/api/ user='client1' volume=''"
    with pytest.raises(ValueError, match="log-in data"):
        key_of("a", scope="http://client1:canary@em.test/")
    with pytest.raises(ValueError, match="no valid port") as caught:
        journal_scope("http://client1:can/ary@em.test/", username="client1")
    assert "can" not in str(caught.value)
    assert "[::1]:80/" in journal_scope("http://[::1]:80", username="u")


def test_a_relative_local_path_is_refused() -> None:
    with pytest.raises(ValueError, match="absolute"):
        Key(scope=SCOPE, direction=Direction.UPLINK, remote=RemotePath("a"), local="a")


def test_a_downlink_without_its_file_in_place_is_not_done() -> None:
    # Sabotage: drop the check in Settled, and a done can be recorded before the rename.
    key = key_of("a", direction=Direction.DOWNLINK)
    with pytest.raises(ValueError, match="facts are missing"):
        Settled(key=key, state=OutcomeState.DONE, verified=Verified.SHA256)
    Settled(key=key, state=OutcomeState.FAILED)
