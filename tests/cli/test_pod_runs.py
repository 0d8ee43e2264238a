"""``emasync pod``: an end belongs to the run that was started, also when another process waits for it.

Time between two looks is virtual where a minute or more of it has to pass; see `virtual_time_child`.
"""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from anyio import to_thread

from emasync import Client
from emasync.simulator import Fault, PodContext, Simulator
from tests.cli.child import CANARY, EMASYNC, login, run

STATUS = "em/pod/status"
QUICK = ("--interval", "0.05s")
SLOW = ("-m", "tests.cli.virtual_time_child")


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(users={"client1": CANARY}, pod_start=0.05, pod_run=0.1) as started:
        yield _with_images(started)


@pytest.fixture
async def timeless() -> AsyncIterator[Simulator]:
    async with Simulator(users={"client1": CANARY}, pod_start=0.0, pod_run=0.0, pod_times=False) as started:
        yield _with_images(started)


def _with_images(sim: Simulator) -> Simulator:
    sim.add_image("client1", "good")
    sim.add_image("client1", "endless")
    sim.behaviour("endless", _run_on)
    return sim


async def _run_on(pod: PodContext) -> int:
    await pod.clock.sleep(600)
    return 0


async def pod(
    sim: Simulator, home: Path, *words: str, program: tuple[str, ...] = EMASYNC, **env: str
) -> subprocess.CompletedProcess[str]:
    work = partial(run, *program, "pod", *words, home=home, env={**login(sim.url), "EMASYNC_STATE_DIR": "state", **env})
    result = await to_thread.run_sync(work)
    assert CANARY not in result.stdout + result.stderr
    return result


def kept(home: Path) -> list[Path]:
    return sorted((home / "state" / "pods").glob("*"))


def earlier_status(looks: int) -> Fault:
    """The status lags behind the next run by so many looks; the look before the run is not among them."""
    return Fault("earlier_status", endpoint=STATUS, after=1, times=looks)


async def test_the_end_of_an_earlier_run_does_not_end_the_wait_of_another_process(sim: Simulator, home: Path) -> None:
    # Sabotage: return None from pod.load_run.
    bad = await pod(sim, home, "run", "gone", "--wait", *QUICK)
    sim.faults.add(earlier_status(4))
    scheduled = await pod(sim, home, "run", "good", "--json")
    (file,) = kept(home)
    waited = await pod(sim, home, "wait", *QUICK)

    assert (bad.returncode, scheduled.returncode, waited.returncode) == (21, 0, 0)
    assert waited.stdout.startswith("terminated: Completed, exit code 0")
    assert "waiting for the end of the run of good on FPGA, asked for at 20" in waited.stderr
    assert json.loads(scheduled.stdout.splitlines()[0])["run"]["before"]["reason"] == "ImagePullBackOff"
    assert kept(home) == []  # what was told is forgotten
    assert file.name.startswith("run-")


@pytest.mark.parametrize("image", ["good", "endless"])
async def test_the_end_of_the_pod_that_is_replaced_is_not_the_new_one_s(sim: Simulator, home: Path, image: str) -> None:
    # Sabotage: return Belongs.THIS instead of EARLIER in RunTracker._belongs (good: exit 22 instead of 0 for endless).
    first = await pod(sim, home, "run", image)
    async with Client(sim.url, username="client1", password=CANARY) as em:
        async for status in em.pods.watch(interval=0.02):
            if status.started_at is not None:
                break
    sim.faults.add(Fault("earlier_status", endpoint=STATUS, after=1, times=4))
    second = await pod(sim, home, "run", "gone", "--replace", "--wait", "--json", *QUICK)

    assert (first.returncode, second.returncode) == (0, 21)
    phases = [json.loads(line).get("reason") for line in second.stdout.splitlines()[:-1]]
    assert phases == ["ImagePullBackOff"]


async def test_the_same_dead_end_twice_is_exit_21_after_a_minute_and_says_whose_it_may_be(
    sim: Simulator, home: Path
) -> None:
    # Sabotage: return Step.HOLD for every dead end in RunTracker._observe_doubtful.
    await pod(sim, home, "run", "gone", "--wait", *QUICK)
    second = await pod(sim, home, "run", "gone", "--wait", program=SLOW)

    assert second.returncode == 21
    assert "nothing else was shown for 60 s, so this may be the earlier run's status" in second.stderr
    assert "before it: waiting: ImagePullBackOff" in second.stderr


@pytest.mark.parametrize("command", ["run", "wait", "watch"])
async def test_a_pod_that_vanishes_is_exit_12(sim: Simulator, home: Path, command: str) -> None:
    # Sabotage: return Step.SHOW instead of VANISHED in RunTracker._observe_none.
    sim.faults.add(Fault("no_pod", endpoint=STATUS, after=3 if command == "run" else 2, times=None))
    if command != "run":
        await pod(sim, home, "run", "endless")
    words = ("run", "endless", "--wait") if command == "run" else (command,)
    result = await pod(sim, home, *words, program=SLOW)

    assert result.returncode == 12, result.stderr
    assert result.stdout.endswith("none: the EM shows no pod\n")
    assert "has vanished: the EM has shown no pod for 60 s" in result.stderr
    assert "the run of endless on FPGA" in result.stderr


async def test_no_pod_between_two_pods_is_waited_out(sim: Simulator, home: Path) -> None:
    # Sabotage: treat NONE as vanished whether or not the run was seen, in RunTracker._observe_none.
    await pod(sim, home, "run", "good", "--wait", *QUICK)
    sim.faults.add(Fault("no_pod", endpoint=STATUS, after=1, times=60))
    result = await pod(sim, home, "run", "good", "--wait", program=SLOW)

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("terminated: Completed")


@pytest.mark.parametrize("command", ["run", "wait"])
async def test_two_ends_alike_without_times_are_exit_12_once_the_run_must_be_over(
    timeless: Simulator, home: Path, command: str
) -> None:
    # Sabotage: make PodRun.bound_s infinite (the child is then killed).
    first = await pod(timeless, home, "run", "good", "--wait", *QUICK)
    timeless.faults.add(Fault("earlier_status", endpoint=STATUS, after=1, times=None))
    if command == "wait":
        await pod(timeless, home, "run", "good")
    words = ("run", "good", "--wait") if command == "run" else ("wait",)
    second = await pod(timeless, home, *words, "--interval", "20s", program=SLOW)

    assert (first.returncode, second.returncode) == (0, 12), second.stderr
    assert second.stdout == ""
    assert "must have ended by now (its max_duration and 15 min are over)" in second.stderr
    assert "last seen: terminated, Completed, exit code 0, which may be an earlier run's" in second.stderr


async def test_a_look_that_fails_prevents_no_run_that_may_replace_a_pod(sim: Simulator, home: Path) -> None:
    # Sabotage: raise every error in Pods._look_before.
    sim.faults.add(Fault("error_500", endpoint=STATUS, times=None))
    refused = await pod(sim, home, "run", "good", "--retries", "0")
    asked = [request.path for request in sim.requests].count("em/pod/run")
    sim.faults.clear()
    sim.faults.add(Fault("error_500", endpoint=STATUS, times=1))
    result = await pod(sim, home, "run", "gone", "--retries", "0", "--replace", "--wait", program=SLOW)

    assert (refused.returncode, asked) == (5, 0)
    assert "--replace runs it anyway" in refused.stderr
    assert result.returncode == 21, result.stderr  # it ran, and cannot start
    assert "the status before the run is not known" in result.stderr
    assert "this may be the earlier run's status" in result.stderr


async def test_a_run_costs_one_look_before_it_with_and_without_replace(sim: Simulator, home: Path) -> None:
    # Sabotage: leave `before=before` out of pod_run._schedule.
    await pod(sim, home, "run", "good")
    await pod(sim, home, "run", "good", "--replace")
    assert [request.path for request in sim.requests if request.path.startswith("em/")] == [STATUS, "em/pod/run"] * 2


async def test_a_run_whose_answer_is_lost_is_kept_for_the_wait_that_follows(sim: Simulator, home: Path) -> None:
    # Sabotage: leave the save_run of UnknownOutcomeError out of pod_run._schedule.
    await pod(sim, home, "run", "gone", "--wait", *QUICK)
    sim.faults.add(Fault("commit_then_drop", endpoint="em/pod/run"), earlier_status(3))
    lost = await pod(sim, home, "run", "good", "--wait", *QUICK)
    waited = await pod(sim, home, "wait", *QUICK)

    assert (lost.returncode, waited.returncode) == (12, 0), waited.stderr
    assert waited.stdout.startswith("terminated: Completed")


async def test_the_kept_handle_is_private_and_has_no_secret(sim: Simulator, home: Path) -> None:
    # Sabotage: open the file with 0o644 in pod._write_run.
    words = ("run", "good", "--command", "echo command-canary", "--env", "K=env-canary")
    assert (await pod(sim, home, *words)).returncode != 0  # a seed EM knows no variables
    assert (await pod(sim, home, *words[:4])).returncode == 0
    (file,) = kept(home)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    text = file.read_text()
    assert [word for word in ("canary", CANARY) if word in text] == []


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, json.dumps({"schema": 9})])
async def test_a_handle_that_is_none_is_as_good_as_none(sim: Simulator, home: Path, text: str) -> None:
    # Sabotage: leave ValueError out of the except of pod._read_run.
    await pod(sim, home, "run", "good")
    (file,) = kept(home)
    file.write_text(text)
    waited = await pod(sim, home, "wait", *QUICK)

    assert (waited.returncode, "whatever pod the EM shows" in waited.stderr) == (0, True), waited.stderr


async def test_a_state_folder_that_cannot_be_used_costs_only_the_handle(sim: Simulator, home: Path) -> None:
    # Sabotage: let the OSError of _write_run pass in pod.save_run.
    (home / "state").write_text("a file")
    quiet = await pod(sim, home, "run", "good", "-q")
    told = await pod(sim, home, "run", "good", "--replace")
    nothing = await pod(sim, home, "run", "good", "--replace", "-v", EMASYNC_STATE_DIR="")
    waited = await pod(sim, home, "wait", *QUICK)

    assert [result.returncode for result in (quiet, told, nothing, waited)] == [0, 0, 0, 0]
    assert "not remembered" not in quiet.stderr
    assert "the run is not remembered for a later `emasync pod wait`" in told.stderr


async def test_a_link_planted_for_the_handle_is_not_followed(sim: Simulator, home: Path) -> None:
    # Sabotage: leave O_NOFOLLOW out of pod._read_run.
    await pod(sim, home, "run", "good")
    (file,) = kept(home)
    elsewhere = home / "elsewhere"
    file.replace(elsewhere)
    file.symlink_to(elsewhere)
    waited = await pod(sim, home, "wait", *QUICK)

    assert (waited.returncode, "whatever pod the EM shows" in waited.stderr) == (0, True)
