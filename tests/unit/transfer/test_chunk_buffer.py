from __future__ import annotations

import pytest

from emasync.transfer.downlink import ChunkBuffer


# Sabotage: forget what is left of a piece after it has filled a batch.
@pytest.mark.parametrize("piece", [1, 3, 4, 5, 8, 9, 100])
def test_pieces_of_any_size_become_batches_of_one(piece: int) -> None:
    data = bytes(range(100))
    batches, got = ChunkBuffer(4), []
    for start in range(0, len(data), piece):
        got += [bytes(batch) for batch in batches.add(data[start : start + piece])]
    assert all(len(batch) == 4 for batch in got)
    assert b"".join(got) + bytes(batches.remainder()) == data
    assert len(batches.remainder()) < 4


# Sabotage: a single buffer, filled again at once.
def test_a_batch_stays_as_it_is_until_the_next_is_there() -> None:
    batches = ChunkBuffer(2)
    (first,) = batches.add(b"abc")
    assert bytes(first) == b"ab"
    (second,) = batches.add(b"d")
    assert (bytes(first), bytes(second)) == (b"ab", b"cd")
    assert list(batches.add(b"e")) == []
    assert bytes(second) == b"cd"


def test_without_a_size_pieces_pass_as_they_are() -> None:
    batches, data = ChunkBuffer(0), b"piece"
    (got,) = batches.add(data)
    assert got is data
    assert not batches.remainder()
