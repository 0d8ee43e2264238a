"""What the lane costs and gains: a strict EM against the ideal serial client, an open one against one worker.

    python -m benchmarks.lane [FILES]

Exclusive: FILES (default 200) files of 64 KiB come down from a server that answers 423 to any second call and holds
each call for 50 ms; emasync with 16 workers against emasync with one, the same job strictly one by one, interleaved.
Open: a server with 100 ms latency and no lock, 16 workers against one.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from emasync import Client, Settings
from emasync.model import TransferReport

_SIZE = 64 * 1024
_PAIRS = 3


@contextmanager
def server(files: int, *, hold_s: float, exclusive: bool, latency_s: float) -> Iterator[tuple[str, dict[str, float]]]:
    """A server process; the dict is filled with its counts when the block ends."""
    arguments = [str(files), str(_SIZE), str(hold_s), "1" if exclusive else "0", str(latency_s)]
    command = [sys.executable, "-m", "benchmarks.busy_server", *arguments]
    counts: dict[str, float] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        yield f"http://127.0.0.1:{port}/", counts
        process.stdin.close()
        counts.update(json.loads(process.stdout.readline()))


async def down(url: str, workers: int) -> tuple[float, TransferReport]:
    """Seconds for the whole volume, log-in and listing included."""
    with tempfile.TemporaryDirectory() as into:
        began = time.perf_counter()
        settings = Settings(workers=workers, durable=False, state_dir=None)
        async with Client(url, username="client1", password="secret", settings=settings) as em:
            report = await em.downlink("data/", into=into)
        took = time.perf_counter() - began
    report.raise_for_failures()
    return took, report


def run(
    files: int, workers: int, *, hold_s: float = 0.0, exclusive: bool = False, latency_s: float = 0.0
) -> tuple[float, dict[str, float]]:
    with server(files, hold_s=hold_s, exclusive=exclusive, latency_s=latency_s) as (url, counts):
        took, report = asyncio.run(down(url, workers))
    assert len(report.done) == files
    return took, counts


def main(files: int = 200) -> None:
    ratios = []
    for _ in range(_PAIRS):
        many, counts = run(files, 16, hold_s=0.05, exclusive=True)
        one, _ = run(files, 1, hold_s=0.05, exclusive=True)
        ratios.append(many / one)
        late = counts["refused_late"] / max(1, counts["late"])
        print(
            f"exclusive, 50 ms, {files} files: 16 workers {many:.2f} s, one {one:.2f} s, ratio {many / one:.3f}; "
            f"423: {counts['refused']:.0f} of {counts['requests']:.0f}, after the first 20: {late:.1%}"
        )
    print(f"median ratio {statistics.median(ratios):.3f} (goal 1.05)")
    gains = []
    for _ in range(_PAIRS):
        many, _ = run(2 * files, 16, latency_s=0.1)
        one, _ = run(2 * files, 1, latency_s=0.1)
        gains.append(one / many)
        print(f"open, 100 ms, {2 * files} files: 16 workers {many:.2f} s, one {one:.2f} s, {one / many:.1f} x")
    print(f"median gain {statistics.median(gains):.1f} x (goal 12)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
