"""Plans as values: made, saved, read again and applied later."""

from __future__ import annotations

from pathlib import Path

from emasync import Client, OutcomeState
from emasync.simulator import Simulator
from emasync.transfer.planning.plan import DownlinkPlan, UplinkPlan
from emasync.transfer.planning.plan_file import dump_plan, load_plan
from tests.contract.stage import calls, tree, write

UP = "em/files/uplink"


async def test_a_plan_sends_nothing_and_is_applied_later(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: Client.apply ignores the plan's calls and packs anew with other limits.
    files = {f"d{index % 3}/f{index}.bin": bytes([index]) * index for index in range(30)}
    write(tmp_path / "src", files)
    plan = await em.plan_uplink(f"{tmp_path / 'src'}/", "data")
    assert calls(sim, UP) == []
    assert (plan.files, len(plan.calls)) == (30, 3)

    again = load_plan(dump_plan(plan))
    assert isinstance(again, UplinkPlan)
    report = await em.apply(again)

    assert report.ok
    assert len(calls(sim, UP)) == 3
    assert tree(sim.volume("client1") / "data") == files

    down = await em.plan_downlink(["data/"])
    again = load_plan(dump_plan(down))
    assert isinstance(again, DownlinkPlan)
    report = await em.apply(again, into=tmp_path / "out")
    assert report.ok
    assert tree(tmp_path / "out") == files


async def test_a_source_that_changed_since_it_was_planned_fails(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: UplinkBody reads without expect=item.fingerprint.
    write(tmp_path, {"a.bin": b"one", "b.bin": b"two"})
    plan = await em.plan_uplink([tmp_path / "a.bin", tmp_path / "b.bin"])
    (tmp_path / "a.bin").write_bytes(b"other")

    report = await em.apply(plan)

    ends = {outcome.path: outcome.state for outcome in report.outcomes}
    assert ends == {"a.bin": OutcomeState.FAILED, "b.bin": OutcomeState.DONE}
    assert type(report.failed[0].error).__name__ == "SourceChangedError"
