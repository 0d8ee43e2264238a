"""Very many small files, up and down, in a client process that is held to I6: bounded memory and open files.

Owns: the tree, the run and the verdict. May import the stage and the checker.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.checker import Run, read_journal, sha256, violations
from tests.faults.stage_kills import Way
from tests.faults.stage_local import PASSWORD, USER, an_em, ended, started

WORKERS: Final = 8
_PEAK_KIB: Final = 128 * 1024
OPEN_FILES: Final = 64 + 4 * WORKERS
_TASKS: Final = 5 * WORKERS  # workers, as many stand-ins, what a request starts; a task per call of 5000 files: 50
_IN_A_FOLDER: Final = 1000
_CHILD: Final = str(Path(__file__).with_name("local_child.py"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What moving so many files took."""

    wrong: tuple[str, ...]
    peak_kib: int
    open_files: int


def make_many(folder: Path, count: int) -> dict[str, str]:
    """`count` files of a few bytes, every tenth empty; their SHA-256 by path."""
    made: dict[str, str] = {}
    for number in range(count):
        name = f"part-{number // _IN_A_FOLDER:03}/{number:06}"
        if number % _IN_A_FOLDER == 0:
            (folder / name).parent.mkdir(parents=True)
        data = b"" if number % 10 == 0 else b"file %d" % number
        (folder / name).write_bytes(data)
        made[name] = sha256(data)
    return made


async def many_files(folder: Path, *, way: Way, count: int, limit_s: float) -> Cost:
    """Move them in a process of its own; what the checker says, and what it cost."""
    async with an_em(folder / "em") as sim:
        local = folder / "home/local"
        files = make_many(local if way == "up" else sim.volume(USER), count)
        async with started(
            sim.url, folder / "home", sim.url, PASSWORD, way, str(local), str(WORKERS), script=(_CHILD,)
        ) as child:
            end = await ended(child, limit_s=limit_s)
        destination = sim.volume(USER) if way == "up" else local
        wrong = [*end.ugly(), *([f"exit {end.code}: {end.err[-500:]}"] if end.code else [])]
        told = json.loads(end.out or "{}")
        if told.get("done") != count or told.get("files") != count:
            wrong.append(f"{count} files were asked for, the report has {told}")
        rows = folder / f"home/{way}.journal"
        if len(read_journal(rows)) != count:
            wrong.append(f"I2 the journal has not {count} rows")
        wrong += violations(Run(direction=way, wanted=files, destination=destination, rows=rows, ended_ok=not end.code))
    shutil.rmtree(folder, ignore_errors=True)
    peak, most = int(told.get("peak_kib", 0)), int(told.get("open", 0))
    if not 0 < peak <= _PEAK_KIB:
        wrong.append(f"I6 {count} files {way}: a peak of {peak} KiB, {_PEAK_KIB} are allowed")
    if not 0 < most <= OPEN_FILES:
        wrong.append(f"I6 {count} files {way}: {most} open files, {OPEN_FILES} are allowed")
    if not 0 < (tasks := int(told.get("tasks", 0))) <= _TASKS:
        wrong.append(f"I6 {count} files {way}: {tasks} tasks at once, {_TASKS} are allowed")
    return Cost(wrong=tuple(wrong), peak_kib=peak, open_files=most)
