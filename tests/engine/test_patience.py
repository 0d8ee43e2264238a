"""What a file may be refused, split, locked out or broken off without losing its chances to arrive.

Owns: the difference between a miss (sent whole, not in the listing) and all that is no fault of the file's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from emasync import Limits, OutcomeState, Settings
from emasync.simulator import Fault, Simulator
from tests.contract.stage import QUICK, USERS, calls, connect, sent_names, some_bytes, tree, write

UPLINK, LIST = "em/files/uplink", "em/files/list"
ONE_BY_ONE: Settings = replace(QUICK, workers=1)


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.005))


def many(count: int, *, folder: str = "in") -> dict[str, bytes]:
    return {f"{folder}/f{number:03}": b"%d" % number for number in range(count)}


async def test_calls_that_were_too_large_are_no_misses_of_their_files(tmp_path: Path) -> None:
    # Sabotage: UplinkState.take_missing counts sends instead of misses: "sent 4 times, but it is not in the listing".
    files = many(100)
    dropping = Fault("drop_files", endpoint=UPLINK, after=3)  # 100, 50 and 25 files are refused: this is the next
    async with Simulator(USERS, uplink_files=20, faults=[dropping]) as sim, connect(sim, settings=ONE_BY_ONE) as em:
        report = await em.uplink(f"{write(tmp_path, files)}/")
        report.raise_for_failures()
        assert tree(sim.volume("client1")) == files
        assert len(sent_names(sim)) == len(files) + 1


async def test_files_that_go_away_one_after_the_other_take_no_other_file_with_them(tmp_path: Path) -> None:
    # Sabotage: UplinkRequestSender._failed leaves `complete` True: the files in front of the fifth end as unknown.
    files = {f"f{number}": some_bytes(40_000, seed=number) for number in range(10)}
    gone = {"f2", "f4", "f5", "f7", "f9"}
    local = write(tmp_path, files)
    async with Simulator(USERS, buffering=True) as sim, connect(sim) as em, anyio.create_task_group() as tasks:
        paused = sim.breakpoint(LIST)

        async def remove() -> None:
            await paused.wait_until_hit()
            for name in gone:
                (local / name).unlink()
            paused.release()

        tasks.start_soon(remove)
        report = await em.uplink(f"{local}/", overwrite="skip")  # lists before it sends
        assert {outcome.path for outcome in report.failed} == gone
        assert report.unknown == ()
        assert tree(sim.volume("client1")) == {name: data for name, data in files.items() if name not in gone}


async def test_files_sent_again_keep_to_the_size_that_a_call_should_have(tmp_path: Path) -> None:
    # Sabotage: Uplink._repacked packs without target_bytes: one call of all six.
    files = {f"f{number}": some_bytes(50_000, seed=number) for number in range(6)}
    settings = replace(QUICK, limits=Limits(uplink_target=100_000))
    async with Simulator(USERS) as sim, connect(sim, settings=settings) as em:
        sim.faults.add(Fault("drop_files", endpoint=UPLINK, count=2, times=3))
        report = await em.uplink(f"{write(tmp_path, files)}/")
        assert [outcome.state for outcome in report.outcomes] == [OutcomeState.DONE] * 6
        assert [len(request.detail["files"]) for request in calls(sim, UPLINK)] == [2] * 6
