"""Many files up and down: everything arrives as it was, in the fewest calls, and nothing is left behind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from emasync.simulator import Simulator
from tests.contract.stage import USERS, calls, connect, sent_names
from tests.engine.truth_stage import (
    SWIFT,
    a_mixed_bag,
    assert_nothing_is_left,
    before,
    hashes,
    many,
    swift,
)

MB = 1_000_000


# Sabotage: in `UplinkBody.chunks` forget `waiting.clear()`, in its `__init__` call each Part by `item.remote`; in
# `FileDownlink._store` leave out the `rest`, in `AtomicFile.discard` the `os.close` of the folder: each fails here.
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_500_mixed_files_go_up_and_come_back_with_16_workers_and_nothing_is_left(tmp_path: Path) -> None:
    source = a_mixed_bag(tmp_path / "source")
    sent = hashes(source)
    assert len(sent) == 500
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    was = before()
    async with Simulator(USERS, root=tmp_path / "em") as sim:
        async with connect(sim, settings=SWIFT) as em:
            up = await em.uplink(f"{source}/", dest="all", workers=16)
            assert hashes(sim.volume("client1") / "all") == sent
            down = await em.downlink("all/", into=tmp_path / "back", workers=16)
        for report in (up, down):
            assert report.ok
            assert len(report.done) == len(report.outcomes) == len({one.path for one in report.outcomes}) == 500
            assert report.bytes == size
            assert report.wasted_bytes == 0
        assert {one.path: one.sha256 for one in down.done} == {f"all/{name}": value for name, value in sent.items()}
    assert hashes(tmp_path / "back") == sent
    await assert_nothing_is_left(was, [tmp_path])


# Sabotage: pack one file a call (`plan_uplink` with limits of one), or do not group by folder: more, or wrong, calls.
async def test_300_files_in_12_folders_take_12_uplink_calls_and_one_listing(tmp_path: Path) -> None:
    source = many(tmp_path / "source", 300, parts=12)
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        report = await em.uplink(f"{source}/", dest="d")
        assert len(report.done) == 300
        assert len(calls(sim, "em/files/uplink")) == 12
        assert len(calls(sim, "em/files/list")) == 1
        assert {entry.detail["dest_path"] for entry in calls(sim, "em/files/uplink")} == {
            f"d/part-{part:02}" for part in range(12)
        }


# Sabotage: raise `Limits.uplink_files` to 125: two calls, which the server refuses with a bare 400.
async def test_250_files_in_one_folder_take_3_calls_of_at_most_100(tmp_path: Path) -> None:
    source = many(tmp_path / "source", 250)
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        report = await em.uplink(f"{source}/", dest="d")
        assert len(report.done) == 250
        uplinks = calls(sim, "em/files/uplink")
        assert len(uplinks) == 3
        assert all(len(entry.detail["files"]) <= 100 and entry.status == 200 for entry in uplinks)
        assert max(Counter(sent_names(sim)).values()) == 1


# Sabotage: compare with the limit after adding the file in packing: the server answers MAX_UPLINK_SIZE_EXCEEDED.
async def test_no_call_is_above_the_byte_limit_and_a_file_above_it_is_refused_before_a_byte_is_sent(
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    sizes = [60_000, 50_000, 40_000, 30_000, 20_000, 100_000, 100_001]
    for size in sizes:
        (source / f"{size}.bin").write_bytes(b"x" * size)
    settings = swift(limits=SWIFT.limits.__class__(uplink_call=100_000))
    async with Simulator(USERS, uplink_limit=100_000) as sim, connect(sim, settings=settings) as em:
        report = await em.uplink(f"{source}/", dest="d")
        assert [str(one.path) for one in report.failed] == ["d/100001.bin"]
        assert len(report.done) == 6
        uplinks = calls(sim, "em/files/uplink")
        assert all(entry.status == 200 for entry in uplinks)
        carried = [sum(int(Path(name).stem) for name in entry.detail["files"]) for entry in uplinks]
        assert max(carried) <= 100_000
        assert len(uplinks) <= 4
