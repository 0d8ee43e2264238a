"""A piece of work for one side, as a value that crosses into the child process that does it.

Owns: the value, and the clock that the child is measured with. May import nothing of emasync.
"""

from __future__ import annotations

import json
import os
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`paths` of the volume (all of `folder`) come down to `into`, or the local `sources` go up to `dest`.

    `workers` calls may be under way at once. With `fsync`, files and the folder they are in are flushed before the work
    counts as done. `state` is a folder that emasync may keep its state in, empty for none.
    """

    url: str
    paths: tuple[str, ...] = ()
    folder: str = ""
    into: str = ""
    sources: tuple[str, ...] = ()
    dest: str = ""
    workers: int = 1
    fsync: bool = False
    state: str = ""

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Job:
        """The job that `dump` wrote."""
        data = json.loads(text)
        return cls(**{**data, "paths": tuple(data["paths"]), "sources": tuple(data["sources"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run took: seconds by the wall and of the processor, memory in MiB before the work and at its peak."""

    wall_s: float
    cpu_s: float
    idle_mib: float
    peak_mib: float

    @property
    def over_idle_mib(self) -> float:
        """The peak beyond what the process had before the work."""
        return max(0.0, self.peak_mib - self.idle_mib)


class Watch:
    """Measures one run in this process. A side whose preparation does not count calls `begin` again after it."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """The work begins now."""
        self._idle_mib = _memory_mib("VmRSS")
        self._cpu_s, self._wall_s = _cpu_s(), time.perf_counter()

    def end(self) -> Sample:
        """The work is done. If child processes did it (curl), the memory is that of the largest of them."""
        wall_s = time.perf_counter() - self._wall_s
        cpu_s = _cpu_s() - self._cpu_s
        children_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        if children_mib:
            return Sample(wall_s=wall_s, cpu_s=cpu_s, idle_mib=0.0, peak_mib=children_mib)
        return Sample(wall_s=wall_s, cpu_s=cpu_s, idle_mib=self._idle_mib, peak_mib=_memory_mib("VmHWM"))


def flush(*paths: str) -> None:
    """fsync of files and folders."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _memory_mib(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
