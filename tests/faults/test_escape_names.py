"""No name that a server says, in whatever place it says it, makes a file outside the destination (I4)."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.cli.child import run
from tests.faults.hostile_names import families
from tests.faults.stage_escape import TRIALS, Ground, with_real_paths

NAMES = families()


def test_there_are_hundreds_of_hostile_names_of_every_family() -> None:
    assert len({hostile.name for hostile in NAMES}) == len(NAMES) >= 300
    kinds = Counter(hostile.family for hostile in NAMES)
    assert len(kinds) == 17
    assert min(kinds.values()) >= 5


@pytest.mark.parametrize("trial", TRIALS)
async def test_no_hostile_name_leads_outside_or_is_accepted(tmp_path: Path, trial: str) -> None:
    # Sabotage: `name_problem` returns None for a name that starts with a dot, or never looks at the NFKC form;
    # RemotePath resolves `..` and `_landing` joins it unchecked; Fetch saves under `content.facts.filename`.
    ground = Ground(tmp_path / "ground")
    assert await TRIALS[trial](with_real_paths(NAMES, ground), ground) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user; this run is that other user already")
def test_a_user_who_is_not_root_fares_no_worse() -> None:
    # Sabotage: drop O_NOFOLLOW in `folder._enter`.
    # Not in tmp_path: pytest keeps what is above it to root, and every session that starts sees to that again.
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        result = run("-m", "tests.faults.stage_escape", name, home=folder)
        assert result.returncode == 0, result.stderr[-3000:]
    said = json.loads(result.stdout)
    assert said["uid"] != 0
    assert said["found"] == []
