"""The row `soak`: one Client of 16 workers, up and down at once, for minutes under faults of every kind.

Owns: the rounds, and the growth of this process's memory and handles. Runs when asked for only (``--soak MINUTES``);
scale 1.0 is 20 minutes. The EM is another process, `soak_em`; what a round came to, the checker says.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import anyio

from emasync import Client, EMError, RetryPolicy, Settings, Timeouts
from emasync.transfer.transfer import Transfer
from tests.faults.checker import Run, sha256, tree, violations
from tests.torture.row import Order, Row

NAME: Final = "soak"
_FULL_S: Final = 1_200.0
_WARM_UP_S: Final = 120.0
_SAMPLE_S: Final = 5.0
_SLOPE_MIB: Final = 1.0  # per ten minutes: more is a leak
_HANDLES: Final = 40  # more than after the warm-up: 16 connections each way may be open, or not
_WORKERS: Final = 16
_AGAIN: Final = 8
_SETTINGS: Final = Settings(
    workers=_WORKERS,
    durable=False,
    state_dir=None,
    retry=RetryPolicy(base_s=0.05, cap_s=1.0),
    timeouts=Timeouts(stall_s=5.0, answer_s=5.0, long_answer_s=5.0),
)


@dataclass(slots=True)
class _Course:
    """What the soak has come to so far."""

    rng: random.Random
    folder: Path
    volume: Path
    kept: Mapping[str, str]  # what the downlinks bring: path to SHA-256
    there: Mapping[str, str]  # the same, by the path in the volume
    rounds: int = 0
    files: int = 0
    again: int = 0
    wrong: int = 0
    lost: int = 0
    failures: list[str] = field(default_factory=list)
    samples: list[tuple[float, float]] = field(default_factory=list)  # seconds, MiB
    handles: list[int] = field(default_factory=list)


def run(order: Order) -> Row:
    """Rounds until the time is over, in a process as nice as can be."""
    os.nice(10)
    _one_heap()
    rng = random.Random(order.seed)
    with _em(order.folder / "em", rng.getrandbits(32)) as em_said:
        volume = Path(em_said["volume"])
        kept = _files(volume / "keep", rng, count=60)
        course = _Course(rng=rng, folder=order.folder, volume=volume, kept=kept, there=tree(volume))
        anyio.run(_soak, course, em_said["url"], _FULL_S * order.scale)
    return _row(course, faults=em_said["faults"])


def _one_heap() -> None:
    """glibc gives each file thread a heap of its own, and these settle for longer than a soak lasts, by 10 MiB and
    more: growth that is no leak. With one heap (mallopt M_ARENA_MAX) what grows is what somebody holds."""
    with contextlib.suppress(AttributeError, OSError):  # another libc
        ctypes.CDLL(None).mallopt(-8, 1)


async def _soak(course: _Course, url: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    warm = time.monotonic() + min(_WARM_UP_S, seconds / 2)
    async with Client(url, username="client1", password="secret", settings=_SETTINGS) as em:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_sample, course, warm)
            while time.monotonic() < end and len(course.failures) < 20:
                await _round(course, em)
            tasks.cancel_scope.cancel()


async def _round(course: _Course, em: Client) -> None:
    """One folder up and one down at the same time, each until it is done; then both are cleared away."""
    course.rounds += 1
    name = f"round-{course.rounds}"
    source, into = course.folder / f"{name}-source", course.folder / f"{name}-into"
    sent = _files(source, course.rng, count=course.rng.randrange(5, 60))
    into.mkdir()
    journal = course.folder / f"{name}.db" if course.rng.random() < 0.5 else None
    up = Run(
        direction="up",
        wanted={f"{name}/{path}": fact for path, fact in sent.items()},
        landed=course.volume,
        before=course.there,
    )
    down = Run(direction="down", wanted=course.kept, landed=into, rows=journal)
    async with anyio.create_task_group() as both:
        both.start_soon(_until_done, course, up, lambda: em.uplink(f"{source}/", dest=name))
        both.start_soon(_until_done, course, down, lambda: em.downlink("keep/", into=into, journal=journal))
    course.files += len(sent) + len(course.kept)
    for folder in (source, into, course.volume / name):
        await anyio.to_thread.run_sync(shutil.rmtree, folder)
    if journal is not None:
        journal.unlink()


async def _until_done(course: _Course, run: Run, make: Callable[[], Transfer]) -> None:
    """The same call until nothing is left, as a patient user would; what each of them claims is checked."""
    for turn in range(_AGAIN):
        course.again += turn > 0
        try:
            report = await make()
        except EMError:
            continue  # the listing, or the log-in, failed for good: a user calls again
        found = violations(replace(run, report=report, ended_ok=report.ok))
        course.wrong += sum(one.startswith(("I1", "I2")) for one in found)
        course.failures += [f"round {course.rounds}, {run.direction}: {one}" for one in found]
        if report.ok:
            return
    there = tree(run.landed)
    lost = [path for path, fact in run.wanted.items() if there.get(path) != fact]
    course.lost += len(lost)
    course.failures.append(f"round {course.rounds}, {run.direction}: not done after {_AGAIN} calls: {lost[:5]}")


async def _sample(course: _Course, warm: float) -> None:
    """Memory and handles of this process, every few seconds once it is warm."""
    while True:
        await anyio.sleep(_SAMPLE_S)
        if (now := time.monotonic()) >= warm:
            course.samples.append((now, _rss_mib()))
            course.handles.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 -- the bare count


def _rss_mib() -> float:
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return resident * os.sysconf("SC_PAGESIZE") / 2**20


def slope_per_ten_minutes(samples: list[tuple[float, float]]) -> float:
    """How fast the second grows with the first (seconds), by least squares; 0 where there is too little to tell."""
    if len(samples) < 3:
        return 0.0
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return 600.0 * sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread


def _quarters(sizes: list[float]) -> str:
    """A leak grows in all of them; what only settles does not."""
    edges = [round(len(sizes) * part / 4) for part in range(5)]
    parts = [sizes[start:end] for start, end in itertools.pairwise(edges)]
    return ", ".join(f"{sum(part) / len(part):.1f}" for part in parts if part)


def _row(course: _Course, *, faults: int) -> Row:
    slope = slope_per_ten_minutes(course.samples)
    if slope > _SLOPE_MIB:
        course.failures.append(f"memory grows by {slope:.2f} MiB in 10 minutes, {_SLOPE_MIB:g} is allowed")
    if course.handles and course.handles[-1] > course.handles[0] + _HANDLES:
        course.failures.append(f"open handles grew from {course.handles[0]} to {course.handles[-1]}")
    sizes = [size for _, size in course.samples] or [_rss_mib()]
    return Row(
        name=NAME,
        tries=course.rounds,
        faults=faults,
        failures=tuple(course.failures),
        files_lost=course.lost,
        files_wrong=course.wrong,
        note=(
            f"{course.files} files in {course.rounds} rounds, {course.again} calls made again; "
            f"RSS {sizes[0]:.1f} to {sizes[-1]:.1f} MiB, highest {max(sizes):.1f}, {len(sizes)} samples, "
            f"slope {slope:+.2f} MiB in 10 minutes; mean of each quarter {_quarters(sizes)}"
        ),
    )


def _files(folder: Path, rng: random.Random, *, count: int) -> dict[str, str]:
    """Make files below `folder`, most of them small: relative path to SHA-256."""
    made: dict[str, str] = {}
    for number in range(count):
        name = f"{rng.choice(('', 'a/', 'a/b c/'))}f{number:03}.bin"
        data = rng.randbytes(rng.choice((0, 1, 900, 20_000, 20_000, 150_000, 1_500_000)))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        made[name] = sha256(data)
    return made


@contextmanager
def _em(root: Path, chance: int) -> Iterator[dict[str, Any]]:
    """The EM's process. What it says is in the mapping: `url`, `volume`, and after the end `requests` and `faults`."""
    command = [sys.executable, "-m", "tests.torture.soak_em", str(root), str(chance)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            said: dict[str, Any] = json.loads(process.stdout.readline())
            yield said
            process.stdin.close()
            said |= json.loads(process.stdout.readline())
            process.wait(20)
        finally:
            process.kill()
