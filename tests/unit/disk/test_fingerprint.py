"""A fingerprint is small, and gives back every number that went in."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync.disk import Fingerprint, fingerprint
from emasync.disk.fingerprint import Hashes
from emasync.wire.content_tag import content_tag

TIMES = st.integers(-(2**79), 2**79 - 1)
FACTS = st.fixed_dictionaries(
    {
        "size": st.integers(0, 2**63 - 1),
        "mtime_ns": TIMES,
        "ctime_ns": TIMES,
        "inode": st.integers(0, 2**64 - 1),
        "device": st.integers(0, 2**64 - 1),
    }
)


# Sabotage: eight bytes for a time: the 24th century is no file's; or `signed=False`: neither is 1969.
@given(FACTS, FACTS)
def test_every_number_comes_back_and_equal_numbers_are_equal(one: dict[str, int], other: dict[str, int]) -> None:
    mark = Fingerprint(**one)
    assert mark.facts() == one
    assert all(getattr(mark, name) == number for name, number in one.items())
    assert (mark == Fingerprint(**other)) is (one == other)
    assert hash(mark) == hash(Fingerprint(**one))
    assert eval(repr(mark)) == mark


def test_a_file_has_that_of_its_stat(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    found = (tmp_path / "a").stat()
    mark = fingerprint(tmp_path / "a")
    assert mark.facts() == {
        "size": 3,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,
        "inode": found.st_ino,
        "device": found.st_dev,
    }


def test_it_takes_less_than_a_hundred_bytes() -> None:
    # Sabotage: give it a `__dict__` (no `__slots__`), or wider numbers.
    mark = Fingerprint(size=2**40, mtime_ns=2**61, ctime_ns=2**61 + 1, inode=2**60, device=2**60)
    assert sys.getsizeof(mark) < 100


@pytest.mark.parametrize("fact", ["size", "mtime_ns", "inode"])
def test_a_number_that_no_file_has_is_refused(fact: str) -> None:
    numbers = {"size": 1, "mtime_ns": 1, "ctime_ns": 1, "inode": 1, "device": 1}
    with pytest.raises(ValueError, match="no file has"):
        Fingerprint(**{**numbers, fact: 2**90})


# Sabotage: compute both whatever was asked for.
def test_a_hash_that_is_left_out_is_not_computed() -> None:
    for with_sha256 in (True, False):
        for with_tag in (True, False):
            hashes = Hashes(with_sha256=with_sha256, with_tag=with_tag)
            hashes.update(b"abc")
            assert hashes.sha256 == (hashlib.sha256(b"abc").hexdigest() if with_sha256 else None)
            assert hashes.tag == (content_tag(b"abc") if with_tag else None)
            assert len(hashes.updates()) == with_sha256 + with_tag
