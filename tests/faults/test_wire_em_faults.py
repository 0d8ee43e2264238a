"""Faults of the EM itself, one kind a transfer: every file ends right, or says why not, and the EM is not stormed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.stage_wire_em import TROUBLES, Trouble, quick_waits, suffer

_NAMES = [f"{trouble.direction}-{trouble.name}" for trouble in TROUBLES]


# sabotage (each was tried), and the troubles that then fail:
# - transfer.verdicts: a file that is not listed counts as arrived: fewer-files-stored, taken-before-it-was-sent
# - transfer.send: `_too_many` is False for a bare 400: more-files-than-a-call-may-have
# - caller: never `tokens.replace`: the-token-is-shorter-than-the-upload
# - wire.downlink: `_same` never raises: a-wrong-byte
@pytest.mark.parametrize("trouble", TROUBLES, ids=_NAMES)
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_transfer_through_this_trouble_ends_right(tmp_path: Path, trouble: Trouble, seed: int) -> None:
    with quick_waits():
        result = await suffer(trouble, tmp_path, rng=random.Random(f"{trouble.name} {seed}"))
    assert result.wrong == ()
    assert result.faults
