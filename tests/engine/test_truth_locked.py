"""A large uplink never goes into a lock: at most 1 MiB of it leaves before the engine waits."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from emasync import Client, Limits, RetryPolicy, Settings
from emasync.config import MIB
from emasync.http.limiter.scheduler import LimiterWaiting
from emasync.http.upload import Upload
from emasync.simulator import Fault, Simulator
from emasync.transfer.events import Event
from tests.contract.stage import USERS, calls, connect
from tests.engine.truth_stage import assert_nothing_is_left, before

UPLINK = "em/files/uplink"
LARGE = Settings(
    retry=RetryPolicy(base_s=0.001, cap_s=0.01), durable=False, state_dir=None, limits=Limits(uplink_call=2_100_000_000)
)


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[Upload]:
    """Every body that an aiohttp request was given, in order."""
    made: list[Upload] = []
    make = Upload.__init__

    def remember(self: Upload, *args: object, **keywords: object) -> None:
        make(self, *args, **keywords)  # type: ignore[arg-type]  # handed on as they came
        made.append(self)

    monkeypatch.setattr(Upload, "__init__", remember)
    return made


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


async def until_it_waits(em: Client, source: Path) -> list[LimiterWaiting]:
    """Uplink `source` until the engine says that it waits for the EM; then leave it."""
    waiting: list[LimiterWaiting] = []
    told = anyio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, LimiterWaiting):
            waiting.append(event)
            told.set()

    async with em.uplink(source, on_event=on_event):
        with anyio.fail_after(20):
            await told.wait()
    return waiting


# Sabotage: in `Upload` look for no early answer (`_check_for_response` returns at once): many MiB leave.
@pytest.mark.parametrize("hard", [False, True])
async def test_of_2_gb_at_most_1_mib_goes_to_an_em_that_says_423_at_once(
    tmp_path: Path, uploads: list[Upload], hard: bool
) -> None:
    source = sparse(tmp_path / "big.bin", 2_000_000_000)
    was = before()
    busy = Fault("busy_before", times=None, endpoint="em/*", hard=hard)
    async with Simulator(USERS, generation="pods", faults=[busy]) as sim, connect(sim, settings=LARGE) as em:
        assert await until_it_waits(em, source)
        assert len(uploads) == 1  # what comes next is a cheap call, to see whether the EM is free
        assert uploads[0].size > 2_000_000_000
        assert 0 < uploads[0].sent <= MIB
        assert all(entry.bytes_in <= MIB for entry in sim.requests)
        assert len(calls(sim, UPLINK)) == 1
    await assert_nothing_is_left(was, [tmp_path])


# Sabotage: no `stats.add(bytes_transferred=...)` in `UplinkRequestSender._body`: what was sent in vain is not told.
# Not asserted: how much leaves after the refusal. The socket's buffers take it, up to 40 MiB of it, and are not ours.
async def test_a_423_in_the_middle_of_a_body_stops_it_and_the_file_arrives_when_the_em_is_free(
    tmp_path: Path, uploads: list[Upload]
) -> None:
    source = sparse(tmp_path / "big.bin", 60 * MIB)
    seen = 24 * MIB
    fault = Fault("busy_during", endpoint=UPLINK, at=seen)
    async with Simulator(USERS, generation="pods", faults=[fault]) as sim, connect(sim, settings=LARGE) as em:
        report = await em.uplink(source)
        assert len(report.done) == 1
        assert [upload.complete for upload in uploads] == [False, True]
        assert calls(sim, UPLINK)[0].bytes_in >= seen
        assert (sim.volume("client1") / "big.bin").stat().st_size == 60 * MIB
        assert [entry.status for entry in calls(sim, UPLINK)] == [423, 200]
        assert report.wasted_bytes >= seen


# Sabotage: `RequestPipeline` sends the body again without entering the gate (no probe): the second body meets the lock
# too.
async def test_once_the_lock_is_gone_the_whole_body_goes_at_the_first_try(
    tmp_path: Path, uploads: list[Upload]
) -> None:
    source = sparse(tmp_path / "big.bin", 40 * MIB)
    locked = Fault("busy_before", endpoint="em/*", times=4)  # the uplink, and three cheap probes
    async with Simulator(USERS, generation="pods", faults=[locked]) as sim, connect(sim, settings=LARGE) as em:
        report = await em.uplink(source)
        assert len(report.done) == 1
        assert report.busy_seconds > 0
        assert [upload.complete for upload in uploads] == [False, True]
        assert uploads[0].sent <= MIB
        assert [entry.status for entry in calls(sim, UPLINK)] == [423, 200]
        assert sum(entry.status == 423 for entry in sim.requests) == 4
