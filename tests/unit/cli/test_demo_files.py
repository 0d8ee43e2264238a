"""What the demo moves, and that its check would notice whatever came back wrong."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from emasync.cli.demo_files import Samples, make_samples, process
from emasync.simulator import PodContext, VirtualClock

FOLDER = "emasync-demo-test"


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    return make_samples(tmp_path / "up", 9, FOLDER, "alpine")


async def _on_the_em(samples: Samples, volume: Path) -> Path:
    """The volume's folder after the uplink and the pod."""
    shutil.copytree(samples.root, volume / FOLDER)
    clock = VirtualClock(auto=True)
    pod = PodContext(volume=volume, image="x", node="FPGA", command=None, args=(), envs={}, max_duration=1, clock=clock)
    began = clock.now()
    assert await process(pod, run_s=30.0) == 0
    assert clock.now() - began == 30.0
    return volume / FOLDER


def test_samples_are_as_many_as_asked_for_and_a_dockerfile_with_its_script(samples: Samples) -> None:
    assert samples.count == 9 + 2
    assert samples.bytes == sum(path.stat().st_size for path in samples.root.rglob("*") if path.is_file())
    assert {"Dockerfile", "process.sh"} <= set(samples.sha256)
    assert any(path.stat().st_size == 0 for path in samples.root.rglob("*.bin"))  # an empty file is among them
    assert any(not name.isascii() for name in samples.sha256)
    assert samples.sha256.keys() == make_samples(samples.root.parent / "again", 9, FOLDER, "alpine").sha256.keys()
    assert (samples.root / "Dockerfile").read_text().startswith("FROM alpine\n")


async def test_what_comes_back_whole_is_right(samples: Samples, tmp_path: Path) -> None:
    down = await _on_the_em(samples, tmp_path / "volume")

    checked = samples.check(down)

    assert (checked.same, checked.results, checked.wrong) == (11, 9, [])


async def test_a_changed_a_missing_and_a_wrong_checksum_are_each_named(samples: Samples, tmp_path: Path) -> None:
    # Sabotage: compare sizes instead of hashes; look only at what came back.
    down = await _on_the_em(samples, tmp_path / "volume")
    changed, missing, misjudged = [name for name in samples.sha256 if name.startswith("samples/")][:3]
    (down / changed).write_bytes(b"x" * (down / changed).stat().st_size + b"y")
    (down / missing).unlink()
    results = down / "results" / "checksums.txt"
    results.write_text(results.read_text().replace(samples.sha256[misjudged] + "  " + misjudged, "0" * 64))

    checked = samples.check(down)

    assert sorted(checked.wrong) == sorted([changed, missing, f"results/checksums.txt: {misjudged}"])
    assert (checked.same, checked.results) == (9, 8)


async def test_results_that_are_missing_are_wrong_and_not_a_crash(samples: Samples, tmp_path: Path) -> None:
    down = await _on_the_em(samples, tmp_path / "volume")
    shutil.rmtree(down / "results")

    checked = samples.check(down)

    assert (checked.same, checked.results, len(checked.wrong)) == (11, 0, 9)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="the script is for a Linux pod")
async def test_the_script_for_a_real_pod_writes_what_the_simulators_pod_writes(
    samples: Samples, tmp_path: Path
) -> None:
    simulated = await _on_the_em(samples, tmp_path / "simulated")
    real = tmp_path / "real"
    shutil.copytree(samples.root, real / FOLDER)
    script = (real / FOLDER / "process.sh").read_text().replace("/data/", f"{real}/")

    subprocess.run(["/bin/sh", "-c", script], check=True, timeout=20)

    written = (real / FOLDER / "results" / "checksums.txt").read_text().splitlines()
    assert sorted(written) == sorted((simulated / "results" / "checksums.txt").read_text().splitlines())
    assert samples.check(real / FOLDER).wrong == []
