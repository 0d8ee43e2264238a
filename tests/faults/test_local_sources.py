"""Sources that change while they are sent, vanish, or never were files: none of them is called done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.stage_sources import cases

CASES = cases(3)


# sabotage: leave `_check_end` out of `_OpenFile.next_chunk`; leave `ctime_ns` out of
# `Fingerprint.changes`; leave `folder.lies_in` out of `_Walk._inner`; take names that are not UTF-8.
@pytest.mark.parametrize("name", CASES)
async def test_sources_that_are_no_steady_files_fail_by_name_and_the_others_arrive(tmp_path: Path, name: str) -> None:
    case, _ = CASES[name]

    assert await case(tmp_path) == []
