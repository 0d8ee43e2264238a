"""Measuring: sides take turns (A B C A B C ...), each run in a fresh process, each pair gives a ratio.

Owns: the turns, the child processes, the server's, and how runs become a row. Knows nothing of the work itself.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.job import Job, Sample
from benchmarks.results import Comparison, SideResult, Spread
from benchmarks.servers.plan import ServerPlan

ROOT = Path(__file__).parent.parent
_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a row is to be run. `scratch` is a folder of its own on a disk; `ram` one in memory, where there is one."""

    full: bool
    pairs: int
    scratch: Path
    ram: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Somebody who does the work: `verb` of ``benchmarks.peers.<peer>``."""

    name: str
    peer: str
    verb: str
    job: Job
    writes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """emasync (`mine`) is to take at most `at_most` times as long as `against`; None: measured for the record only."""

    mine: str
    against: str
    at_most: float | None = None


class ServerProcess:
    """A server process."""

    def __init__(self, port: str) -> None:
        self.url = f"http://127.0.0.1:{port}/"

    def control(self, name: str) -> dict[str, Any]:
        """What the control channel answers."""
        with urlopen(f"{self.url}bench/{name}", timeout=_TIMEOUT_S) as reply:
            answer: dict[str, Any] = json.load(reply)
        return answer


@contextmanager
def serving(plan: ServerPlan) -> Iterator[ServerProcess]:
    """A server that holds what `plan` says, ready to be asked."""
    command = [sys.executable, "-m", "benchmarks.servers"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        print(plan.dump(), file=process.stdin, flush=True)
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError("the benchmark server did not start")
        yield ServerProcess(port)
        process.stdin.close()


def measure(side: Side) -> Sample:
    """One run of one side; RuntimeError with its last words if it fails."""
    command = [sys.executable, "-m", "benchmarks.child", side.peer, side.verb]
    done = subprocess.run(
        command, input=side.job.dump(), capture_output=True, text=True, cwd=ROOT, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{side.name} failed: {done.stderr.strip()[-2000:]}")
    return Sample(**json.loads(done.stdout.splitlines()[-1]))


def take_turns(
    sides: Sequence[Side],
    *,
    pairs: int,
    before: Callable[[Side], None] = lambda side: None,
    check: Callable[[Side], None],
) -> dict[str, list[Sample]]:
    """Every side `pairs` times, in turn. `before` clears the table, `check` raises unless all arrived; both untimed."""
    samples: dict[str, list[Sample]] = {side.name: [] for side in sides}
    for _ in range(pairs):
        for side in sides:
            if side.job.into:
                shutil.rmtree(side.job.into, ignore_errors=True)
                Path(side.job.into).mkdir(parents=True)
            before(side)
            samples[side.name].append(measure(side))
            check(side)
    for side in sides:
        if side.job.into:
            shutil.rmtree(side.job.into, ignore_errors=True)
    return samples


def side_results(sides: Sequence[Side], samples: Mapping[str, Sequence[Sample]]) -> tuple[SideResult, ...]:
    """What each side took. All were checked: `take_turns` raises otherwise."""
    return tuple(
        SideResult(
            name=side.name,
            wall_s=Spread.of([one.wall_s for one in samples[side.name]]),
            cpu_s=statistics.median(one.cpu_s for one in samples[side.name]),
            rss_mib=statistics.median(one.peak_mib for one in samples[side.name]),
            rss_over_idle_mib=statistics.median(one.over_idle_mib for one in samples[side.name]),
            fsync=side.job.fsync if side.writes else None,
            verified=True,
        )
        for side in sides
    )


def compare(goals: Sequence[Goal], samples: Mapping[str, Sequence[Sample]]) -> tuple[Comparison, ...]:
    """The ratios of wall time, pair by pair."""
    return tuple(
        figure(
            goal.against if goal.mine == "emasync" else f"{goal.against} ({goal.mine})",
            [mine.wall_s / other.wall_s for mine, other in zip(samples[goal.mine], samples[goal.against], strict=True)],
            at_most=goal.at_most,
        )
        for goal in goals
    )


def figure(against: str, values: Sequence[float], *, at_most: float | None, unit: str = "x") -> Comparison:
    """A comparison of measured `values`; their median has to be `at_most` so much."""
    spread = Spread.of(values)
    if at_most is None:
        text = ""
    elif unit == "x" and at_most < 1:
        text = f"<= 1/{1 / at_most:g}"
    else:
        text = f"<= {at_most:g}" + (f" {unit}" if unit != "x" else "")
    return Comparison(
        against=against,
        goal=at_most,
        goal_text=text,
        ratio=spread.median,
        ratio_min=spread.min,
        ratio_max=spread.max,
        pairs=len(values),
        met=None if at_most is None else spread.median <= at_most,
        unit=unit,
    )
