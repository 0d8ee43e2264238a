"""Files change between any two calls, listings say nothing, answers are lost: no lie, no loss, no deletion on a guess.

``python -m tests.torture --only random_schedules`` draws 5,000 schedules over 8 seeds; here are the first of a fixed
series.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.random_drawing import drawn
from tests.faults.random_events import LocalFolder
from tests.faults.random_history import History
from tests.faults.random_schedules import Sum, series


# Sabotage, each alone: `_FILES_TO_REFUTE = 1`; an empty source needs no consent (`agree`); `unchanged=` left out of
# `_items_down`; no look at the fresh listing in `_delete_one_remote`; `check_success` returns at once. Deletions in
# folders that are not listed are guarded twice (`compare`, and a folder that cannot be fetched fails): it takes both.
@pytest.mark.parametrize("seed", range(8))
async def test_a_schedule_of_changes_and_false_answers_ends_without_a_lie_a_loss_or_a_guess(
    seed: int, tmp_path: Path
) -> None:
    total = Sum()
    await series(seed, range(25), tmp_path, total)
    assert total.found == [], "\n\n".join(total.traces)
    assert total.tries == 25
    assert total.faults >= 40  # a series in which nothing happens shows nothing
    assert total.outcomes >= 100
    assert total.deletions >= 1


# sabotage: `random.Random()` without the label in `drawn`.
def test_random_schedules_are_the_same_each_time_and_of_all_kinds() -> None:
    some = [drawn(1, number) for number in range(200)]
    assert some == [drawn(1, number) for number in range(200)]
    steps = [step for schedule in some for step in schedule.steps]
    assert {step.operation.way for step in steps} == {"sync_up", "sync_down", "uplink", "downlink"}
    for what in ("delete", "consent", "dry_run"):
        assert len({getattr(step.operation, what) for step in steps}) == 2, what
    for what in ("prefix", "tags", "lagging", "journal", "memory"):
        assert len({getattr(schedule, what) for schedule in some}) == 2, what
    for what in ("pod", "flicker", "person", "silent", "hollow", "lost", "damage", "stored", "refuse", "lag", "revert"):
        assert sum(getattr(step.temper, what) > 0 for step in steps) >= 20, what
    assert sum(step.temper.cancel_at is not None for step in steps) >= 20


# Sabotage: `_met` records nothing: a file that came whole was then never here, and "done" is called a lie.
@pytest.mark.parametrize("removed", [False, True])
def test_a_person_who_changes_a_file_meets_what_the_client_has_just_put_there(tmp_path: Path, removed: bool) -> None:
    history = History()
    folder = LocalFolder(tmp_path / "here", history)
    folder.write("a", b"old", "start")
    (tmp_path / "here/a").write_bytes(b"came")  # and nobody has looked since
    folder.remove("a") if removed else folder.write("a", b"edited")
    seen = [(one.data, one.actor) for one in history.all_of("local", "a")]
    assert seen == [(b"old", "start"), (b"came", "client"), (None if removed else b"edited", "other")]
    folder.observe()
    assert len(history.all_of("local", "a")) == 3
