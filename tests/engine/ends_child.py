"""A process of its own for `test_ends_killed`: everything up, then everything down, with a journal.

Says `begin` when it starts to move, `end` and what the reports say when it is through.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from emasync import Client, Settings, TransferReport


def _told(report: TransferReport) -> dict[str, object]:
    return {"ok": report.ok, "skipped": len(report.skipped), "files": len(report.outcomes)}


async def main(url: str, password: str, source: Path, folder: Path) -> None:
    settings = Settings(state_dir=folder / "state", workers=4)
    journal = folder / "journal.sqlite"
    async with Client(url, username="client1", password=password, settings=settings) as em:
        sys.stdout.write("begin\n")
        sys.stdout.flush()
        up = await em.uplink(f"{source}/", dest="run", journal=journal)
        down = await em.downlink("run/", into=folder / "into", journal=journal)
        sys.stdout.write(json.dumps({"up": _told(up), "down": _told(down)}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])))
