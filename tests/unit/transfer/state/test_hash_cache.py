from __future__ import annotations

import os
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from emasync.transfer.state.hash_cache import APPLICATION_ID, Digests, Hashed, open_hash_cache
from tests.unit.transfer.state.journal_samples import Facts, nothing_left_behind

LATER = 10_000_000_000  # ns, long after the times in Facts


def hashed(name: str, *, tag: int = -5, started_ns: int = LATER, facts: Facts | None = None) -> Hashed:
    digests = Digests(sha256="ab" * 32, tag=tag)
    return Hashed(path=Path("/data") / name, facts=facts or Facts(), digests=digests, started_ns=started_ns)


async def test_an_unchanged_file_is_known_in_the_next_run(tmp_path: Path) -> None:
    path, file = tmp_path / "cache" / "hashes.db", hashed(os.fsdecode(b"caf\xe9"), facts=Facts(inode=2**64 - 1))
    with nothing_left_behind():
        async with open_hash_cache(path) as cache:
            await cache.put_many([file])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with open_hash_cache(path) as cache:
            known = await cache.get_many([(file.path, file.facts), (Path("/data/other"), file.facts)])
    assert known == {file.path: Digests(sha256="ab" * 32, tag=-5)}


@pytest.mark.parametrize("fact", ["size", "mtime_ns", "ctime_ns", "inode"])
async def test_a_file_with_another_fact_is_unknown(tmp_path: Path, fact: str) -> None:
    # Sabotage: leave that column out of _GET.
    file = hashed("a")
    async with open_hash_cache(tmp_path / "h.db") as cache:
        await cache.put_many([file])
        assert await cache.get_many([(file.path, replace(Facts(), **{fact: 1}))]) == {}


@pytest.mark.parametrize(
    ("facts", "age_ns", "trusted"),
    [
        (Facts(mtime_ns=LATER, ctime_ns=0), 2_000_000_000, True),
        (Facts(mtime_ns=LATER, ctime_ns=0), 1_999_999_999, False),
        (Facts(mtime_ns=0, ctime_ns=LATER), 2_000_000_000, True),
        (Facts(mtime_ns=0, ctime_ns=LATER), 1_999_999_999, False),
        (Facts(mtime_ns=LATER, ctime_ns=0), -LATER // 2, False),  # a time stamp from the future
    ],
)
async def test_a_file_hashed_too_shortly_after_its_change_is_not_believed(
    tmp_path: Path, facts: Facts, age_ns: int, trusted: bool
) -> None:
    # Sabotage: `return True` in Hashed.safe_to_store.
    file = hashed("a", started_ns=LATER + age_ns, facts=facts)
    async with open_hash_cache(tmp_path / "h.db") as cache:
        await cache.put_many([file])
        assert bool(await cache.get_many([(file.path, facts)])) is trusted


async def test_the_oldest_are_forgotten_above_the_limit(tmp_path: Path) -> None:
    # Sabotage: drop the _PRUNE statement.
    files = [hashed(f"{number}") for number in range(8)]
    async with open_hash_cache(tmp_path / "h.db", max_files=5) as cache:
        await cache.put_many(files[:5])
        await cache.put_many([files[0]])  # stored anew: now among the youngest
        await cache.put_many(files[5:])
        known = await cache.get_many((file.path, file.facts) for file in files)
    assert [path.name for path in known] == ["0", "4", "5", "6", "7"]


async def test_ten_thousand_look_ups_find_everything(tmp_path: Path) -> None:
    files = [hashed(f"folder/{number}") for number in range(10_000)]
    async with open_hash_cache(tmp_path / "h.db") as cache:
        await cache.put_many(files)
        known = await cache.get_many([(file.path, file.facts) for file in files])
        # No figure here: the time limit of every test is the guard, something quadratic takes minutes.
    assert len(known) == 10_000


@pytest.mark.parametrize("content", [b"", b"not a database" * 500, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_damaged_file_is_thrown_away_and_begun_anew(tmp_path: Path, content: bytes) -> None:
    path, file = tmp_path / "h.db", hashed("a")
    path.write_bytes(content)
    with nothing_left_behind():
        async with open_hash_cache(path) as cache:
            assert await cache.get_many([(file.path, file.facts)]) == {}
            await cache.put_many([file])
            assert len(await cache.get_many([(file.path, file.facts)])) == 1


async def test_damage_found_later_costs_the_cache_and_not_the_run(tmp_path: Path) -> None:
    # Sabotage: leave out the except in get_many.
    path, files = tmp_path / "h.db", [hashed(f"{number}") for number in range(5_000)]
    async with open_hash_cache(path) as cache:
        await cache.put_many(files)
    whole = bytearray(path.read_bytes())
    whole[8192:] = b"\xff" * (len(whole) - 8192)
    path.write_bytes(whole)
    async with open_hash_cache(path) as cache:
        assert await cache.get_many((file.path, file.facts) for file in files) == {}
        await cache.put_many(files)
    assert not path.exists()
    async with open_hash_cache(path) as cache:
        await cache.put_many(files)
        assert len(await cache.get_many((file.path, file.facts) for file in files)) == 5_000


async def test_a_cache_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    path, file = tmp_path / "h.db", hashed("a")
    connection = sqlite3.connect(path)
    connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 99; CREATE TABLE x (y);")
    connection.close()
    async with open_hash_cache(path) as cache:
        await cache.put_many([file])
        assert len(await cache.get_many([(file.path, file.facts)])) == 1


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE photos (x);")
    connection.close()
    before = path.read_bytes()
    with nothing_left_behind(), pytest.raises(ValueError, match="another program"):
        async with open_hash_cache(path):
            pass
    assert path.read_bytes() == before


async def test_two_runs_share_one_cache(tmp_path: Path) -> None:
    path, file = tmp_path / "h.db", hashed("a")
    async with open_hash_cache(path) as one, open_hash_cache(path) as other:
        await one.put_many([file])
        assert len(await other.get_many([(file.path, file.facts)])) == 1


async def test_a_cache_that_is_locked_is_a_miss_and_stays(tmp_path: Path) -> None:
    path, file = tmp_path / "h.db", hashed("a")
    async with open_hash_cache(path) as cache:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await cache.put_many([file])
        assert await cache.get_many([(file.path, file.facts)]) == {}
        other.execute("ROLLBACK")
        other.close()
        await cache.put_many([file])
        assert len(await cache.get_many([(file.path, file.facts)])) == 1
    assert path.exists()
