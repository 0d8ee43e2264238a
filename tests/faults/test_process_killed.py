"""kill -9 at random moments of real transfers: the next run finishes, and nothing is wrong, lost, left or doubled.

Two hundred of them are a row of the torture table; `EMASYNC_SEED` sets where these few begin.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.stage_kills import Way, kill_once

SEED = int(os.environ.get("EMASYNC_SEED", "20"))


# sabotage: let `sweep` return 0; let `resume_uplink` return `plan.calls` at once; let `AtomicFile.publish` skip `_move`
# and write to the final name.
@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("number", range(3))
async def test_a_killed_run_is_finished_by_the_next_and_nothing_is_wrong_or_doubled(
    tmp_path: Path, way: Way, number: int
) -> None:
    kill = await kill_once(tmp_path, way=way, seed=SEED + number)

    assert kill.wrong == ()
    assert kill.inside
