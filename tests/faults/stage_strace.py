"""The N-th system call of a save fails: `strace` injects errors into a downlink by the real command line.

Owns: which calls there are, one injection with its run, its verdict and the run after it. May import the stage and the
checker. strace counts per thread and is attached when the first file is asked for, so N counts calls of the save path.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import anyio

from emasync.simulator import Fault, Simulator
from tests.faults.checker import Run, sha256, violations
from tests.faults.stage_local import Ended, an_em, emasync, ended, journals, started

CALLS: Final = (
    *("openat", "write", "fsync", "fchmod", "rename", "renameat", "renameat2", "unlink", "unlinkat", "close"),
    *("mkdir", "mkdirat", "link", "linkat", "flock"),
)
KEPT_CALLS: Final = ("link", "linkat", "unlink", "unlinkat")
"""What a save does otherwise where nothing may be replaced."""
_COSTLY: Final = ("write", "fsync", "fchmod", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "link", "linkat")
ERRORS: Final = ("ENOSPC", "EIO", "EINTR")
_DOWN: Final = ("down", "/", "--into", "out", "--json", "--workers", "1")
_OLD: Final = b"old bytes"
_CHILD: Final = str(Path(__file__).with_name("strace_child.py"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """The `nth` of these calls in a thread fails with `error`. `kept`: of a run that may replace nothing."""

    call: str
    error: str
    nth: int
    kept: bool = False

    @property
    def costly(self) -> bool:
        """Whether a file (or the journal) cannot be on disk for certain after it; a close may fail, an open be tried
        again, and Python calls anew after EINTR."""
        return self.call in _COSTLY and self.error != "EINTR"

    def __str__(self) -> str:
        return f"{self.for_strace}{' kept' if self.kept else ''}"

    @property
    def for_strace(self) -> str:
        """As strace has it."""
        return f"{self.call}:error={self.error}:when={self.nth}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """`struck`: how many calls were made to fail (one in each thread that made so many)."""

    struck: int
    wrong: tuple[str, ...]


def the_files(seed: int) -> dict[str, bytes]:
    """Empty, small, and of several chunks; in a new folder, and over a file that exists."""
    rng = random.Random(seed)
    return {"empty": b"", "sub/small": rng.randbytes(3000), "over": rng.randbytes(2_500_000)}


@cache
def not_traceable() -> str | None:
    """Why strace may not follow a process here; None if it may."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            tracer = ["strace", "-o", os.devnull, "-p", str(sleeper.pid)]
            with subprocess.Popen(tracer, stderr=subprocess.PIPE) as tried:
                assert tried.stderr is not None
                said = tried.stderr.readline()
                tried.terminate()
        finally:
            sleeper.kill()
    return None if b"attached" in said else f"strace may not attach: {said.decode().strip()}"


async def count_calls(folder: Path, *, seed: int, kept: bool = False) -> Counter[str]:
    """How often each call is made at most in one thread, when nothing fails."""
    log = folder / "strace"
    async with _attached(folder, seed=seed, log=log, kept=kept) as (_, end):
        assert end.code == 0, end.err
    per_thread: dict[str, Counter[str]] = {}
    for line in log.read_text().splitlines():
        if found := re.match(r"(?:(\d+) +)?(\w+)\(", line):
            per_thread.setdefault(found[1] or "", Counter())[found[2]] += 1
    return Counter({call: max(counts[call] for counts in per_thread.values()) for call in CALLS})


def matrix(counts: Counter[str], *, kept: bool = False) -> list[Injection]:
    """Every call that occurs, with every error, at every turn; of a run that is `kept`, what is new in it."""
    return [
        Injection(call=call, error=error, nth=nth, kept=kept)
        for call in (KEPT_CALLS if kept else CALLS)
        for nth in range(1, counts[call] + 1)
        for error in ERRORS
    ]


async def inject(folder: Path, injection: Injection, *, seed: int) -> Tried:
    """One run with the injection, and one without."""
    files, out, log = the_files(seed), folder / "home/out", folder / "strace"
    before = {} if injection.kept else {"over": sha256(_OLD)}
    async with _attached(folder, seed=seed, log=log, injection=injection, kept=injection.kept) as (sim, end):
        rows = next(iter(journals(folder / "home")), None)
        # Residue is asked for after the next run: the call that fails may be the one that removes it.
        first = Run(direction="down", wanted=files, destination=out, before=before, rows=rows)
        wrong = violations(first) + end.ugly() + _lies(end, files, out)
        again = await emasync(sim.url, folder / "home", *_words(kept=injection.kept))
        wrong += [f"the next run ended with {again.code}: {again.err[-300:]}"] if again.code else []
        wrong += violations(Run(direction="down", wanted=files, destination=out, before=before, ended_ok=True))
    struck = log.read_text().count("(INJECTED)")
    if struck and end.code == 0 and injection.costly:
        wrong.append("I2 exit 0 although it failed")
    return Tried(struck=struck, wrong=tuple(f"{injection}, seed {seed}: {one}" for one in wrong))


def _words(*, kept: bool) -> tuple[str, ...]:
    return (*_DOWN, "--overwrite", "skip") if kept else _DOWN


def _lies(end: Ended, files: dict[str, bytes], out: Path) -> list[str]:
    report = end.report
    wrong = [
        f"I2 {outcome.path} is called done and holds other bytes"
        for outcome in report.done
        if (out / outcome.path).read_bytes() != files[outcome.path]
    ]
    if end.code == 0 and (not report.ok or len(report.outcomes) != len(files)):
        wrong.append(f"I2 exit 0 with {len(report.failed)} failed of {len(report.outcomes)}")
    return wrong


@asynccontextmanager
async def _attached(
    folder: Path, *, seed: int, log: Path, injection: Injection | None = None, kept: bool = False
) -> AsyncIterator[tuple[Simulator, Ended]]:
    """A downlink that strace follows from its first request for a file on; the simulator is there until the end."""
    (folder / "home/out").mkdir(parents=True)
    if not kept:
        (folder / "home/out/over").write_bytes(_OLD)
    cut = Fault("cut_body", endpoint="em/files/downlink")  # one answer, so that a temporary file is removed, too
    async with an_em(folder / "em", the_files(seed), faults=[cut]) as sim:
        paused = sim.breakpoint("em/files/downlink", at="start")
        async with started(sim.url, folder / "home", *_words(kept=kept), script=(_CHILD,)) as process:
            with anyio.fail_after(40):
                await paused.wait_until_hit()
            tracer = await _trace(process.pid, log, injection)
            paused.release()
            try:
                end = await ended(process)
            finally:
                if tracer.returncode is None and process.returncode is None:
                    tracer.kill()
                await tracer.communicate()
        yield sim, end


async def _trace(pid: int, log: Path, injection: Injection | None) -> asyncio.subprocess.Process:
    """strace on every thread of `pid` but the first, which does no file work; it holds them when this returns."""
    threads = [tid for tid in sorted(os.listdir(f"/proc/{pid}/task"), key=int) if int(tid) != pid]  # noqa: PTH208
    trace = ("-e", f"trace={','.join(CALLS)}") if injection is None else ("-e", f"trace={injection.call}")
    faults: Sequence[str] = () if injection is None else ("-e", f"inject={injection.for_strace}")
    each = [word for tid in threads for word in ("-p", tid)]
    tracer = await asyncio.create_subprocess_exec(
        *("strace", "-o", str(log), *trace, *faults, *each),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert tracer.stderr is not None
    try:
        with anyio.fail_after(20):
            for _ in threads:
                said = await tracer.stderr.readline()
                assert b"attached" in said, said
    except BaseException:
        if tracer.returncode is None:
            tracer.kill()
        with anyio.CancelScope(shield=True):
            await tracer.communicate()
        raise
    return tracer
