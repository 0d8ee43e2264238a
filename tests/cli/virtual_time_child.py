"""The command line with virtual time between two looks at a pod: ``python -m tests.cli.virtual_time_child pod wait``.

Owns: replacing the clock and the sleep of `em.pods`; each pause of seconds takes a few real milliseconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import anyio

import emasync.client
from emasync.__main__ import main
from emasync.api import Pods


class VirtualTime:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self._began = datetime.now(UTC)
        self._now_s = 0.0

    def now(self) -> float:
        return self._now_s

    def wall(self) -> datetime:
        return self._began + timedelta(seconds=self._now_s)

    async def sleep(self, seconds: float) -> None:
        self._now_s += seconds
        await anyio.sleep(0.003)


if __name__ == "__main__":
    time = VirtualTime()
    emasync.client.Pods = partial(  # type: ignore[assignment,attr-defined]
        Pods, sleep=time.sleep, clock=time.now, wall_clock=time.wall
    )
    main()
