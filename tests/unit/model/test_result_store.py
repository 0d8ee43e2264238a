"""`Outcomes`: what comes out is what went in, for any outcome, and very many take little memory."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync.errors import IntegrityError
from emasync.model import Direction, Outcome, OutcomeLog, Outcomes, OutcomeState, RemotePath, Verified

ONE = Outcome(
    path=RemotePath("results/a.bin"),
    place="/home/me/out/results/a.bin",
    direction=Direction.DOWNLINK,
    state=OutcomeState.DONE,
    bytes=12,
    sha256=sha256(b"a").hexdigest(),
    verified=Verified.TAG,
    attempts=2,
    seconds=1.25,
    busy_seconds=0.5,
)

texts = st.text(st.characters(codec="utf-8") | st.characters(categories=["Cs"]), max_size=20)
seconds = st.floats(min_value=0, allow_nan=False)
outcomes = st.builds(
    Outcome,
    path=texts.map(RemotePath),
    place=texts | st.lists(texts, max_size=4).map("/".join),
    direction=st.sampled_from(Direction),
    state=st.sampled_from(OutcomeState),
    bytes=st.integers(0, 2**64 - 1),
    sha256=st.none() | texts | st.binary(min_size=32, max_size=32).map(bytes.hex),
    verified=st.sampled_from(Verified),
    attempts=st.integers(0, 2**32 - 1),
    seconds=seconds,
    busy_seconds=seconds,
    reason=st.none() | texts,
    error=st.none() | st.just(IntegrityError("no")),
)


# Sabotage: leave `_RENAMED` out (the path's name for every file), or "surrogatepass".
@given(st.lists(outcomes, max_size=6))
def test_every_outcome_comes_back_as_it_was(given_: list[Outcome]) -> None:
    kept = Outcomes(given_)
    assert list(kept) == given_
    assert kept == tuple(given_)
    assert [kept[-1 - index] for index in range(len(given_))] == given_[::-1]
    assert all(type(one.path) is RemotePath for one in kept)
    log = OutcomeLog()
    for one in given_:
        log.append(one)
    assert [log.path_at(index) for index in range(len(log))] == [one.path for one in given_]
    for state in OutcomeState:
        assert list(kept.of(state)) == [one for one in given_ if one.state is state]
        assert kept.of(state).bytes == sum(one.bytes for one in given_ if one.state is state)


def test_an_error_stays_the_very_object_it_was() -> None:
    error = IntegrityError("no")
    (kept,) = Outcomes([replace(ONE, state=OutcomeState.FAILED, error=error)])
    assert kept.error is error


def test_what_settles_later_is_not_part_of_an_earlier_report() -> None:
    # Sabotage: `_positions` asks the log for its length each time.
    log = OutcomeLog()
    log.append(ONE)
    before = Outcomes(log)
    log.append(replace(ONE, path=RemotePath("b")))
    assert (len(before), len(Outcomes(log))) == (1, 2)
    assert list(before) == [ONE]


def test_it_is_as_good_as_a_tuple() -> None:
    kept = Outcomes([ONE, replace(ONE, path=RemotePath("b"))])
    assert kept[1:] == (replace(ONE, path=RemotePath("b")),)
    assert kept != (ONE,)
    assert ONE in kept
    assert (*kept, *kept) == (*kept[:], *tuple(kept))
    assert repr(kept) == repr(tuple(kept))
    assert not Outcomes()
    with pytest.raises(IndexError):
        kept[2]
    assert hash(kept) == hash(tuple(kept))
    assert kept + kept[1:] == (*kept, kept[1])


def test_what_cannot_be_kept_leaves_nothing_behind() -> None:
    # Sabotage: append the size last.
    log = OutcomeLog()
    with pytest.raises(OverflowError):
        log.append(replace(ONE, bytes=2**64))
    log.append(ONE)
    assert list(Outcomes(log)) == [ONE]


def test_ten_thousand_outcomes_take_about_a_megabyte() -> None:
    # Sabotage: keep every outcome whole (`_pack` returns None).
    log = OutcomeLog()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10_000):
            path = f"part-{number // 1000:03}/{number:06}"
            digest = sha256(path.encode()).hexdigest()
            log.append(replace(ONE, path=RemotePath(path), place=f"/home/me/out/{path}", sha256=digest))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert math.ceil((after - before) / 10_000) <= 150
