"""A child process for the journal's tests: ``python -m ... PATH hold`` or ``PATH write``; tells what is durable."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import anyio

from emasync.model import Direction
from emasync.transfer.state.journal import Journal, open_journal
from emasync.transfer.state.schema import Intent
from tests.unit.transfer.state.journal_samples import done, key_of


def tell(text: str) -> None:
    os.write(1, f"{text}\n".encode())


async def write(journal: Journal, worker: int) -> None:
    """Moves file after file without end; tells of each step once it was acknowledged."""
    for number in range(1_000_000):
        key = key_of(f"{os.getpid()}-{worker}-{number}", direction=Direction.DOWNLINK)
        await journal.record_intents([Intent(key=key, size=10)])
        await journal.record_sent([key])
        tell(f"sent {key.remote}")
        await journal.record_outcomes([done(key)])
        tell(f"done {key.remote}")


async def main(path: Path, task: str) -> None:
    async with open_journal(path) as journal:
        tell("open")
        async with anyio.create_task_group() as group:
            for worker in range(4 if task == "write" else 0):
                group.start_soon(write, journal, worker)
            if task == "hold":
                await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
