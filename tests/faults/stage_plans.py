"""Plans and dry syncs of very many files, each in a client process that is held to I6: bounded memory.

Owns: the files, the runs and the verdict. May import the server of large answers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.faults.flood_server import flooding, listing_of

JOBS: Final = ("plan down", "sync down", "plan up", "sync up")
_CHILD: Final = str(Path(__file__).with_name("plan_child.py"))
_PEAK_KIB: Final = 128 * 1024
_FILES: Final = 200_000
_IDLE_KIB: Final = 44 * 1024
_A_FILE_KIB: Final = (_PEAK_KIB - _IDLE_KIB) / _FILES


def plan_many(folder: Path, jobs: Sequence[str], *, count: int, limit_s: float) -> tuple[list[str], str]:
    """What was wrong with planning `count` files in these ways, and what each took. For 200,000 files 128 MiB are
    allowed; for fewer, their share of what that leaves beyond an idle client."""
    local = folder / "local"
    if any(job.endswith("up") for job in jobs):
        for number in range(count):
            if number % 2000 == 0:
                (local / f"{number // 2000:03}").mkdir(parents=True)
            (local / f"{number // 2000:03}" / f"file-{number:06}.bin").touch()
    body = listing_of(count)
    wrong, notes = [], []
    for job in jobs:
        empty = job == "sync up"  # nothing of it is on the EM yet: all files are to go
        with flooding({"/em/files/list": b'{"data":[]}' if empty else body}) as flood:
            command = [sys.executable, _CHILD, flood.url, job, str(local)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        if done.returncode:
            wrong.append(f"{job}: exit {done.returncode}: {done.stderr[-500:]}")
            continue
        told = json.loads(done.stdout)
        allowed = told["before"] + count * _A_FILE_KIB if count < _FILES else _PEAK_KIB
        notes.append(f"{job} of {count} files: {told['after']} KiB")
        if told["files"] != count:
            wrong.append(f"{job}: {told['files']} files of {count}")
        if not 0 < told["after"] <= allowed:
            wrong.append(f"I6 {notes[-1]}, {allowed:.0f} are allowed")
    return wrong, "; ".join(notes)
