"""``emasync demo`` against an EM of this process, whose pods and answers are under control."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from emasync import Client, PodPhase
from emasync.simulator import PodContext, Simulator
from tests.cli.child import CANARY, EMASYNC, end, login, read_until, run, start


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(users={"client1": CANARY}, pod_start=0.05, pod_run=30.0) as started:
        yield started


async def _demo(sim: Simulator, home: Path, *flags: str) -> tuple[int, str, str]:
    work = partial(run, *EMASYNC, "demo", "--files", "2", *flags, home=home, env=login(sim.url))
    result = await to_thread.run_sync(work)
    return result.returncode, result.stdout, result.stderr


async def _fail(_: PodContext) -> int:
    return 3


async def _write_rubbish(pod: PodContext) -> int:
    for samples in pod.volume.glob("*/samples"):
        (samples.parent / "results").mkdir()
        (samples.parent / "results" / "checksums.txt").write_bytes(b"\xff\x1b[2J  samples/x\n")
    return 0


async def _run_on(pod: PodContext) -> int:
    await pod.clock.sleep(600)
    return 0


async def test_a_running_pod_is_not_replaced_unasked_and_nothing_is_changed(sim: Simulator, home: Path) -> None:
    # Sabotage: return at once from demo._refuse_to_disturb.
    await _run_a_pod(sim)

    code, _, err = await _demo(sim, home)

    assert code == 2
    assert "a pod of client1 is running" in err
    assert "--replace" in err
    asked = [request.path for request in sim.requests if request.method == "POST"]
    assert sorted(asked) == ["auth/", "auth/", "em/pod/run"]  # this test's own pod; the demo has changed nothing
    assert list(sim.volume("client1").iterdir()) == []


async def test_with_replace_it_takes_the_running_pods_place(sim: Simulator, home: Path) -> None:
    await _run_a_pod(sim)
    sim.behaviour("emasync-demo", _fail)

    code, _, _ = await _demo(sim, home, "--replace")

    assert code == 22  # of the new pod: the old one would run for ever


async def test_a_pod_that_fails_is_exit_22_with_its_code_and_cleans_up(sim: Simulator, home: Path) -> None:
    sim.behaviour("emasync-demo", _fail)

    code, out, err = await _demo(sim, home)

    assert code == 22
    assert "exit code 3" in err
    assert "terminated: Error" in out
    assert "Everything verified" not in out
    assert list(sim.volume("client1").iterdir()) == []


async def test_a_pod_that_computes_rubbish_is_an_integrity_error(sim: Simulator, home: Path) -> None:
    # Sabotage: compare nothing but the samples in Samples.check.
    sim.behaviour("emasync-demo", _write_rubbish)

    code, out, err = await _demo(sim, home)

    assert code == 7
    assert "results/checksums.txt: samples/" in err
    assert "Everything verified" not in out
    assert list(sim.volume("client1").iterdir()) == []


async def test_a_second_ctrl_c_ends_it_at_once(sim: Simulator, home: Path) -> None:
    # Sabotage: return after the first signal in run_demo.
    sim.behaviour("emasync-demo", _run_on)
    held = sim.breakpoint("em/files/delete")
    with start(*EMASYNC, "demo", "--files", "2", home=home, env=login(sim.url)) as process:
        await to_thread.run_sync(read_until, process, "running")
        process.send_signal(signal.SIGINT)
        with anyio.fail_after(30):
            await held.wait_until_hit()
        result = await to_thread.run_sync(end, process, signal.SIGINT)  # the gate stays shut

    assert result.returncode == 130
    told = result.stderr.splitlines()
    assert told[0] == "✗ interrupted: cleaning up what the demo has put on the EM"
    assert told[1].startswith("✗ gave up removing emasync-demo-")
    assert len(told) == 2


async def _run_a_pod(sim: Simulator) -> None:
    sim.add_image("client1", "mine")
    sim.behaviour("mine", _run_on)
    async with Client(sim.url, username="client1", password=CANARY) as em:
        await em.pods.run("mine")
        async for status in em.pods.watch(interval=0.05):
            if status.phase is PodPhase.RUNNING:
                return
