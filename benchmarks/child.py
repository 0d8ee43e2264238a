"""One measured run, in a process of its own: ``python -m benchmarks.child PEER VERB``, the job on standard input.

Prints what it took as one line of JSON. What the side imports is loaded before the clock starts; its log-in counts.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from benchmarks.job import Job, Watch


def main(peer: str, verb: str) -> None:
    job = Job.load(sys.stdin.read())
    work: Callable[[Job, Watch], None] = getattr(importlib.import_module(f"benchmarks.peers.{peer}"), verb)
    gc.collect()
    watch = Watch()
    work(job, watch)
    sample = watch.end()
    print(json.dumps(asdict(sample)))


if __name__ == "__main__":
    main(*sys.argv[1:])
