"""The sample files and the image of ``emasync demo``, and the check of what came back.

Prints nothing. Must not import anything of emasync but the simulator's `PodContext`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import anyio

from emasync.simulator import PodContext

IMAGE = "emasync-demo"
"""What the demo calls the image that it builds; a simulator's `behaviour` is registered under it."""

_SIZES = (0, 700, 4_096, 48_000, 300_000, 1_500_000)
_FOLDERS = ("samples/camera", "samples/camera/raw frames", "samples/spectra", "samples/télémétrie")
_SCRIPT = """#!/bin/sh
# Runs in the pod, where the volume is /data: one checksum for each sample.
set -e
cd /data/{folder}
mkdir -p results
find samples -type f | while IFS= read -r file; do
  sha256sum "$file"
done > results/checksums.txt
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCheck:
    """`same`: files equal to what was sent; `results`: right checksums from the pod; `wrong`: names of all others."""

    same: int
    results: int
    wrong: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """A tree below `root`, its files' SHA-256 by relative path."""

    root: Path
    sha256: dict[str, str]
    bytes: int

    @property
    def count(self) -> int:
        """How many files there are."""
        return len(self.sha256)

    def check(self, down: Path) -> SampleCheck:
        """Compare the tree below `down` and the pod's checksums with what was sent."""
        differ = [name for name, sent in self.sha256.items() if _sha256(down / name) != sent]
        found = _read_checksums(down / "results" / "checksums.txt")
        expected = {name: digest for name, digest in self.sha256.items() if name.startswith("samples/")}
        bad = [f"results/checksums.txt: {name}" for name in expected if found.get(name) != expected[name]]
        return SampleCheck(same=self.count - len(differ), results=len(expected) - len(bad), wrong=differ + bad)


def make_samples(root: Path, count: int, folder: str, base: str) -> Samples:
    """`count` files of random bytes in nested folders, from empty to 1.5 MB, and a Dockerfile with its script."""
    for index in range(count):
        path = root / _FOLDERS[index % len(_FOLDERS)] / f"sample {index:03}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(_SIZES[index % len(_SIZES)]))
    dockerfile = f'FROM {base}\nCOPY process.sh /process.sh\nCMD ["/bin/sh", "/process.sh"]\n'
    (root / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    (root / "process.sh").write_text(_SCRIPT.format(folder=folder), encoding="utf-8")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return Samples(
        root=root,
        sha256={path.relative_to(root).as_posix(): _sha256(path) for path in files},
        bytes=sum(path.stat().st_size for path in files),
    )


async def process(pod: PodContext, *, run_s: float) -> int:
    """What the image does, for the simulator, whose pods are coroutines: the same as the script, after `run_s`."""
    await pod.clock.sleep(run_s)
    for samples in sorted(pod.volume.glob("emasync-demo-*/samples")):
        await anyio.to_thread.run_sync(_checksums, samples)
    return 0


def _checksums(samples: Path) -> None:
    results = samples.parent / "results"
    results.mkdir(exist_ok=True)
    files = sorted(path for path in samples.rglob("*") if path.is_file())
    lines = [f"{_sha256(path)}  {path.relative_to(samples.parent).as_posix()}\n" for path in files]
    (results / "checksums.txt").write_text("".join(lines), encoding="utf-8")


def _read_checksums(file: Path) -> dict[str, str]:
    """SHA-256 by name, as ``sha256sum`` writes it; empty where the pod left no such file."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
