"""The client process of `test_memory`: does one job and prints how far its peak memory rose above idle."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from emasync import Client, Limits, Settings


def _kib(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {name} in /proc/self/status")


async def main(url: str, job: str, local: str) -> None:
    settings = Settings(durable=False, limits=Limits(uplink_call=2_000_000_000))
    async with Client(url, username="client1", password="secret", settings=settings) as em:
        await em.files.read("small.bin")  # logs in, connects, and imports all modules
        (await em.uplink(Path(local).with_name("small.bin"))).raise_for_failures()
        idle = _kib("VmRSS")
        moved = 0
        if job == "stream":
            async with em.files.stream("big.bin") as chunks:
                async for chunk in chunks:
                    moved += len(chunk)
        elif job == "downlink":
            report = await em.downlink("big.bin", into=Path(local).parent / "out")
            report.raise_for_failures()
            moved = report.bytes
        else:
            report = await em.uplink(local, dest="up")
            report.raise_for_failures()
            moved = report.bytes
        sys.stdout.write(f"{moved} {_kib('VmHWM') - idle}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
