"""Disks that are full, limits of the system, and folders without rights: a truthful end for every file, no residue."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.stage_limits import cases
from tests.faults.stage_local import missing

CASES = cases(3)


# sabotage: let `AtomicFile.write` swallow OSError; leave the `os.unlink` out of `AtomicFile.discard`; let
# `worst` of the exit codes return DONE.
@pytest.mark.parametrize("name", CASES)
async def test_what_the_machine_refuses_fails_truthfully_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    case, tools = CASES[name]
    if why := missing(*tools):
        pytest.skip(why)

    assert await case(tmp_path) == []
