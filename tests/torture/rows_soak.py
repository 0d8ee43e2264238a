"""The row `soak`: one Client of 16 workers, up and down at once, for minutes under faults of every kind.

Owns: the rounds, and the growth of this process's memory and handles. Runs when asked for only (``--soak MINUTES``);
scale 1.0 is 20 minutes. The EM is another process, `soak_em`; what a round came to, the checker says.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
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
_SLOPE_MIB: Final = 0.5  # of what is held, per ten minutes: more is a leak, and half of what must never pass
_REST_MIB: Final = 1.0  # the same of RSS at rest, for what malloc does not know of: stacks, mappings
_JUDGED_S: Final = 300.0  # of a shorter time the slope says more of chance
_IN_BLOCKS: Final = re.compile(rb"# bytes in allocated blocks\s+=\s+([\d,]+)")
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
    held: list[tuple[float, float]] = field(default_factory=list)  # seconds, MiB
    rest: list[tuple[float, float]] = field(default_factory=list)  # the same, RSS
    raw: list[tuple[float, float]] = field(default_factory=list)  # the same before anything is given back
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
        while time.monotonic() < end and len(course.failures) < 20:
            await _round(course, em)
            if time.monotonic() >= warm:
                _measure(course)


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
        destination=course.volume,
        before=course.there,
    )
    down = Run(direction="down", wanted=course.kept, destination=into, rows=journal)
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
        course.wrong += sum(finding.startswith(("I1", "I2")) for finding in found)
        course.failures += [f"round {course.rounds}, {run.direction}: {finding}" for finding in found]
        if report.ok:
            return
    there = tree(run.destination)
    lost = [path for path, fact in run.wanted.items() if there.get(path) != fact]
    course.lost += len(lost)
    course.failures.append(f"round {course.rounds}, {run.direction}: not done after {_AGAIN} calls: {lost[:5]}")


def _measure(course: _Course) -> None:
    """Memory and handles between two rounds: nothing is under way, so what is allocated somebody holds.

    RSS as it comes is the height of the largest flood so far: glibc keeps 10 MiB and more of what was freed. That
    grows without a leak, and a leak can live in it for an hour unseen. Collecting and trimming give back what nobody
    holds, and nothing else.
    """
    now = time.monotonic()
    course.raw.append((now, _rss_mib()))
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another libc: RSS alone
        course.held.append((now, _held_mib()))
        ctypes.CDLL(None).malloc_trim(0)
    course.rest.append((now, _rss_mib()))
    course.handles.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 -- the bare count


class _MallInfo(ctypes.Structure):
    """glibc's mallinfo2, bytes; `uordblks` and `hblkhd` are what is allocated, in heaps and in mappings of its own."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


def _held_mib() -> float:
    """What is allocated now, by malloc and in Python's own small blocks, whose arenas malloc does not know of."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _MallInfo
    info = ask()
    with tempfile.TemporaryFile() as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)  # CPython tells it there only
        try:
            sys._debugmallocstats()  # type: ignore[attr-defined,unused-ignore]
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        said.seek(0)
        blocks = _IN_BLOCKS.search(said.read())  # none with PYTHONMALLOC=malloc: then malloc has it all
    small = int(blocks[1].replace(b",", b"")) if blocks else 0
    return float(info.uordblks + info.hblkhd + small) / 2**20


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
    return ", ".join(f"{sum(part) / len(part):.2f}" for part in parts if part)


def _row(course: _Course, *, faults: int) -> Row:
    slope, rest = slope_per_ten_minutes(course.held), slope_per_ten_minutes(course.rest)
    judged = bool(course.rest) and course.rest[-1][0] - course.rest[0][0] >= _JUDGED_S
    for what, grows, allowed in (("what is held", slope, _SLOPE_MIB), ("RSS at rest", rest, _REST_MIB)):
        if judged and grows > allowed:
            course.failures.append(f"{what} grows by {grows:.2f} MiB in 10 minutes, {allowed:g} is allowed")
    if course.handles and course.handles[-1] > course.handles[0] + _HANDLES:
        course.failures.append(f"open handles grew from {course.handles[0]} to {course.handles[-1]}")
    held = [size for _, size in course.held] or [0.0]
    raw, highest = slope_per_ten_minutes(course.raw), max((size for _, size in course.raw), default=0.0)
    return Row(
        name=NAME,
        tries=course.rounds,
        faults=faults,
        failures=tuple(course.failures),
        files_lost=course.lost,
        files_wrong=course.wrong,
        note=(
            f"{course.files} files in {course.rounds} rounds, {course.again} calls made again; "
            f"held {held[0]:.2f} to {held[-1]:.2f} MiB, {len(held)} samples, slope {slope:+.2f} MiB in 10 minutes, "
            f"mean of each quarter {_quarters(held)}; RSS at rest {rest:+.2f}, as it comes {raw:+.2f}, "
            f"at most {highest:.1f} MiB{'' if judged else '; too short to judge'}"
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
