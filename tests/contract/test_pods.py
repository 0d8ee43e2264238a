"""`em.pods`: run, status, watch and wait, from a pod's start to its end or dead end, and how often the EM is asked.

Most times are on the simulator's virtual clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from emasync import (
    BadRequestError,
    Client,
    Node,
    PodFailedError,
    PodPhase,
    TimedOutError,
    UnknownOutcomeError,
)
from emasync.simulator import Fault, PodContext, Simulator, VirtualClock
from tests.contract.stage import Simulate, calls, connect


async def test_the_status_can_always_be_asked_for(em: Client) -> None:
    assert isinstance((await em.pods.status()).phase, PodPhase)


async def test_a_pod_waits_runs_and_ends(em: Client, sim: Simulator) -> None:
    sim.add_image("client1", "echo")
    await em.pods.run("echo", node=Node.GPU, max_duration=2, command="ls /data")
    seen = [status async for status in em.pods.watch(interval=0.005)]

    assert [status.phase for status in seen] == [PodPhase.WAITING, PodPhase.RUNNING, PodPhase.TERMINATED]
    last = seen[-1]
    assert (last.exit_code, last.reason, last.succeeded) == (0, "Completed", True)
    assert last.started_at is not None
    assert last.finished_at is not None
    assert last.started_at.utcoffset() == timedelta(0)
    assert last.raw == {"terminated": last.raw["terminated"]}
    assert b"command: ls /data" in await em.files.read("downlink.txt")
    assert (await em.pods.wait()) == last


async def test_a_pod_that_ends_badly_raises_with_its_exit_code(em: Client, sim: Simulator) -> None:
    # Sabotage: PodWatch takes every TERMINATED for a success.
    async def fail(context: PodContext) -> int:
        return 3

    sim.add_image("client1", "echo")
    sim.behaviour("echo", fail)
    await em.pods.run("echo")
    with pytest.raises(PodFailedError, match="exit code 3") as caught:
        await em.pods.wait(interval=0.01)
    assert (caught.value.pod.exit_code, caught.value.reason) == (3, "Error")


async def test_an_unknown_image_fails_within_two_polls_with_the_servers_words(em: Client, sim: Simulator) -> None:
    # Sabotage: ImagePullBackOff is taken out of the dead ends (the test then runs into its time limit).
    await em.pods.run("no-such-image")
    with pytest.raises(PodFailedError, match="ImagePullBackOff") as caught:
        await em.pods.wait(interval=0.01)
    assert caught.value.reason == "ImagePullBackOff"
    assert caught.value.pod.message == 'Back-off pulling image "client1-no-such-image"'
    assert caught.value.pod.message in str(caught.value)
    assert len(calls(sim, "em/pod/status")) <= 2


async def test_a_naive_datetime_is_refused_and_nothing_is_sent(em: Client, sim: Simulator) -> None:
    # Sabotage: requests.require_time_zone returns every moment.
    with pytest.raises(ValueError, match="no time zone"):
        await em.pods.run("echo", scheduled_time=datetime(2026, 1, 1, 12, 0))
    assert sim.requests == []


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, timedelta(seconds=90), timedelta(0)])
async def test_a_duration_that_is_no_whole_minute_is_refused_and_nothing_is_sent(
    em: Client, sim: Simulator, wrong: Any
) -> None:
    with pytest.raises((ValueError, TypeError), match="max_duration"):
        await em.pods.run("echo", max_duration=wrong)
    assert sim.requests == []


@pytest.mark.parametrize("duration", [3, timedelta(minutes=3)])
async def test_a_pod_is_stopped_after_max_duration(simulate: Simulate, duration: int | timedelta) -> None:
    clock = VirtualClock(auto=True)
    async with simulate(clock=clock, token_lifetime=1e6) as sim, connect(sim) as em:

        async def forever(context: PodContext) -> int:
            await context.clock.sleep(1e5)
            return 0

        sim.add_image("client1", "echo")
        sim.behaviour("echo", forever)
        begun = clock.now()
        await em.pods.run("echo", max_duration=duration)
        with pytest.raises(PodFailedError, match="DeadlineExceeded"):
            await em.pods.wait(interval=0.01)
        assert calls(sim, "em/pod/run")[0].detail["max_duration"] in ("3", 3)
        assert 180 <= clock.now() - begun < 200


async def test_a_scheduled_pod_waits_for_its_time_whatever_the_offset(simulate: Simulate) -> None:
    clock = VirtualClock()
    async with simulate(clock=clock, token_lifetime=1e6) as sim, connect(sim) as em:
        sim.add_image("client1", "echo")
        when = datetime.fromtimestamp(clock.now() + 600, timezone(timedelta(hours=2)))
        await em.pods.run("echo", scheduled_time=when)
        await clock.advance(599)
        assert (await em.pods.status()).phase is PodPhase.WAITING
        await clock.advance(2)
        status = await em.pods.wait(interval=0.01)
        assert status.started_at is not None
        assert abs(status.started_at - when.astimezone(UTC)) < timedelta(seconds=2)


async def test_args_envs_and_ports_reach_the_pod_where_they_are_known(simulate: Simulate, generation: str) -> None:
    seen: list[PodContext] = []

    async def look(context: PodContext) -> int:
        seen.append(context)
        return 0

    async with simulate() as sim, connect(sim) as em:
        sim.add_image("client1", "echo")
        sim.behaviour("echo", look)

        async def run() -> None:
            await em.pods.run("echo", args=["-v", "a b"], envs={"A": "1"}, ports=[8080], max_duration=2)

        if generation == "seed":  # takes forms only, and these three cannot be said in a form
            with pytest.raises(BadRequestError, match="415"):
                await run()
            return
        await run()
        await em.pods.wait(interval=0.01)
        assert (seen[0].args, seen[0].envs, seen[0].max_duration) == (("-v", "a b"), {"A": "1"}, 2)
        assert calls(sim, "em/pod/run")[0].detail["ports"] == [8080]


async def test_a_second_pod_takes_the_place_of_the_first_and_its_end_is_not_mistaken(
    em: Client, sim: Simulator
) -> None:
    # Sabotage: RunTracker._belongs does not compare `started_at` and belongs_after forgets `status == before`.
    sim.add_image("client1", "echo")
    await em.pods.run("echo")
    first = await em.pods.wait(interval=0.005)
    sim.faults.add(Fault("earlier_status", endpoint="em/pod/status", after=1, times=5))
    run = await em.pods.run("nothing-of-that-name")
    seen = [status async for status in em.pods.watch(run, interval=0.005)]
    assert run.before == first
    assert [status.reason for status in seen] == ["ImagePullBackOff"]


async def test_a_wait_that_takes_too_long_leaves_the_pod_alone(simulate: Simulate) -> None:
    async with simulate(pod_start=60) as sim, connect(sim) as em:
        sim.add_image("client1", "echo")
        await em.pods.run("echo")
        with pytest.raises(TimedOutError, match="has not ended") as caught:
            await em.pods.wait(timeout=0.05, interval=0.01)
        assert caught.value.phase == "pod"
        assert isinstance(caught.value, TimeoutError)
        assert (await em.pods.status()).phase is PodPhase.WAITING


@pytest.mark.parametrize("kind", ["error_500", "html_502", "reset", "busy_before", "html_200"])
async def test_a_watch_goes_on_after_a_fault_that_passes(simulate: Simulate, kind: str) -> None:
    # Sabotage: retry.decide stops at the first failure of a Kind.READ.
    fault = Fault(kind, endpoint="em/pod/status", after=1, times=2)  # type: ignore[arg-type]
    async with simulate(faults=[fault]) as sim, connect(sim) as em:
        sim.add_image("client1", "echo")
        await em.pods.run("echo")
        assert (await em.pods.wait(interval=0.01)).succeeded


async def test_a_run_whose_answer_is_lost_is_unknown_and_never_sent_twice(em: Client, sim: Simulator) -> None:
    # Sabotage: retry.decide treats Kind.JOB like Kind.READ.
    sim.add_image("client1", "echo")
    sim.faults.add(Fault("commit_then_drop", endpoint="em/pod/run"))
    with pytest.raises(UnknownOutcomeError, match=r"pods\.status"):
        await em.pods.run("echo")
    assert len(calls(sim, "em/pod/run")) == 1
    assert (await em.pods.wait(interval=0.01)).succeeded


async def test_pods_by_name_are_apart(simulate: Simulate, generation: str) -> None:
    async with simulate() as sim, connect(sim) as plain, connect(sim, volume="pod-a") as named:
        sim.add_image("client1", "echo")
        await named.pods.run("echo")
        await named.pods.wait(interval=0.01)
        phase = (await plain.pods.status()).phase
        assert phase is (PodPhase.TERMINATED if generation == "seed" else PodPhase.NONE)


async def test_an_unknown_node_is_a_value_error(em: Client, sim: Simulator) -> None:
    with pytest.raises(ValueError, match="TPU"):
        await em.pods.run("echo", node="TPU")  # type: ignore[arg-type]
    assert sim.requests == []
