"""While another user holds the EM's lock it is asked now and then, however many workers wait (I7), on a real wire.

The limiter's clock runs fifty times as fast as wall time; the times of the request log are converted to it.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import pytest

from emasync import Client, RetryPolicy, Settings
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.simulator import Fault, LoggedRequest, Simulator
from tests.faults.checker import Run, storm, violations
from tests.faults.stage_local import PASSWORD, USER, an_em, some_files

PROBE = "em/pod/status"
_OPENING = 20  # requests that may be on their way before the limiter knows: see LimiterConfig.ramp_to
_FASTER = 50.0
_LOCKED_S = 40.0  # by the limiter's clock
_SETTINGS = Settings(
    workers=16, retry=RetryPolicy(base_s=0.001, cap_s=0.01, busy_timeout_s=1e6), durable=False, state_dir=None
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request by the limiter's clock."""

    at: float
    path: str
    status: int


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds / _FASTER)


@pytest.fixture
def _fast_limiter(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = partial(ConcurrencyLimiter, clock=lambda: time.monotonic() * _FASTER, sleep=_sleep)
    monkeypatch.setattr("emasync.client.ConcurrencyLimiter", limiter)


# Sabotage (all tried): no `self._backoff_level += 1` in LimiterScheduler; `_grant_probe` grants a second probe while
# one is under way (`self._probe_id is None` left out); `Client` makes its ConcurrencyLimiter without a probe (bodies
# go into the lock).
@pytest.mark.usefixtures("_fast_limiter")
async def test_a_lock_of_another_user_is_probed_at_most_eight_times_in_five_seconds_by_16_workers(
    tmp_path: Path,
) -> None:
    files = some_files(random.Random(5), 60)
    for name, data in files.items():
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_bytes(data)
    locked = Fault("busy_before", endpoint="em/*", times=None)
    async with an_em(tmp_path / "em", {f"there/{name}": data for name, data in files.items()}) as sim:
        async with Client(sim.url, username=USER, password=PASSWORD, settings=_SETTINGS) as em:
            sources = await em.plan_uplink(f"{tmp_path}/src/", dest="new")
            wanted = await em.plan_downlink("there/")
            sim.faults.add(locked)
            up, down = em.apply(sources), em.apply(wanted, into=tmp_path / "into")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_await, up)
                tasks.start_soon(_await, down)
                await asyncio.sleep(_LOCKED_S / _FASTER)
                refused = [one for one in _by_the_limiters_clock(sim) if one.status == 423]
                sim.faults.clear()
    burst = [file for file in refused if file.path != PROBE]
    assert len(burst) <= _OPENING
    assert max(one.at for one in burst) < min(file.at for file in refused if file.path == PROBE)  # no body as a probe
    probes = [one for one in _by_the_limiters_clock(sim) if one not in burst]
    assert sum(one.status == 423 for one in probes) >= 8  # it was asked again and again, and not only once
    assert storm(probes, items=2 * len(files), budget=0) == []
    destination = sim.volume(USER) / "new"
    assert (
        violations(Run(direction="down", wanted=files, destination=tmp_path / "into", report=None, ended_ok=True)) == []
    )
    assert violations(Run(direction="down", wanted=files, destination=destination, report=None, ended_ok=True)) == []
    assert up.report.ok
    assert down.report.ok


def _by_the_limiters_clock(sim: Simulator) -> list[_Asked]:
    first: LoggedRequest = sim.requests[0]
    return [_Asked((request.at - first.at) * _FASTER, request.path, request.status) for request in sim.requests]


async def _await(transfer: object) -> None:
    await transfer  # type: ignore[misc]  # a Transfer, of either direction
