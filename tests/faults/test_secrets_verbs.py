"""No verb of the command shows or keeps a secret (I5), with ``-vv`` and asyncio's debug log.

The EM says back all it was told. Here a dozen verbs, each in one mode; the torture row takes all verbs and all modes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.origins import Echo
from tests.faults.stage_secrets import verb_trial

PAIRS = (
    ("ls", "200 lists"),
    ("ls json", "500 cut"),
    ("cat", "envelope"),
    ("rm", "403"),
    ("up json", "400"),
    ("down", "200 lists"),
    ("sync down", "redirect"),
    ("image build", "400"),
    ("pod status", "200 pods"),
    ("node ls", "200 names"),
    ("doctor", "auth 401"),
    ("auth login", "auth redirect"),
)


# Sabotage: as in test_secrets_echo; or let a verb print its Client's log-in.
@pytest.mark.parametrize(("verb", "mode"), PAIRS)
async def test_a_verb_gives_nothing_away(verb: str, mode: str, tmp_path: Path) -> None:
    assert await verb_trial(verb, Echo(mode=mode), tmp_path) == []
