"""A pod's end is attributed to the right run: ends of earlier runs, vanished pods and statuses without times.

The tests take minutes and hours on a virtual clock that simulator and client share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from emasync import (
    AuthError,
    Client,
    Node,
    PodFailedError,
    PodPhase,
    PodRun,
    PodStatus,
    PodVanishedError,
    TimedOutError,
    UnknownOutcomeError,
)
from emasync.api import Pods
from emasync.simulator import Fault, PodContext, Simulator, VirtualClock
from tests.contract.stage import Simulate, calls, connect

STATUS = "em/pod/status"


async def run_on(context: PodContext) -> int:
    await context.clock.sleep(1e5)
    return 0


@asynccontextmanager
async def an_em(simulate: Simulate, **options: Any) -> AsyncIterator[tuple[Simulator, Client]]:
    """A simulator and a client with one virtual clock, which moves only while the client waits between two statuses."""
    clock = VirtualClock()
    async with simulate(clock=clock, token_lifetime=1e6, **options) as sim, connect(sim) as em:
        em.pods = pods_on(em, clock)
        sim.add_image("client1", "echo")
        sim.add_image("client1", "endless")
        sim.behaviour("endless", run_on)
        yield sim, em


def pods_on(em: Client, clock: VirtualClock) -> Pods:
    """`em.pods`, of a client that has started no run yet, with waits on `clock`."""

    def wall_clock() -> datetime:
        return datetime.fromtimestamp(clock.now(), UTC)

    return Pods(em._pipeline, em._volume, sleep=clock.advance, clock=clock.now, wall_clock=wall_clock)


async def advance(sim: Simulator, seconds: float) -> None:
    """Move the clock of simulator and client."""
    assert isinstance(sim.clock, VirtualClock)
    await sim.clock.advance(seconds)


def status_lag(requests: int | None) -> Fault:
    """The next run's status is that of the run before it for so many requests, not counting the one before the run."""
    return Fault("earlier_status", endpoint=STATUS, after=1, times=requests)


async def phases(em: Client, run: PodRun | None = None) -> list[PodPhase]:
    return [status.phase async for status in em.pods.watch(run, interval=0.5)]


async def test_a_run_is_a_handle_that_holds_what_came_before_it(simulate: Simulate) -> None:
    async with an_em(simulate) as (_, em):
        first = await em.pods.run("echo", node=Node.GPU, max_duration=2)
        end = await em.pods.wait(first)
        second = await em.pods.run("endless", scheduled_time=datetime(2030, 1, 1, tzinfo=UTC))

        assert (first.image, first.node, first.max_duration_s, first.scheduled_time) == ("echo", Node.GPU, 120.0, None)
        assert first.before == PodStatus(phase=PodPhase.NONE)
        assert (second.before, second.pod_name, em.pods.last_run) == (end, None, second)
        assert PodRun.from_dict(second.as_dict()) == second


async def test_a_run_costs_one_look_before_it(em: Client, sim: Simulator) -> None:
    # Sabotage: ignore `before` in Pods.run.
    before = await em.pods.status()
    await em.pods.run("nothing", before=before)
    await em.pods.run("nothing")
    assert [request.path for request in sim.requests][1:] == [STATUS, "em/pod/run", STATUS, "em/pod/run"]


@pytest.mark.parametrize("before", ["echo", "endless"])
async def test_the_end_of_the_pod_before_does_not_end_the_wait(simulate: Simulate, before: str) -> None:
    # Sabotage: return Belongs.THIS instead of EARLIER in RunTracker._belongs.
    async with an_em(simulate) as (sim, em):
        await em.pods.run(before)
        while (await em.pods.status()).started_at is None:
            await advance(sim, 0.1)
        sim.faults.add(status_lag(20))
        run = await em.pods.run("echo")
        final = await em.pods.wait(run, interval=0.5)

        assert run.before is not None
        assert final.succeeded
        assert final.started_at != run.before.started_at
        assert run.before.started_at is not None


async def test_without_a_handle_the_run_that_this_client_started_last_is_meant(simulate: Simulate) -> None:
    # Sabotage: leave `or self.last_run` out of Pods.watch.
    async with an_em(simulate) as (sim, em):
        await em.pods.run("echo")
        await em.pods.wait()
        sim.faults.add(status_lag(3))
        await em.pods.run("gone")
        with pytest.raises(PodFailedError, match="ImagePullBackOff"):
            await em.pods.wait()


async def test_without_a_handle_and_a_run_it_is_whatever_pod_is_shown(simulate: Simulate) -> None:
    async with an_em(simulate) as (sim, em):
        await em.pods.run("echo")
        await em.pods.wait()
        async with connect(sim) as other:
            assert (await other.pods.wait()).succeeded
            with pytest.raises(PodFailedError):
                await other.pods.run("gone")
                await other.pods.wait()


async def test_two_ends_alike_without_times_are_bounded_and_say_so(simulate: Simulate) -> None:
    # Sabotage: make PodRun.bound_s infinite (the test then runs into its time limit).
    async with an_em(simulate, pod_times=False) as (sim, em):
        await em.pods.run("echo")
        await em.pods.wait(interval=0.01)
        sim.faults.add(status_lag(None))
        began = sim.clock.now()
        run = await em.pods.run("echo", max_duration=3)
        with pytest.raises(UnknownOutcomeError, match=r"the run of echo on FPGA, .* must have ended by now"):
            await em.pods.wait(run, interval=30)
        assert sim.clock.now() - began == pytest.approx(3 * 60 + 15 * 60, abs=40)


async def test_a_run_that_was_told_apart_once_stays_so_without_times(simulate: Simulate) -> None:
    # Sabotage: return a new RunEvidence for every watch in Pods._evidence_of.
    async with an_em(simulate, pod_times=False, pod_start=2.0, pod_run=2.0) as (sim, em):
        for _ in range(2):
            run = await em.pods.run("echo")
            assert (await phases(em, run))[-1] is PodPhase.TERMINATED
        looks = len(calls(sim, STATUS))
        assert (await em.pods.wait(run)).succeeded
        assert len(calls(sim, STATUS)) == looks  # its end was seen: nothing more can happen to it


async def test_what_was_found_out_about_the_run_of_another_process_is_kept_too(simulate: Simulate) -> None:
    # Sabotage: return a new RunEvidence without keeping it at the end of Pods._evidence_of.
    async with an_em(simulate, pod_times=False, pod_start=2.0, pod_run=2.0) as (sim, em):
        await em.pods.run("echo")
        await em.pods.wait()
        run = PodRun.from_dict((await em.pods.run("echo")).as_dict())
        assert isinstance(sim.clock, VirtualClock)
        em.pods = pods_on(em, sim.clock)
        assert (await phases(em, run))[-1] is PodPhase.TERMINATED
        assert (await em.pods.wait(run)).succeeded
        assert em.pods.last_run is None


async def test_a_dead_end_that_may_be_the_earlier_run_s_fails_after_a_minute_and_says_so(simulate: Simulate) -> None:
    # Sabotage: return Step.END at once for a dead end in RunTracker._observe_doubtful.
    async with an_em(simulate) as (sim, em):
        await em.pods.run("gone")
        with pytest.raises(PodFailedError) as first:
            await em.pods.wait()
        began = sim.clock.now()
        await em.pods.run("gone")
        with pytest.raises(PodFailedError, match="may be the earlier run's status") as second:
            await em.pods.wait()

        assert 60 <= sim.clock.now() - began < 70
        assert "earlier" not in str(first.value)
        assert second.value.reason == "ImagePullBackOff"


async def test_the_dead_end_of_the_earlier_run_is_waited_out_until_the_scheduled_time(simulate: Simulate) -> None:
    # Sabotage: leave `_starts_s` out of RunTracker._observe_doubtful.
    async with an_em(simulate) as (sim, em):
        await em.pods.run("gone")
        sim.faults.add(status_lag(100))
        when = datetime.fromtimestamp(sim.clock.now() + 3600, UTC)
        run = await em.pods.run("echo", scheduled_time=when)
        final = await em.pods.wait(run, interval=30)
        assert final.started_at is not None
        assert abs(final.started_at - when) < timedelta(seconds=2)


async def test_a_pod_that_was_seen_and_is_no_more_has_vanished(simulate: Simulate) -> None:
    # Sabotage: return Step.SHOW instead of VANISHED in RunTracker._observe_none.
    async with an_em(simulate) as (sim, em):
        run = await em.pods.run("endless", max_duration=60)
        sim.faults.add(Fault("no_pod", endpoint=STATUS, after=2, times=None))
        began = sim.clock.now()
        with pytest.raises(PodVanishedError, match=r"the run of endless on FPGA.* has vanished") as caught:
            await em.pods.wait(run)
        assert isinstance(caught.value, UnknownOutcomeError)
        assert isinstance(caught.value, PodFailedError)
        assert caught.value.pod.phase is PodPhase.NONE
        assert 60 <= sim.clock.now() - began < 75


async def test_a_watch_of_a_pod_that_vanishes_ends_with_no_pod_also_without_a_handle(simulate: Simulate) -> None:
    async with an_em(simulate) as (sim, em):
        await em.pods.run("endless", max_duration=60)
        await advance(sim, 1)
        assert isinstance(sim.clock, VirtualClock)
        em.pods = pods_on(em, sim.clock)
        sim.faults.add(Fault("no_pod", endpoint=STATUS, after=1, times=None))
        assert await phases(em) == [PodPhase.RUNNING, PodPhase.NONE]


async def test_no_pod_between_two_pods_is_waited_out(simulate: Simulate) -> None:
    # Sabotage: leave `if not self.evidence.seen` out of RunTracker._observe_none.
    async with an_em(simulate) as (sim, em):
        await em.pods.run("echo")
        await em.pods.wait()
        sim.faults.add(Fault("no_pod", endpoint=STATUS, after=1, times=200))
        run = await em.pods.run("echo")
        assert (await phases(em, run))[-1] is PodPhase.TERMINATED


async def test_a_run_that_a_later_one_replaced_has_no_end_of_its_own(simulate: Simulate) -> None:
    # Sabotage: leave `evidence.replaced = True` out of Pods._remember.
    async with an_em(simulate, pod_times=False) as (sim, em):
        first = await em.pods.run("endless")
        while (await em.pods.status()).phase is not PodPhase.RUNNING:
            await advance(sim, 0.1)
        await em.pods.run("echo")
        with pytest.raises(PodVanishedError, match=r"the run of endless.* was replaced"):
            await em.pods.wait(first)
        assert (await em.pods.wait()).succeeded


async def test_the_end_that_the_look_before_the_next_run_saw_stays_the_first_run_s(simulate: Simulate) -> None:
    # Sabotage: leave the tracker's look out of Pods._remember.
    async with an_em(simulate) as (sim, em):
        first = await em.pods.run("echo")
        await advance(sim, 5)
        await em.pods.run("gone")
        assert (await em.pods.wait(first)).succeeded


@pytest.mark.parametrize("kind", ["error_500", "html_200", "reset"])
async def test_a_look_that_fails_before_a_run_does_not_prevent_it(simulate: Simulate, kind: str) -> None:
    # Sabotage: raise every error in Pods._look_before.
    clock = VirtualClock()
    async with simulate(clock=clock) as sim, connect(sim) as em:
        sim.add_image("client1", "echo")
        sim.faults.add(Fault(kind, endpoint=STATUS, times=None))  # type: ignore[arg-type]
        run = await em.pods.run("echo")
        sim.faults.clear()
        watch = em.pods.watch(run, interval=0.005)
        assert (run.before, (await anext(watch)).phase) == (None, PodPhase.WAITING)
        await clock.advance(1.0)
        assert (await watch.end()).succeeded


async def test_an_end_that_is_seen_first_after_a_failed_look_may_be_the_earlier_run_s(simulate: Simulate) -> None:
    # Sabotage: return Belongs.THIS for an end in run_tracker._belongs_after_nothing.
    async with an_em(simulate) as (sim, em):
        await em.pods.run("echo")
        await em.pods.wait()
        sim.faults.add(
            Fault("error_500", endpoint=STATUS, times=3), Fault("earlier_status", endpoint=STATUS, times=None)
        )
        run = await em.pods.run("echo")
        with pytest.raises(UnknownOutcomeError, match="which may be an earlier run's"):
            await em.pods.wait(run, interval=60)


async def test_a_refused_log_in_does_prevent_a_run(simulate: Simulate) -> None:
    async with simulate() as sim, connect(sim, password="wrong") as em:
        with pytest.raises(AuthError):
            await em.pods.run("echo")
        assert (em.pods.last_run, len(calls(sim, "em/pod/run"))) == (None, 0)


async def test_the_run_of_another_volume_is_a_value_error(simulate: Simulate) -> None:
    async with simulate() as sim, connect(sim) as plain, connect(sim, volume="pod-a") as named:
        run = await named.pods.run("gone")
        assert run.pod_name == "pod-a"
        with pytest.raises(ValueError, match="pod-a"):
            plain.pods.watch(run)


async def test_a_timeout_says_which_run_was_waited_for_and_what_was_seen(simulate: Simulate) -> None:
    async with simulate(pod_start=60) as sim, connect(sim) as em:
        sim.add_image("client1", "echo")
        await em.pods.run("echo", node=Node.MPU)
        with pytest.raises(TimedOutError, match=r"the run of echo on MPU, .*\(last seen: waiting, ContainerCreating\)"):
            await em.pods.wait(timeout=0.05, interval=0.01)
