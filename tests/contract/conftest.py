"""One suite through `Client`, on the simulator in its three generations, or on a real EM.

With EMASYNC_TEST_URL (and _USERNAME, _PASSWORD) set, the tests whose only EM fixture is `em` run on that EM, in a
folder of their own that is deleted afterwards; tests that use `sim` or `simulate` are skipped.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import anyio
import pytest

from emasync import BadRequestError, Client, NotFoundError
from emasync.simulator import Generation, Simulator
from tests.contract.stage import QUICK, USERS, Simulate, connect

REAL_URL = os.environ.get("EMASYNC_TEST_URL")


@pytest.fixture(params=["real"] if REAL_URL else ["seed", "pods", "pvc"])
def generation(request: pytest.FixtureRequest) -> str:
    """The generation of the EM's API; `real` stands for that of the EM at EMASYNC_TEST_URL."""
    return str(request.param)


@pytest.fixture
def simulate(generation: str) -> Simulate:
    """A factory of simulators of this generation, whose pods take milliseconds."""
    if generation == "real":
        pytest.skip("needs a simulator: it looks behind the API, or injects a fault")
    return _factory(generation)


@pytest.fixture
async def _running(generation: str) -> AsyncIterator[Simulator | None]:
    if generation == "real":
        yield None
        return
    async with _factory(generation)() as sim:
        yield sim


def _factory(generation: str) -> Simulate:
    return partial(Simulator, USERS, generation=cast("Generation", generation), pod_start=0.02, pod_run=0.02)


@pytest.fixture
def sim(_running: Simulator | None) -> Simulator:
    """The simulator behind `em`."""
    if _running is None:
        pytest.skip("needs a simulator: it looks behind the API, or injects a fault")
    return _running


@pytest.fixture
async def em(_running: Simulator | None) -> AsyncIterator[Client]:
    """An open Client."""
    async with _client(_running) as client:
        yield client


def _client(sim: Simulator | None) -> Client:
    if sim is not None:
        return connect(sim)
    return Client(
        REAL_URL or "",
        username=os.environ["EMASYNC_TEST_USERNAME"],
        password=os.environ["EMASYNC_TEST_PASSWORD"],
        settings=QUICK,
    )


@pytest.fixture
async def folder(em: Client) -> AsyncIterator[str]:
    """The name of a folder of the volume that only this test uses."""
    name = f"emasync-contract-{uuid.uuid4().hex[:8]}"
    yield name
    try:
        await em.files.delete(name)
    except (BadRequestError, NotFoundError):
        pass  # the test never made the folder, or has deleted it


@pytest.fixture(autouse=True)
async def _no_task_is_left() -> AsyncIterator[None]:
    tasks_at_start = asyncio.all_tasks()
    yield
    for _ in range(100):  # closed connections need a few iterations of the loop to end
        if asyncio.all_tasks() <= tasks_at_start | {asyncio.current_task()}:
            return
        await anyio.sleep(0.005)
    assert asyncio.all_tasks() <= tasks_at_start | {asyncio.current_task()}


@pytest.fixture(autouse=True)
def _no_temporary_file_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(".emasync-")] == []


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait seconds for a listing that may lag behind: the simulator's listing does not."""
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.005))
