"""A client process of its own: one plan or dry sync, and in the end how far it took memory.

Prints one JSON line: files planned, peak memory before and after, in KiB. Arguments: URL, job, local folder.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from emasync import Client, Settings


def _peak_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM in /proc/self/status")


async def main(url: str, job: str, local: str) -> None:
    """Plan everything one way."""
    async with Client(url, username="u", password="p", settings=Settings(state_dir=None, durable=False)) as em:
        before = _peak_kib()
        if job == "plan down":
            files = (await em.plan_downlink([""])).files
        elif job == "plan up":
            files = (await em.plan_uplink([f"{local}/"])).files
        elif job == "sync down":
            files = len((await em.sync_down("", Path(local).parent / "nothing here", dry_run=True)).plan)
        else:
            files = len((await em.sync_up(local, "dir-000000", dry_run=True)).plan)
        after = _peak_kib()
    sys.stdout.write(json.dumps({"files": files, "before": before, "after": after}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
