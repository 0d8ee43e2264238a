"""curl: the limit of what the machine can do. A downlink is the wire bytes as they are, not decoded."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote

from benchmarks.job import Job, Watch, flush

_FILES_A_CALL = 100


def down(job: Job, watch: Watch) -> None:
    """One file after the other if `workers` is 1, else in parallel."""
    lines = []
    for path in job.paths:
        lines.append(f'url = "{job.url}em/files/downlink?filepath={quote(path)}"')
        lines.append(f'output = "{job.into}/{Path(path).name}"')
    parallel = ["-Z", "--parallel-immediate", "--parallel-max", str(job.workers)] if job.workers > 1 else []
    _curl([*parallel, "--config", "-"], "\n".join(lines))
    if job.fsync:
        flush(*(f"{job.into}/{Path(path).name}" for path in job.paths), job.into)


def up(job: Job, watch: Watch) -> None:
    """As many files in one call as the EM takes."""
    for first in range(0, len(job.sources), _FILES_A_CALL):
        parts = [f"files=@{path}" for path in job.sources[first : first + _FILES_A_CALL]]
        fields = [word for part in (f"dest_path={job.dest}", *parts) for word in ("-F", part)]
        _curl([*fields, f"{job.url}em/files/uplink"], "")


def _curl(arguments: list[str], config: str) -> None:
    subprocess.run(
        ["curl", "-sS", "--fail", *arguments], input=config, text=True, check=True, stdout=subprocess.DEVNULL
    )
