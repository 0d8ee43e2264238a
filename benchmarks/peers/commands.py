"""Two commands whose start is timed."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.job import Job, Watch


def version(job: Job, watch: Watch) -> None:
    _run("-m", "emasync", "--version")


def nothing(job: Job, watch: Watch) -> None:
    _run("-c", "pass")


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
