"""SIGINT, SIGTERM and SIGHUP in the midst of a transfer: codes, journal, the command that goes on, and the next run."""

from __future__ import annotations

import asyncio
import os
import pty
import random
import re
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from emasync.cli.runner import _GRACE_S
from emasync.simulator import Fault, FaultKind
from tests.cli.child import environment, login
from tests.faults.checker import Run, read_journal, residue, violations
from tests.faults.stage_kills import Way
from tests.faults.stage_local import PASSWORD, USER, an_em, emasync, ended, journals, some_files, started

_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
_NOHUP = ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")
_PROMISED_S = 5.0  # from a signal to the end
_CHILD = str(Path(__file__).with_name("process_child.py"))


# sabotage: leave `at.resume` unset in `_begin_job`; return `ExitCode.INTERRUPTED` for every signal in `_CODES` of job;
# leave out `await run.tracker.record([result])` in `_DownlinkWorker.download`; let `_Job.__exit__` always
# say "done"; leave SIGHUP out of
# `_CODES` in cli/exit_codes.
@pytest.mark.parametrize("number", _CODES)
@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_signal_ends_it_with_its_code_and_the_printed_command_finishes_the_job(
    tmp_path: Path, way: Way, number: signal.Signals
) -> None:
    files, home = some_files(random.Random(1), 24, folders=6), tmp_path / "home"
    async with an_em(tmp_path / "em", files if way == "down" else None) as sim:
        destination = sim.volume(USER) if way == "up" else home / "out"
        for name, data in files.items() if way == "up" else ():
            (home / "src" / name).parent.mkdir(parents=True, exist_ok=True)
            (home / "src" / name).write_bytes(data)
        words = ("up", "src/") if way == "up" else ("down", "/", "--into", "out")
        path = f"em/files/{way}link"
        async with started(sim.url, home, *words, "--workers", "2", "-q") as process:
            with anyio.fail_after(40):
                while sum(request.path == path and request.status == 200 for request in sim.requests) < 3:
                    await anyio.sleep(0.001)
                paused = sim.breakpoint(path, at="answer")  # from here on nothing is answered: it cannot get through
                await paused.wait_until_hit()
            process.send_signal(number)
            stopped = await ended(process, limit_s=_PROMISED_S)
        paused.release()

        rows = journals(home)
        run = Run(direction=way, wanted=files, destination=destination, rows=rows[0])
        assert violations(run) == []
        assert stopped.code == _CODES[number]
        assert stopped.ugly() == []
        assert [path.name for path in destination.rglob(".emasync-*")] == []
        if way == "down":
            assert len([row for row in read_journal(rows[0]) if row.state == "done"]) >= 2
        command = re.search(r"go on with: emasync (jobs resume \w+)", stopped.err)
        assert command is not None, stopped.err
        finished = await emasync(sim.url, home, *command[1].split(), "-q")

        assert (finished.code, finished.ugly()) == (0, [])
        assert violations(Run(direction=way, wanted=files, destination=destination, ended_ok=True)) == []
        assert journals(home) == []


# sabotage: `_GRACE_S = 60.0` in cli/runner, which the tests of a disk call that never returns set for themselves.
def test_the_grace_is_no_longer_than_promised() -> None:
    assert 0 < _GRACE_S <= _PROMISED_S


# sabotage: shield what `ConcurrencyLimiter._wait` waits for from cancellation: it ends when the grace is over, and not
# well.
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("kind", "refusals"), [("busy_before", 4), ("retry_after", 1)])
async def test_a_signal_ends_the_wait_for_an_em_that_is_busy_however_long_that_asks_for(
    tmp_path: Path, number: signal.Signals, kind: FaultKind, refusals: int
) -> None:
    files, home = some_files(random.Random(3), 12), tmp_path / "home"
    fault = Fault(kind, endpoint="em/files/downlink", times=None, status=503, seconds=200.0)
    async with an_em(tmp_path / "em", files, faults=[fault]) as sim:
        words = ("down", "/", "--into", "out", "--workers", "3", "-q")
        async with started(sim.url, home, *words) as process:
            with anyio.fail_after(40):
                while sum(request.fault == kind for request in sim.requests) < refusals:
                    await anyio.sleep(0.005)
            process.send_signal(number)
            stopped = await ended(process, limit_s=_PROMISED_S)
        assert stopped.code == _CODES[number]
        assert stopped.ugly() == []
        assert violations(Run(direction="down", wanted=files, destination=home / "out")) == []
        assert residue(home) == []
        sim.faults.clear()
        finished = await emasync(sim.url, home, "down", "/", "--into", "out", "-q")
    assert (finished.code, finished.ugly()) == (0, [])
    assert violations(Run(direction="down", wanted=files, destination=home / "out", ended_ok=True)) == []


# sabotage: replace `os._exit` by `scope.cancel()` in `_watch_signals`.
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_ends_it_at_once_although_a_disk_call_never_returns(
    tmp_path: Path, number: signal.Signals
) -> None:
    home, told = tmp_path / "home", tmp_path / "stuck"
    forever = "1e6"  # of grace: only the second signal can end it
    async with an_em(tmp_path / "em", {"a": b"one", "b": b"two"}) as sim:
        words = (str(told), forever, "down", "/", "--into", "out")
        async with started(sim.url, home, *words, script=(_CHILD,)) as process:
            await _appears(told)
            process.send_signal(number)
            assert process.stderr is not None
            said = await process.stderr.readuntil(b"interrupted: ")
            process.send_signal(number)
            stopped = await ended(process)

        assert stopped.code == _CODES[number], said
        assert stopped.ugly() == []
        finished = await emasync(sim.url, home, "down", "/", "--into", "out", "-q")
        assert finished.code == 0, finished.err
        run = Run(direction="down", wanted={"a": b"one", "b": b"two"}, destination=home / "out", ended_ok=True)
        assert violations(run) == []


# sabotage: leave out `timer.start()` in `_watch_signals`.
async def test_one_signal_is_enough_when_the_grace_is_over(tmp_path: Path) -> None:
    home, told = tmp_path / "home", tmp_path / "stuck"
    async with an_em(tmp_path / "em", {"a": b"one"}) as sim:
        words = (str(told), "0.1", "down", "/", "--into", "out")
        async with started(sim.url, home, *words, script=(_CHILD,)) as process:
            await _appears(told)
            process.send_signal(signal.SIGTERM)
            stopped = await ended(process)

    assert stopped.code == 143
    assert not (home / "out/a").exists()


# sabotage: let `retry.decide` give STOP for RETRY. Up: `UplinkRequestSender.send` settles what an UnknownOutcomeError
# leaves open as failed.
@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_process_stopped_while_the_server_restarts_goes_on_when_it_is_continued(
    tmp_path: Path, way: Way
) -> None:
    files, home = some_files(random.Random(2), 24, folders=6), tmp_path / "home"
    for name, data in files.items() if way == "up" else ():
        (home / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "src" / name).write_bytes(data)
    words, path = (("up", "src/") if way == "up" else ("down", "/", "--into", "out")), f"em/files/{way}link"
    async with AsyncExitStack() as stack:
        async with an_em(tmp_path / "em", files if way == "down" else None) as sim:
            port = int(sim.url.rstrip("/").rpartition(":")[2])
            paused = sim.breakpoint(path, at="body")
            process = await stack.enter_async_context(started(sim.url, home, *words, "--workers", "3", "-q"))
            with anyio.fail_after(40):
                await paused.wait_until_hit(3)
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        async with an_em(tmp_path / "em", port=port) as again:  # new tokens, too: the old one is refused
            process.send_signal(signal.SIGCONT)
            finished = await ended(process)
            moved = [request for request in again.requests if request.path == path]
            destination = again.volume(USER) if way == "up" else home / "out"
    assert (finished.code, finished.ugly()) == (0, [])
    assert len(moved) >= (len(files) if way == "down" else 6)
    assert violations(Run(direction=way, wanted=files, destination=destination, ended_ok=True)) == []


# sabotage: `ignored = False` in `ending_signals`.
async def test_a_job_under_nohup_goes_on_when_the_terminal_hangs_up(tmp_path: Path) -> None:
    files, home = some_files(random.Random(4), 12), tmp_path / "home"
    async with an_em(tmp_path / "em", files) as sim:
        paused = sim.breakpoint("em/files/downlink", at="answer")
        words = ("down", "/", "--into", "out", "-q")
        async with started(sim.url, home, *words, wrap=_NOHUP) as process:
            with anyio.fail_after(40):
                await paused.wait_until_hit()
            process.send_signal(signal.SIGHUP)
            paused.release()
            finished = await ended(process)
    assert (finished.code, finished.ugly()) == (0, [])
    assert violations(Run(direction="down", wanted=files, destination=home / "out", ended_ok=True)) == []


# sabotage: let `Out.warn` raise OSError: a stderr that is gone breaks the ending off; or leave `discard(sys.stderr)`
# out of both places: the interpreter's last flush makes it 120.
async def test_a_terminal_that_is_closed_ends_it_with_129_and_leaves_nothing(tmp_path: Path) -> None:
    files, home = some_files(random.Random(5), 12, large=6), tmp_path / "home"
    ours, theirs = pty.openpty()
    async with an_em(tmp_path / "em", files, bandwidth=100_000) as sim:
        words = ("down", "/", "--into", "out", "--workers", "4", "--progress", "tty")
        env = environment(home, {**login(sim.url, password=PASSWORD), "PYTHONWARNINGS": "error", "TERM": "xterm"})
        home.mkdir()
        command = (sys.executable, "-m", "emasync", *words)
        process = await asyncio.create_subprocess_exec(
            *command, env=env, cwd=home, start_new_session=True, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        try:
            with anyio.fail_after(40):
                while sum(request.path == "em/files/downlink" for request in sim.requests) < 4:
                    await anyio.sleep(0.005)
                os.close(ours)  # first, so that all that it writes from here on fails
                process.send_signal(signal.SIGHUP)
                code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert code == 129
    assert residue(home / "out") == []
    assert violations(Run(direction="down", wanted=files, destination=home / "out", rows=journals(home)[0])) == []


# sabotage: leave `raise_on_signals()` out of `finish`: the signal itself ends it, with -1 or -15.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_before_there_is_an_event_loop_has_its_code_too(tmp_path: Path, number: signal.Signals) -> None:
    home, secret = tmp_path / "home", tmp_path / "secret"
    os.mkfifo(secret)
    wrap = ("env", "-u", "EMASYNC_PASSWORD", f"EMASYNC_PASSWORD_FILE={secret}")
    async with started("http://127.0.0.1:9/", home, "ls", wrap=wrap) as process:
        with anyio.fail_after(40):
            writer = await anyio.to_thread.run_sync(os.open, secret, os.O_WRONLY)  # returns when it is being read
        process.send_signal(number)
        stopped = await ended(process, limit_s=_PROMISED_S)
        os.close(writer)
    assert (stopped.code, stopped.ugly()) == (_CODES[number], [])


async def _appears(path: Path) -> None:
    with anyio.fail_after(40):
        while not path.exists():
            await anyio.sleep(0.005)
