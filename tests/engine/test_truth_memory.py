"""Peak memory of a client process stays under 128 MiB, however many or large the files (I6).

With EMASYNC_FULL=1 the one large file has 4 GiB, and there are 20,000 small ones; else 1 GiB and 3,000, where growth
with size or number shows as well. The JSON form at 1 GiB is in `tests/contract/test_memory.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.engine.truth_stage import many

FULL = bool(os.environ.get("EMASYNC_FULL"))
LARGE = (4 if FULL else 1) * 1024**3
COUNT = 20_000 if FULL else 3_000
BOUND_KIB = 128 * 1024

Measure: TypeAlias = Callable[[str, str, Path], tuple[int, int, int, int]]
Start: TypeAlias = Callable[[str], tuple[str, Path]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an EM of a generation in a process of its own; gives its URL and the volume."""
    with ExitStack() as stack:

        def run(generation: str) -> tuple[str, Path]:
            command = [sys.executable, "-m", "emasync", "simulator", "--port", "0", "-q"]
            command += ["--root", str(tmp_path / "em"), "--generation", generation]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.terminate)
            assert process.stdout is not None
            first = process.stdout.readline()
            return first.split()[3].rstrip(","), Path(first.rpartition(" at ")[2].strip())

        yield run


@pytest.fixture
def measure() -> Measure:
    """Runs a job in a child process: files done, bytes, requests, peak KiB."""

    def run(job: str, url: str, local: Path) -> tuple[int, int, int, int]:
        child = Path(__file__).with_name("truth_child.py")
        done = subprocess.run(
            [sys.executable, str(child), url, job, str(local)],
            capture_output=True,
            text=True,
            timeout=380,
            check=False,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        assert done.returncode == 0, done.stderr
        files, size, requests, peak, seconds = done.stdout.split()
        sys.stdout.write(f"{job}: {files} files, {size} bytes, {requests} requests, peak {peak} KiB, {seconds} s\n")
        return int(files), int(size), int(requests), int(peak)

    return run


# Sabotage: keep every `UplinkBody`, or every Progress event, in a list of the engine.
def test_many_small_files_pass_up_in_128_mib(start: Start, measure: Measure, tmp_path: Path) -> None:
    source = many(tmp_path / "source", COUNT, parts=10)
    url, _ = start("seed")
    files, size, requests, peak = measure("up", url, source)
    assert (files, size) == (COUNT, 10 * COUNT)
    assert requests >= COUNT // 100 + 1
    assert peak <= BOUND_KIB


# Sabotage: in `FileDownlink._store` make `ChunkBuffer(_BATCH)` for small files, too, and keep each in a list of Fetch.
# What costs less than about 25 KiB a file (its bytes, its Content) shows with EMASYNC_FULL at most; a task per file
# does so in `tests/faults/test_local_many.py`.
def test_many_small_files_pass_down_in_128_mib(start: Start, measure: Measure, tmp_path: Path) -> None:
    url, volume = start("seed")
    many(volume / "there", COUNT, parts=10)
    files, size, requests, peak = measure("down", url, tmp_path / "back")
    assert (files, size) == (COUNT, 10 * COUNT)
    assert requests == COUNT + 1
    assert peak <= BOUND_KIB


# Sabotage: write what `FileDownlink._store` collects only at the end.
@pytest.mark.parametrize("generation", ["pods", "seed"] if FULL else ["pods"])
def test_one_large_file_passes_down_in_128_mib(start: Start, measure: Measure, tmp_path: Path, generation: str) -> None:
    url, volume = start(generation)
    (volume / "there").mkdir()
    with (volume / "there" / "large.bin").open("wb") as file:
        file.truncate(LARGE)
    files, size, _, peak = measure("down", url, tmp_path / "back")
    (tmp_path / "back" / "large.bin").unlink()
    assert (files, size) == (1, LARGE)
    assert peak <= BOUND_KIB
