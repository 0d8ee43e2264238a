"""The journal against its model, through crashes between writes, in writes, and damaged files."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.journal_model import Counts, JournalUnderCrashes, damage


class _Walk(JournalUnderCrashes):
    counts = Counts()


# sabotage (all tried): INSERT OR IGNORE for journal._INTEND, COMMIT in place of ROLLBACK in Database._commit, another
# journal_mode than WAL, attempts that are not counted on in _SENT, or "not verified" for every row in resume_action.
def test_after_any_crash_the_journal_is_what_was_acknowledged() -> None:
    walks = settings(
        max_examples=40,
        stateful_step_count=20,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),  # what it takes to find a case; the torture's row makes it small
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(_Walk, settings=walks)
    assert _Walk.counts.crashes >= 10
    assert _Walk.counts.torn >= 10


# sabotage: let `explained` pass SQLite's own errors on.
async def test_a_damaged_journal_is_refused_in_words_or_says_nothing_false(tmp_path: Path) -> None:
    rng = random.Random(1)
    for number in range(60):
        assert await damage(tmp_path / f"{number}.db", rng) is None, number
