"""The N-th system call of a save fails. A few of them here; the torture row has every call, error and turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.stage_local import missing
from tests.faults.stage_strace import Injection, inject, not_traceable

SOME = [
    Injection(call="openat", error="EIO", nth=3),
    Injection(call="write", error="ENOSPC", nth=2),
    *(Injection(call="fsync", error="EIO", nth=nth) for nth in (1, 2, 3)),  # of data, and of folders
    Injection(call="fchmod", error="EIO", nth=1),
    Injection(call="renameat", error="ENOSPC", nth=2),
    Injection(call="close", error="EIO", nth=4),
    Injection(call="unlinkat", error="EIO", nth=1),
    Injection(call="write", error="EINTR", nth=1),
    Injection(call="mkdirat", error="ENOSPC", nth=1),
    Injection(call="flock", error="EIO", nth=1),
    Injection(call="linkat", error="EIO", nth=1, kept=True),
    Injection(call="linkat", error="ENOSPC", nth=2, kept=True),
    Injection(call="unlinkat", error="EIO", nth=1, kept=True),
]


# sabotage: let `AtomicFile.write` or `publish` swallow OSError; let `sweep` return 0; let `AtomicFile._move` take every
# error of `os.link` for a file system without hard links, or none for a failure (kept).
@pytest.mark.parametrize("injection", SOME, ids=str)
async def test_a_system_call_that_fails_costs_its_file_at_most_and_the_next_run_mends_it(
    tmp_path: Path, injection: Injection
) -> None:
    if why := missing("strace") or not_traceable():
        pytest.skip(why)

    tried = await inject(tmp_path, injection, seed=1)

    assert tried.wrong == ()
    assert tried.struck >= 1
