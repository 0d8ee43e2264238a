"""A busy EM: 423 at every point of a request, and an exclusive lock that two tasks or clients compete for.

A lock that is released in time costs no file; one that stays ends in a BusyError. The limiter's decisions are tested in
tests/unit/http/limiter.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from emasync import BusyError, Client, OutcomeState, RetryPolicy, TransferReport
from emasync.simulator import Fault, Simulator
from emasync.transfer.events import Event, Progress, Started
from tests.contract.stage import QUICK, Simulate, calls, connect, sent_names, some_bytes, tree, write

MIB = 1024 * 1024


async def test_two_tasks_downlinking_at_once_both_succeed_on_an_exclusive_em(
    simulate: Simulate, tmp_path: Path
) -> None:
    # Sabotage: retry.decide stops at a BusyError.
    files = {f"f{number}": some_bytes(50_000, seed=number) for number in range(12)}
    reports: list[TransferReport] = []
    async with simulate(exclusive=True, hold=0.005) as sim, connect(sim) as em:
        write(sim.volume("client1"), files)

        async def fetch(into: Path) -> None:
            reports.append(await em.downlink("/", into=into))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch, tmp_path / "one")
            tasks.start_soon(fetch, tmp_path / "two")
        assert [report.ok for report in reports] == [True, True]
        assert tree(tmp_path / "one") == tree(tmp_path / "two") == files


async def test_two_clients_at_once_both_succeed_on_an_exclusive_em(simulate: Simulate, tmp_path: Path) -> None:
    # Sabotage: retry.decide stops at a BusyError; or a 423 is counted against `retries`.
    files = {f"f{number}": some_bytes(20_000, seed=number) for number in range(5)}
    local = write(tmp_path / "up", files)
    settings = replace(QUICK, retry=replace(QUICK.retry, retries=0))
    async with (
        simulate(exclusive=True, hold=0.005) as sim,
        connect(sim, settings=settings) as first,
        connect(sim, settings=settings) as second,
    ):
        write(sim.volume("client1"), {f"down/{name}": data for name, data in files.items()})
        reports: list[TransferReport] = []

        async def up() -> None:
            reports.append(await first.uplink(f"{local}/", dest="up"))

        async def down() -> None:
            reports.append(await second.downlink("down/", into=tmp_path / "down"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(up)
            tasks.start_soon(down)
        assert [report.failed for report in reports] == [(), ()]
        assert tree(tmp_path / "down") == files
        assert tree(sim.volume("client1") / "up") == files


@pytest.mark.parametrize("size", [100, 3 * MIB])
@pytest.mark.parametrize("kind", ["busy_before", "busy_during", "busy_after"])
async def test_an_uplink_that_is_refused_at_any_point_is_sent_again(
    em: Client, sim: Simulator, tmp_path: Path, kind: str, size: int
) -> None:
    # Sabotage: Transport.send takes the broken pipe of an early answer for a lost connection.
    fault = Fault(kind, endpoint="em/files/uplink")  # type: ignore[arg-type]
    sim.faults.add(fault)
    data = some_bytes(size)
    report = await em.uplink(write(tmp_path, {"a": data}) / "a")
    report.raise_for_failures()
    assert tree(sim.volume("client1")) == {"a": data}
    assert [request.status for request in calls(sim, "em/files/uplink")] == [423, 200]
    assert sent_names(sim)[-1:] == ["a"]
    assert report.outcomes[0].busy_seconds > 0
    assert report.busy_seconds > 0


@pytest.mark.parametrize("kind", ["busy_before", "busy_after"])
@pytest.mark.parametrize("path", ["em/files/downlink", "em/files/list"])
async def test_a_downlink_and_its_listing_wait_for_a_lock_to_be_released(
    simulate: Simulate, tmp_path: Path, kind: str, path: str
) -> None:
    # Sabotage: the permit is not told of the 423, and retry.decide stops at a BusyError.
    fault = Fault(kind, endpoint=path)  # type: ignore[arg-type]
    async with simulate(faults=[fault]) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a": b"1"})
        (await em.downlink("a", into=tmp_path / "into")).raise_for_failures()
        assert tree(tmp_path / "into") == {"a": b"1"}
        assert [request.status for request in calls(sim, path)] == [423, 200]


async def test_a_423_uses_up_no_retry(simulate: Simulate) -> None:
    # Sabotage: retry.decide stops at a BusyError.
    settings = replace(QUICK, retry=replace(QUICK.retry, retries=0))
    fault = Fault("busy_before", endpoint="em/files/list", times=2)
    async with simulate(faults=[fault]) as sim, connect(sim, settings=settings) as em:
        assert not await em.files.list()


@pytest.mark.parametrize("status", [503, 429])
async def test_an_overloaded_server_is_waited_for_as_long_as_it_says(em: Client, sim: Simulator, status: int) -> None:
    # Sabotage: retry_after_s is not passed to the permit.
    sim.faults.add(Fault("retry_after", endpoint="em/files/list", status=status, seconds=0.25))
    await em.files.list()
    first, second = calls(sim, "em/files/list")
    assert second.at - first.at >= 0.24


async def test_a_lock_that_stays_is_a_busy_error_that_says_how_long(simulate: Simulate) -> None:
    # Sabotage: RequestPipeline gives the limiter the whole busy timeout at each attempt.
    settings = replace(QUICK, retry=RetryPolicy(busy_timeout_s=0.3))
    fault = Fault("busy_before", times=None)
    async with simulate(faults=[fault]) as sim, connect(sim, settings=settings) as em:
        with pytest.raises(BusyError) as caught:
            await em.files.list()
        assert 0.3 <= caught.value.waited_s < 3
        assert 1 <= len(calls(sim, "em/files/list")) <= 8


async def test_a_lock_that_stays_fails_every_file_with_few_requests(simulate: Simulate, tmp_path: Path) -> None:
    # Sabotage: TransferRun.fetch goes on after a BusyError (each file would wait for its own budget).
    settings = replace(QUICK, retry=RetryPolicy(busy_timeout_s=0.3))
    fault = Fault("busy_before", endpoint="em/files/downlink", times=None)
    files = {f"f{number:02}": b"1" for number in range(40)}
    async with simulate(faults=[fault]) as sim, connect(sim, settings=settings) as em:
        write(sim.volume("client1"), files)
        report = await em.downlink("/", into=tmp_path / "into", workers=4)
        assert [outcome.state for outcome in report.outcomes] == [OutcomeState.FAILED] * 40
        assert all(isinstance(outcome.error, BusyError) for outcome in report.outcomes)
        assert len(calls(sim, "em/files/downlink")) <= 16
    assert tree(tmp_path / "into") == {}


async def test_an_uplink_to_an_em_that_stays_locked_fails_with_a_busy_error(simulate: Simulate, tmp_path: Path) -> None:
    settings = replace(QUICK, retry=RetryPolicy(busy_timeout_s=0.2))
    fault = Fault("busy_before", times=None)
    async with simulate(faults=[fault]) as sim, connect(sim, settings=settings) as em:
        report = await em.uplink(write(tmp_path, {"a/x": b"1", "b/y": b"2"}) / "a")
        (failed,) = report.failed
        assert isinstance(failed.error, BusyError)
        assert failed.error.waited_s >= 0.2
        assert tree(sim.volume("client1")) == {}


async def test_a_large_body_is_not_pushed_into_a_lock(em: Client, sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: Upload._check_for_response returns at once (the whole body goes into the sockets' buffers and beyond).
    sim.faults.add(Fault("busy_before", endpoint="em/files/uplink"))
    data, pushed = some_bytes(12 * MIB), {1: 0, 2: 0}
    attempt = 0

    def watch(event: Event) -> None:
        nonlocal attempt
        if isinstance(event, Started):
            attempt = event.attempt
        elif isinstance(event, Progress):
            pushed[attempt] = event.bytes

    report = await em.uplink(write(tmp_path, {"a": data}) / "a", on_event=watch)
    report.raise_for_failures()
    assert pushed[1] <= MIB
    assert pushed[2] == len(data)
    assert calls(sim, "em/files/uplink")[0].bytes_in <= MIB
    assert tree(sim.volume("client1")) == {"a": data}


async def test_a_log_in_needs_no_lock(simulate: Simulate) -> None:
    async with simulate(exclusive=True) as sim, connect(sim) as holder, connect(sim) as late:
        paused = sim.breakpoint("em/pod/status")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(holder.pods.status)
            await paused.wait_until_hit()

            async def ask() -> None:
                await late.files.list()

            tasks.start_soon(ask)
            while not any(request.status == 423 for request in sim.requests):
                await anyio.sleep(0.002)
            paused.release()
        assert len(calls(sim, "auth/")) == 2
