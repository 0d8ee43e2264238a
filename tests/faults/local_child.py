"""A client process of its own: one job, and in the end what it cost: peak memory, and the most open files and tasks.

Prints one JSON line. Arguments: URL, password, ``up`` or ``down``, the local folder, workers.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from emasync import Client, Settings
from emasync.transfer.events import Event, Progress, Settled, Started

_EVERY = 16  # events between two looks at /proc


def _peak_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM in /proc/self/status")


class OpenFiles:
    """The most open files, and the most tasks, seen at an event."""

    def __init__(self) -> None:
        self.most = self.tasks = self._events = 0

    def take(self, event: Event) -> None:
        """Look, every few events."""
        if isinstance(event, Started | Progress | Settled):
            self._events += 1
            if self._events % _EVERY == 1:
                self.most = max(self.most, len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - only their number
                self.tasks = max(self.tasks, len(asyncio.all_tasks()))


async def main(url: str, password: str, job: str, local: str, workers: str) -> None:
    """Move everything one way."""
    seen = OpenFiles()
    folder = Path(local)
    settings = Settings(durable=False, state_dir=folder.parent / "state")
    journal = folder.parent / f"{job}.journal"
    async with Client(url, username="client1", password=password, settings=settings) as em:
        if job == "up":
            moving = em.uplink(f"{local}/", workers=int(workers), on_event=seen.take, journal=journal)
        else:
            moving = em.downlink("/", local, workers=int(workers), on_event=seen.take, journal=journal)
        report = await moving
    told = {"done": len(report.done), "files": len(report.outcomes)}
    told |= {"peak_kib": _peak_kib(), "open": seen.most, "tasks": seen.tasks}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
