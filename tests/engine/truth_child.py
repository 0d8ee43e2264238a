"""A client process of its own, for `test_truth_memory`: one job, then its peak resident memory and what it moved."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from emasync import Client, Limits, Settings


def _peak_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM in /proc/self/status")


async def main(url: str, job: str, local: str) -> None:
    settings = Settings(durable=False, state_dir=None, limits=Limits(uplink_call=2_000_000_000))
    began = time.monotonic()
    async with Client(url, username="client1", password="secret", settings=settings) as em:
        if job == "up":
            report = await em.uplink(f"{local}/", dest="up", workers=16)
        else:
            report = await em.downlink("there/", into=local, workers=16)
        report.raise_for_failures()
    seconds = time.monotonic() - began
    sys.stdout.write(f"{len(report.done)} {report.bytes} {report.requests} {_peak_kib()} {seconds:.1f}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
