"""Calls in threads of their own: how many run, what a cancelled task waits for, and how the threads end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from unittest import mock

import anyio
import pytest

from emasync.disk import FileExecutor
from emasync.disk.executor import wait_uncancelled


async def test_a_call_runs_in_another_thread_and_gives_its_result(threads: FileExecutor) -> None:
    assert await threads.run(divmod, 7, 3) == (2, 1)
    assert await threads.run(threading.get_ident) != threading.get_ident()


async def test_an_exception_comes_back(threads: FileExecutor) -> None:
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)


async def test_no_more_threads_than_asked_for_are_started() -> None:
    async with FileExecutor(size=3) as threads:
        seen: set[int] = set()
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(threads.run, lambda: seen.add(threading.get_ident()))
    assert 1 <= len(seen) <= 3


class Gate:
    """A call that is in its thread until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()
        self.left = False

    def __call__(self) -> str:
        self.entered.set()
        assert self.go.wait(30)
        self.left = True
        return "result"


async def entered(gate: Gate) -> None:
    while not gate.entered.is_set():
        await asyncio.sleep(0)


# Sabotage: `await job` instead of `asyncio.wait((job,))` in finish, or no loop around it.
@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_task_waits_for_the_outstanding_call(threads: FileExecutor, times: int) -> None:
    gate = Gate()
    task = asyncio.ensure_future(threads.run(gate))
    await entered(gate)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
    gate.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.left


# Sabotage: shield=False in finish.
async def test_a_cancelled_scope_waits_for_the_outstanding_call_and_keeps_its_result(threads: FileExecutor) -> None:
    gate = Gate()
    got: list[str] = []
    async with anyio.create_task_group() as tasks:

        async def call() -> None:
            got.append(await threads.run(gate))

        tasks.start_soon(call)
        await entered(gate)
        tasks.cancel_scope.cancel()
        gate.go.set()
    assert gate.left
    assert got == ["result"]


# Sabotage: drop the checkpoint in run.
async def test_a_cancelled_scope_begins_no_new_call(threads: FileExecutor) -> None:
    calls: list[int] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        while len(calls) < 3:
            await threads.run(calls.append, 1)
    assert calls == []


async def test_an_error_of_a_call_whose_task_was_cancelled_is_not_reported_as_lost(threads: FileExecutor) -> None:
    lost: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    gate = Gate()

    def fail() -> None:
        gate()
        raise OSError("nobody listens")

    task = asyncio.ensure_future(threads.run(fail))
    await entered(gate)
    task.cancel()
    gate.go.set()
    await asyncio.wait([task])
    assert task.cancelled()
    del task
    gc.collect()
    assert lost == []


async def test_a_call_begun_early_is_finished_later(threads: FileExecutor) -> None:
    assert await wait_uncancelled(threads.start(divmod, 7, 3)) == (2, 1)


async def test_closing_waits_for_accepted_calls_and_takes_no_more() -> None:
    threads = FileExecutor(size=1)
    gate = Gate()
    job = threads.start(gate)
    await entered(gate)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.aclose)
        await asyncio.sleep(0)
        gate.go.set()
    assert gate.left
    assert await job == "result"
    with pytest.raises(RuntimeError, match="closed"):
        await threads.run(divmod, 7, 3)
    await threads.aclose()  # again is harmless


async def test_closing_gives_up_on_a_stuck_call_after_the_grace_time() -> None:
    threads = FileExecutor(size=1)
    gate = Gate()
    job = threads.start(gate)
    await entered(gate)
    await threads.aclose(grace_s=0.01)
    assert not gate.left
    gate.go.set()
    assert await job == "result"


async def test_zero_threads_is_misuse() -> None:
    with pytest.raises(ValueError, match="size"):
        FileExecutor(size=0)


# Sabotage: daemon=False in _DaemonPool.
def test_a_call_stuck_for_ever_does_not_keep_the_process_alive() -> None:
    code = (
        "import asyncio, threading\n"
        "from emasync.disk.executor import FileExecutor\n"
        "async def main():\n"
        "    threads = FileExecutor(size=1)\n"
        "    threads.start(threading.Event().wait)\n"
        "    await threads.aclose(grace_s=0.01)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=30, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


# Sabotage: `run` in place of `run_busy`: six at once. Or no `total_tokens` set: a slow disk is read two at a time.
@pytest.mark.parametrize(("waits", "together"), [(False, 2), (True, 6)])
async def test_busy_calls_are_two_at_a_time_unless_they_mostly_wait(waits: bool, together: int) -> None:
    running: list[int] = []
    most: list[int] = []
    gate = threading.Event()

    def call() -> None:
        running.append(1)
        most.append(len(running))
        gate.wait(0.05)
        running.pop()

    slow_s = 0.02 if waits else 1000.0  # a call here waits so that others may come to run beside it
    with mock.patch("emasync.disk.executor._SLOW_S", slow_s):
        async with FileExecutor(size=6) as threads:
            await threads.run_busy(time.sleep, 0.05)
            async with anyio.create_task_group() as tasks:
                for _ in range(12):
                    tasks.start_soon(threads.run_busy, call)
    assert max(most) == together


def _no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


# Sabotage: queue the job before the thread is started.
async def test_a_call_that_was_refused_for_want_of_threads_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    hold, ran, real = threading.Event(), list[int](), threading.Thread.start
    async with FileExecutor(size=2) as threads:
        first = threads.start(hold.wait)
        monkeypatch.setattr(threading.Thread, "start", _no_thread)
        second = threads.start(ran.append, 1)  # waits for the one thread there is
        monkeypatch.setattr(threading.Thread, "start", real)
        hold.set()
        await first
        await second
    assert ran == [1]
