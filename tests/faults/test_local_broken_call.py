"""One unreadable file breaks a call off: its neighbours go again at once, without waiting for a listing that lags."""

from __future__ import annotations

import random
from pathlib import Path

from emasync import Client, Settings
from tests.faults.checker import Run, violations
from tests.faults.stage_local import PASSWORD, USER, an_em


# sabotage: leave `may_appear` out of `Uplink._confirm_by_listing`; leave `unsent=after` out of
# `UplinkRequestSender._failed`.
async def test_neighbours_of_a_file_that_cannot_be_read_are_sent_again_after_one_look(tmp_path: Path) -> None:
    rng = random.Random(6)
    files = {f"f{index}": rng.randbytes(2000 - index) for index in range(6)}
    for name, data in files.items():
        (tmp_path / "src").mkdir(exist_ok=True)
        (tmp_path / "src" / name).write_bytes(data)
    culprit = tmp_path / "src/f3"
    settings = Settings(durable=False, state_dir=None)
    async with an_em(tmp_path / "em") as sim:
        async with Client(sim.url, username=USER, password=PASSWORD, settings=settings) as em:
            plan = await em.plan_uplink(f"{tmp_path}/src/")
            culprit.unlink()
            report = await em.apply(plan)
        run = Run(direction="up", wanted=files, destination=sim.volume(USER), report=report)
        looks = [request for request in sim.requests if request.path == "em/files/list"]

    assert violations(run) == []
    assert [str(outcome.path) for outcome in report.failed] == ["f3"]
    assert len(looks) <= 3
