from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emasync.model import Direction
from emasync.transfer.state.journal import open_journal
from emasync.transfer.state.schema import ItemState
from tests.unit.transfer.state.journal_samples import key_of

ROOT = Path(__file__).parents[3]


@contextmanager
def child(path: Path, task: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the journal open; killed at the end, if not before."""
    command = [sys.executable, "-m", "tests.unit.transfer.state.journal_writer", str(path), task]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


def killed_after(lines: int, path: Path) -> list[str]:
    """All that a writer told before it was killed, `lines` lines after it had begun."""
    with child(path, "write") as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        return [line.strip() for line in (*told, *process.stdout.readlines()) if line.endswith("\n")]


async def test_kill_9_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    # Sabotage: answer the waiters before COMMIT, or PRAGMA journal_mode = OFF.
    path, told, chance = tmp_path / "j.db", list[str](), random.Random(7)
    for _ in range(8):
        told += killed_after(chance.randrange(1, 60), path)
        steps = {key_of(line[5:], direction=Direction.DOWNLINK): line[:4] for line in told}
        async with open_journal(path, wait_s=0.0) as journal:
            rows = await journal.lookup(steps)
        for key, step in steps.items():
            assert rows[key].state in ((ItemState.DONE,) if step == "done" else (ItemState.SENT, ItemState.DONE))
            assert (rows[key].sha256 is not None) is (rows[key].state is ItemState.DONE)


async def test_another_process_is_refused_until_the_holder_is_dead(tmp_path: Path) -> None:
    # Sabotage: locking_mode = NORMAL, or a lock file that a killed process leaves behind.
    path = tmp_path / "j.db"
    with child(path, "hold") as holder:
        with pytest.raises(BlockingIOError, match="in use by another emasync run"):
            async with open_journal(path, wait_s=0.0):
                pass
        holder.kill()
        holder.wait()
        async with open_journal(path, wait_s=0.0) as journal:
            assert await journal.summary() == []
