"""No symbolic link, planted before or during a transfer, leads a write or a deletion outside (I4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.stage_escape import Ground
from tests.faults.stage_links import CASES


# Sabotage: drop O_NOFOLLOW in directory._enter (above, swapped, deleting); drop O_EXCL and O_NOFOLLOW in
# atomic_file._create (the temporary name); return at the top of _check_not_swapped (becomes); let `sweep` list a
# directory by its path (a dead file).
@pytest.mark.parametrize("case", CASES)
async def test_no_link_leads_outside(tmp_path: Path, case: str) -> None:
    assert await CASES[case](Ground(tmp_path / "ground")) == []
