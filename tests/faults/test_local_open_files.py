"""Open files stay within 64 and 4 for each worker (I6), with one worker as with many, for files that go to disk as they
come; how they stay so for thousands of small files is `test_local_many`."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.faults.checker import Run, violations
from tests.faults.stage_kills import Way
from tests.faults.stage_local import PASSWORD, USER, an_em, emasync, ended, missing, some_files, started

_CHILD = str(Path(__file__).with_name("local_child.py"))
_LARGE = 1_100_000  # more than may wait in memory until it is whole


# Sabotage: leave out `force_close` in DownlinkConnector and the bound in its `_release`, `_IDLE_S = 600` (up, a
# connection stays open for each call); or `open_writer` without its `leave` (down, the temporary file and folder stay
# open).
@pytest.mark.parametrize("workers", [1, 16])
@pytest.mark.parametrize("way", ["up", "down"])
async def test_open_files_stay_within_64_and_4_for_each_worker(tmp_path: Path, way: Way, workers: int) -> None:
    rng = random.Random(8)
    files = {f"large/{number:02}": rng.randbytes(_LARGE) for number in range(64)}
    files |= {f"folder {number:03}/small": rng.randbytes(100) for number in range(120)}
    local = tmp_path / "home/local"
    async with an_em(tmp_path / "em", files if way == "down" else None) as sim:
        for name, data in files.items() if way == "up" else ():
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            (local / name).write_bytes(data)
        words = (sim.url, PASSWORD, way, str(local), str(workers))
        async with started(sim.url, tmp_path / "home", *words, script=(_CHILD,)) as child:
            end = await ended(child)
        destination = sim.volume(USER) if way == "up" else local
    assert (end.code, end.ugly()) == (0, []), end.err
    assert 0 < json.loads(end.out)["open"] <= 64 + 4 * workers
    assert violations(Run(direction=way, wanted=files, destination=destination, ended_ok=True)) == []


# Sabotage: `FileDownlink.run` without `open_files.run` (down), or leave `short` out of
# `UplinkRequestSender._failed` (up): hundreds of files fail.
@pytest.mark.parametrize("limit", [64, 24])
@pytest.mark.parametrize("way", ["up", "down"])
async def test_with_too_few_open_files_all_files_arrive_and_a_note_says_why_it_is_slow(
    tmp_path: Path, way: Way, limit: int
) -> None:
    if why := missing("prlimit"):
        pytest.skip(why)
    files, home = some_files(random.Random(3), 400, folders=60), tmp_path / "home"
    for name, data in files.items() if way == "up" else ():
        (home / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "src" / name).write_bytes(data)
    words = ("up", "src/") if way == "up" else ("down", "/", "--into", "out")
    # the latency keeps all workers' connections open at once, so that the limit strikes whatever the machine does
    async with an_em(tmp_path / "em", files if way == "down" else None, latency=0.05) as sim:
        end = await emasync(sim.url, home, *words, "--workers", "64", wrap=("prlimit", f"--nofile={limit}"))
        destination = sim.volume(USER) if way == "up" else home / "out"
        moving = sum(request.path == f"em/files/{way}link" for request in sim.requests)
    assert (end.code, end.ugly()) == (0, []), end.err
    told = end.err.count("no more files can be opened")
    assert told == 1 or (told == 0 and (way, limit) == ("up", 64))  # few calls may be over before so many are under way
    assert violations(Run(direction=way, wanted=files, destination=destination, ended_ok=True)) == []
    assert moving <= (400 if way == "down" else 60) + 64 * 4
