"""``emasync pod``: run, status, watch, wait, and the captured output of a command."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from emasync import Client
from emasync.simulator import Fault, PodContext, Simulator
from tests.cli.child import CANARY, EMASYNC, end, login, read_until, run, start
from tests.cli.shell_pod import run_in_a_shell

QUICK = ("--interval", "0.05s")


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(users={"client1": CANARY}, pod_start=0.05, pod_run=0.1) as started:
        started.add_image("client1", "shell")
        started.behaviour("shell", run_in_a_shell)
        started.add_image("client1", "endless")
        started.behaviour("endless", _run_on)
        yield started


async def _run_on(pod: PodContext) -> int:
    await pod.clock.sleep(600)
    return 0


async def pod(sim: Simulator, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    work = partial(run, *EMASYNC, "pod", *arguments, home=home, env=login(sim.url))
    result = await to_thread.run_sync(work)
    assert CANARY not in result.stdout + result.stderr
    return result


def lines(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def asked_to_run(sim: Simulator) -> int:
    return [request.path for request in sim.requests].count("em/pod/run")


async def run_a_pod(sim: Simulator, image: str, **pod_options: Any) -> None:
    async with Client(sim.url, username="client1", password=CANARY) as em:
        await em.pods.run(image, **pod_options)


async def test_run_says_it_is_scheduled_and_status_watch_and_wait_tell_how_it_fares(sim: Simulator, home: Path) -> None:
    none = await pod(sim, home, "status", "--json")
    nothing = await pod(sim, home, "wait")
    scheduled = await pod(sim, home, "run", "shell", "--command", "true", "--max-duration", "3")
    waited = await pod(sim, home, "wait", *QUICK)
    status = await pod(sim, home, "status")
    watched = await pod(sim, home, "watch", "--json", *QUICK)

    assert (none.returncode, [line.get("phase") for line in lines(none)]) == (0, ["none", None])
    assert (nothing.returncode, nothing.stdout) == (3, "")
    assert "emasync pod run IMAGE" in nothing.stderr
    assert (scheduled.returncode, scheduled.stdout) == (0, "scheduled shell on FPGA, for at most 3 min\n")
    assert (waited.returncode, status.returncode, watched.returncode) == (0, 0, 0)
    assert waited.stdout.startswith("terminated: Completed, exit code 0")
    assert status.stdout == waited.stdout
    assert [(line["type"], line.get("exit_code")) for line in lines(watched)] == [("pod", 0), ("exit", None)]


async def test_run_wait_follows_to_the_end_with_every_change_on_stderr(sim: Simulator, home: Path) -> None:
    result = await pod(sim, home, "run", "shell", "--command", "sleep 0.3", "--wait", *QUICK)

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("terminated: Completed, exit code 0")
    assert "running" in result.stderr


async def test_a_pod_that_cannot_start_is_exit_21_at_once(sim: Simulator, home: Path) -> None:
    first = await pod(sim, home, "run", "gone", "--wait", "--json", *QUICK)
    another = await pod(sim, home, "run", "lost", "--wait", *QUICK)
    watched = await pod(sim, home, "watch", *QUICK)

    assert (first.returncode, another.returncode, watched.returncode) == (21, 21, 21)
    assert lines(first)[-2]["reason"] == "ImagePullBackOff"
    assert lines(first)[-1]["code"] == 21
    assert "the pod cannot start (ImagePullBackOff)" in another.stderr
    assert watched.stdout.startswith("waiting: ImagePullBackOff")


async def test_a_pod_that_ends_badly_is_exit_22(sim: Simulator, home: Path) -> None:
    ran = await pod(sim, home, "run", "shell", "--command", "sh -c 'exit 3'", "--wait", *QUICK)
    waited = await pod(sim, home, "wait", *QUICK)

    assert (ran.returncode, waited.returncode) == (22, 22)
    assert ran.stdout.startswith("terminated: Error, exit code 3")
    assert waited.stdout == ran.stdout
    assert "the pod ended with exit code 3 (Error)" in ran.stderr


async def test_a_running_pod_is_replaced_only_on_request(sim: Simulator, home: Path) -> None:
    # Sabotage: return at once from pod_run._check_no_pod_runs.
    await run_a_pod(sim, "endless")

    refused = await pod(sim, home, "run", "shell")
    timed_out = await pod(sim, home, "wait", "--timeout", "0.1s", *QUICK)
    replaced = await pod(sim, home, "run", "shell", "--replace", "--wait", *QUICK)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "add --replace" in refused.stderr
    assert timed_out.returncode == 5
    assert replaced.returncode == 0, replaced.stderr
    assert asked_to_run(sim) == 2


async def test_ctrl_c_leaves_the_pod_running_and_says_so(sim: Simulator, home: Path) -> None:
    arguments = (*EMASYNC, "pod", "run", "endless", "--wait", "--json", *QUICK)
    with start(*arguments, home=home, env=login(sim.url)) as process:
        await to_thread.run_sync(read_until, process, '"running"')
        result = await to_thread.run_sync(end, process, signal.SIGINT)
    status = await pod(sim, home, "status")

    assert result.returncode == 130
    assert "it goes on running on the EM" in result.stderr
    assert "emasync pod wait" in result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["code"] == 130
    assert status.stdout.startswith("running")


async def test_capture_brings_stdout_stderr_and_the_exit_code_down(sim: Simulator, home: Path) -> None:
    # Sabotage: leave "2>..." out of pod_run.wrapped.
    command = """printf 'it'"'"'s $HOME\\n\\033[2Jnext\\n'; echo oops >&2"""

    result = await pod(sim, home, "run", "shell", "--command", command, "--capture", *QUICK)

    assert result.returncode == 0, result.stderr
    assert result.stdout == "it's $HOME\n\\x1b[2Jnext\n"
    assert "\noops\n" in result.stderr
    (folder,) = [path for path in home.iterdir() if path.name.startswith("shell-capture-")]
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {"stdout": b"it's $HOME\n\x1b[2Jnext\n", "stderr": b"oops\n", "exit": b"0\n"}
    assert list(sim.volume("client1").iterdir()) == []  # nothing of it is left on the EM


async def test_a_captured_command_that_fails_is_exit_22_with_what_it_printed(sim: Simulator, home: Path) -> None:
    arguments = ("--command", "echo got", "--arg", "two words; exit 9", "--capture", "--into", "out", "--json", *QUICK)
    fine = await pod(sim, home, "run", "shell", *arguments)
    bad = await pod(sim, home, "run", "shell", "--command", "echo a; exit 7", "--capture", "--into", "out", *QUICK)

    (captured,) = [line for line in lines(fine) if line["type"] == "capture"]
    assert (fine.returncode, captured["stdout"], captured["exit_code"]) == (0, "got two words; exit 9\n", 0)
    assert (bad.returncode, bad.stdout) == (22, "a\n")
    assert (home / "out" / "exit").read_text() == "7\n"
    assert "exit code 7" in bad.stderr


async def test_a_code_of_an_earlier_run_does_not_speak_for_one_that_was_killed(sim: Simulator, home: Path) -> None:
    # Sabotage: read every file of the folder in pod_run._read_captured.
    (home / "out").mkdir()
    (home / "out" / "exit").write_text("0\n")

    async def killed(context: PodContext) -> int:
        folder = context.volume / (context.command or "").partition("/data/")[2].partition(" ")[0]
        folder.mkdir()
        (folder / "stdout").write_text("so far\n")
        return 0

    sim.behaviour("shell", killed)
    result = await pod(sim, home, "run", "shell", "--command", "x", "--capture", "--into", "out", *QUICK)

    assert (result.returncode, result.stdout) == (22, "so far\n")
    assert "without an exit code" in result.stderr


async def test_an_image_that_does_not_run_the_command_captures_nothing_and_is_exit_22(
    sim: Simulator, home: Path
) -> None:
    sim.add_image("client1", "mute")

    result = await pod(sim, home, "run", "mute", "--command", "x", "--capture", "--json", *QUICK)

    assert result.returncode == 22
    assert lines(result)[-1]["reason"].startswith("nothing was captured: --capture needs /bin/sh")


async def test_what_is_captured_and_does_not_come_down_stays_on_the_em_and_is_named(sim: Simulator, home: Path) -> None:
    # Sabotage: delete the folder before raise_for_failures in pod_run.download_captured.
    sim.faults.add(Fault("error_500", endpoint="em/files/downlink", times=None))
    flags = ("--command", "echo kept", "--capture", "--retries", "0")

    result = await pod(sim, home, "run", "shell", *flags, *QUICK)

    (folder,) = sim.volume("client1").iterdir()
    assert (result.returncode, result.stdout) == (5, "")
    assert (folder / "stdout").read_text() == "kept\n"
    assert f"emasync down {folder.name}/" in result.stderr


async def test_what_cannot_be_meant_is_exit_2_before_anything_is_asked(sim: Simulator, home: Path) -> None:
    naive = await pod(sim, home, "run", "shell", "--at", "2026-01-05T10:00")
    unwrapped = await pod(sim, home, "run", "shell", "--capture")

    assert (naive.returncode, naive.stdout) == (2, "")
    assert "has no time zone; write 2026-01-05T10:00:00+00:00 for UTC" in naive.stderr
    assert unwrapped.returncode == 2
    assert "give --command" in unwrapped.stderr
    assert sim.requests == []


async def test_node_time_arguments_variables_and_ports_reach_a_later_em(home: Path) -> None:
    seen: list[PodContext] = []

    async def remember(context: PodContext) -> int:
        seen.append(context)
        return 0

    async with Simulator(users={"client1": CANARY}, generation="pods", pod_start=0.0) as sim:
        sim.add_image("client1", "later")
        sim.behaviour("later", remember)
        flags = ("--node", "gpu", "--arg", "a b", "--arg", "c", "--env", "K=v=w", "--port", "80")
        result = await pod(sim, home, "run", "later", *flags, "--at", "2020-01-01T00:00:00+02:00", "--json")
        with anyio.fail_after(10):
            while not seen:
                await anyio.sleep(0.02)

    assert result.returncode == 0, result.stderr
    assert lines(result)[0]["at"] == "2020-01-01T00:00:00+02:00"
    assert (seen[0].node, seen[0].args, dict(seen[0].envs)) == ("GPU", ("a b", "c"), {"K": "v=w"})
