"""Thousands of files, up and down: memory and open files stay bounded (I6). The torture row moves 100,000."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.stage_kills import Way
from tests.faults.stage_many import many_files


# sabotage: start a task per item (a call up, a file down) in `WorkerPool.run` instead of one per worker.
@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize(("way", "count"), [("up", 5000), ("down", 2000)])
async def test_many_files_pass_in_bounded_memory_with_few_open_files(tmp_path: Path, way: Way, count: int) -> None:
    cost = await many_files(tmp_path / "many", way=way, count=count, limit_s=120)

    assert cost.wrong == ()
