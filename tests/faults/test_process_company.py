"""Two processes on one destination at once, and the same job twice."""

from __future__ import annotations

import random
from pathlib import Path

import anyio
import pytest

from emasync.simulator import Simulator
from tests.faults.checker import Run, residue, violations
from tests.faults.stage_kills import Way
from tests.faults.stage_local import USER, an_em, emasync, ended, some_files, started


# sabotage: let `temporary_name` return the same name for every file of a target; leave the `flock` out of `_create`.
@pytest.mark.parametrize("way", ["up", "down"])
async def test_two_processes_with_one_destination_both_end_well_and_every_file_is_whole(
    tmp_path: Path, way: Way
) -> None:
    files = some_files(random.Random(3), 24, large=4)
    files["d0/huge"] = random.Random(4).randbytes(1_500_000)  # its temporary file exists while the request is paused
    async with an_em(tmp_path / "em", files if way == "down" else None, bandwidth=3e6) as sim:
        destination = sim.volume(USER) if way == "up" else tmp_path / "out"
        for name, data in files.items() if way == "up" else ():
            (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "src" / name).write_bytes(data)
        words = ("up", f"{tmp_path}/src/") if way == "up" else ("down", "/", "--into", str(tmp_path / "out"))
        paused = sim.breakpoint(f"em/files/{way}link", at="body")
        async with started(sim.url, tmp_path / "one", *words, "-q") as first:
            with anyio.fail_after(40):
                await paused.wait_until_hit()
            async with started(sim.url, tmp_path / "two", *words, "-q") as second:
                await _both_are_moving(sim, f"em/files/{way}link")
                paused.release()
                ends = [await ended(first), await ended(second)]

        assert [end.code for end in ends] == [0, 0], [end.err for end in ends]
        assert [end.ugly() for end in ends] == [[], []]
        assert violations(Run(direction=way, wanted=files, destination=destination, ended_ok=True)) == []


async def _both_are_moving(sim: Simulator, path: str) -> None:
    """Two log-ins, and a request for `path` after the second one: each process has one that is paused."""
    with anyio.fail_after(40):
        while [request.path for request in sim.requests if request.path in ("auth/", "em/files/list")].count(
            "auth/"
        ) < 2:
            await anyio.sleep(0.005)
        second = max(index for index, one in enumerate(sim.requests) if one.path == "auth/")
        while all(request.path != path for request in sim.requests[second:]):
            await anyio.sleep(0.005)


# sabotage: open the journal without its lock.
async def test_the_same_job_twice_at_once_is_refused_and_the_first_one_ends_well(tmp_path: Path) -> None:
    files, home = some_files(random.Random(4), 12), tmp_path / "home"
    async with an_em(tmp_path / "em", files) as sim:
        paused = sim.breakpoint("em/files/downlink", at="start")
        async with started(sim.url, home, "down", "/", "--into", "out", "-q") as first:
            with anyio.fail_after(40):
                await paused.wait_until_hit()
            second = await emasync(sim.url, home, "down", "/", "--into", "out", "-q")
            paused.release()
            end = await ended(first)

    assert second.code not in (0, 130), second.err
    assert second.ugly() == []
    assert (end.code, end.ugly()) == (0, [])
    assert violations(Run(direction="down", wanted=files, destination=home / "out", ended_ok=True)) == []
    assert residue(home) == []
