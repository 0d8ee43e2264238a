"""Python calls through the package for one more small file of a downlink: ``python -m benchmarks.calls_per_file``.

Counts calls, not seconds: the figure does not depend on the machine. A server in its own process holds the files; the
downlink is counted with `sys.setprofile` in all threads of this process, with few and with many files; the difference
is the cost of the files alone. Must not import emasync beyond its public names: it also measures other versions.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import emasync
from benchmarks.harness import serving
from benchmarks.servers.plan import ServerPlan
from emasync import Client, Settings

PACKAGE = Path(emasync.__file__).parent
_SIZE = 4096
_FEW, _MANY = 50, 150


class CallCounter:
    """Counts the calls of functions whose source lies in the package, the simulator's apart.

    The resumption of a coroutine or generator is no call: the interpreter reports it like one, but at an instruction
    RESUME whose argument is not 0.
    """

    def __init__(self) -> None:
        self._names: dict[CodeType, str | None] = {}
        self._counters: list[Counter[str]] = []
        self._local = threading.local()

    def total(self) -> Counter[str]:
        """Calls of each ``module:function`` so far, of all threads."""
        return sum(self._counters, Counter())

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        """The function for `sys.setprofile`."""
        if event != "call":
            return
        code = frame.f_code
        if code not in self._names:
            self._names[code] = function_name(code)
        name = self._names[code]
        if name is None or is_resumption(frame):
            return
        counter: Counter[str] | None = getattr(self._local, "counter", None)
        if counter is None:
            counter = self._local.counter = Counter()
            self._counters.append(counter)
        counter[name] += 1

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count in this thread and in those that start meanwhile."""
        threading.setprofile(self.profile)
        sys.setprofile(self.profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def is_resumption(frame: FrameType) -> bool:
    """Whether the call event of `frame` goes on with a suspended coroutine or generator."""
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti + 1] != 0


def module_of(code: CodeType) -> str | None:
    """The module of the package that `code` lies in, without the package's name; None for foreign code and the
    simulator."""
    path = Path(code.co_filename)
    if not path.is_relative_to(PACKAGE):
        return None
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return None if name.startswith("simulator.") else name


def function_name(code: CodeType) -> str | None:
    """``module:function`` of a function of the package."""
    module = module_of(code)
    return None if module is None else f"{module}:{code.co_qualname}"


def cost_of_a_file(few: Counter[str], many: Counter[str], *, files: int) -> dict[str, float]:
    """Calls a file by function: what `many` counted beyond `few`, for `files` more files. Functions that cost nothing
    are left out."""
    more = {name: (many[name] - few[name]) / files for name in many.keys() | few.keys()}
    return {name: calls for name, calls in more.items() if calls}


async def downlink(url: str, into: str) -> None:
    """Bring all files of the server to `into` with one worker."""
    settings = Settings(durable=False, state_dir=None)
    async with Client(url, username="client1", password="secret", settings=settings) as em:
        report = await em.downlink("data/", into=into, workers=1)
        report.raise_for_failures()


def count(files: int) -> Counter[str]:
    """The calls of one downlink of `files` files, from the opening of the client to its end."""
    counter = CallCounter()
    with serving(ServerPlan(small=files, small_size=_SIZE)) as server, tempfile.TemporaryDirectory() as into:
        with counter.counting():
            asyncio.run(downlink(server.url, into))
        found = sum(1 for path in Path(into).rglob("*") if path.is_file())
    if found != files:
        raise RuntimeError(f"{found} files arrived, not {files}")
    return counter.total()


def report(costs: Sequence[Mapping[str, float]], *, functions: int) -> Iterator[str]:
    """The median of the runs in lines: the sum, then the `functions` that are called most often."""
    totals = sorted(sum(cost.values()) for cost in costs)
    yield f"{statistics.median(totals):.1f} calls a file ({totals[0]:.1f} to {totals[-1]:.1f} in {len(totals)} runs)"
    names = {name for cost in costs for name in cost}
    median = {name: statistics.median(cost.get(name, 0.0) for cost in costs) for name in names}
    modules = {name.partition(":")[0] for name, calls in median.items() if calls >= 0.5}
    yield f"{len(modules)} modules take part in every other file or more: {' '.join(sorted(modules))}"
    for name, calls in sorted(median.items(), key=lambda item: (-item[1], item[0]))[:functions]:
        yield f"{calls:8.2f}  {name}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls_per_file", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="pairs of downlinks, whose median counts (default: 5)")
    parser.add_argument("--functions", type=int, default=30, help="how many functions are listed (default: 30)")
    options = parser.parse_args(arguments)
    costs = [cost_of_a_file(count(_FEW), count(_MANY), files=_MANY - _FEW) for _ in range(options.runs)]
    print(f"emasync {emasync.__version__}, downlink of {_SIZE} byte files, one worker, fsync off")
    print(*report(costs, functions=options.functions), sep="\n")


if __name__ == "__main__":
    main()
