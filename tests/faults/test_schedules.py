"""Any schedule of faults ends with every file byte-equal, honestly told and hardly ever sent in vain.

``python -m tests.torture --only schedules`` draws a thousand; here are the first few of a fixed series.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.schedules import carry_out, drawn, swift


# sabotage (all tried): in UplinkRequestSender.send return the files of an UnknownOutcomeError as `unsent` (moved in
# vain); in UplinkState.compare take every file for arrived (I2); in FileDownlink._fetch commit before `_verify` (I1);
# no `take_missing`, one send a file, or a first 401 that is final (not all done); ResultTracker.record emits no event,
# or each twice (I2).
@pytest.mark.parametrize("first", range(0, 120, 20))
async def test_a_schedule_of_faults_ends_with_every_file_in_place_and_the_truth_told(
    first: int, tmp_path: Path
) -> None:
    struck = 0
    with swift():
        for seed in range(first, first + 20):
            verdict = await carry_out(drawn(seed), tmp_path / str(seed))
            assert verdict.found == ()
            assert (verdict.lost, verdict.wrong) == (0, 0)
            struck += verdict.faults
    assert struck >= 20  # a series in which nothing goes wrong shows nothing


# sabotage: `random.Random()` without the seed in `drawn`.
def test_schedules_are_the_same_each_time_and_of_all_kinds() -> None:
    some = [drawn(seed) for seed in range(300)]
    assert repr(some) == repr([drawn(seed) for seed in range(300)])
    kinds = {fault.kind for schedule in some for fault in schedule.faults}
    assert len(kinds) >= 18, sorted(kinds)
    for what in ("way", "tame", "journal"):
        assert len({getattr(schedule, what) for schedule in some}) == 2
