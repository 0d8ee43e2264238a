from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from emasync.disk import FileExecutor, WriteTarget, open_writer
from emasync.model import RemotePath
from tests.unit.disk.conftest import DATA, save, tree


async def steps(threads: FileExecutor, dest: Path, reached: list[str]) -> None:
    async with open_writer(
        threads, WriteTarget(root=dest, path=RemotePath("d/f"), overwrite="replace", durable=True)
    ) as out:
        reached.append("opened")
        await out.check_space(10)
        reached.append("checked")
        await out.write(DATA)
        reached.append("written")
        await out.write(DATA)
        reached.append("written again")
        await out.commit()
        reached.append("committed")
    reached.append("left")


def left_behind(dest: Path) -> set[str]:
    names = {name for name in tree(dest) if not name.endswith("/")}
    assert names <= {"d/f"}  # no temporary file
    if names:
        assert (dest / "d" / "f").read_bytes() == DATA * 2  # all or nothing
    return names


class Work:
    """`steps` in a task, to be cancelled from outside as asyncio does it (native) or as anyio does it."""

    def __init__(self, threads: FileExecutor, dest: Path) -> None:
        self.reached: list[str] = []
        self._scope = anyio.CancelScope()
        self.task = asyncio.ensure_future(self._run(threads, dest))

    async def _run(self, threads: FileExecutor, dest: Path) -> None:
        with self._scope:
            await steps(threads, dest, self.reached)

    def cancel(self, *, native: bool) -> None:
        if native:
            self.task.cancel()
        else:
            self._scope.cancel()


# Sabotage: no shield around the cleanup in open_writer: temporary files and descriptors stay.
@pytest.mark.parametrize("after", range(1, 30))
@pytest.mark.parametrize("native", [True, False])
async def test_cancelling_at_any_time_leaves_no_trace(
    threads: FileExecutor, dest: Path, after: int, native: bool
) -> None:
    work = Work(threads, dest)
    for _ in range(after):
        await asyncio.sleep(0)
    work.cancel(native=native)
    await asyncio.wait([work.task])
    assert (left_behind(dest) == {"d/f"}) or "committed" not in work.reached


# Sabotage: no shield around the cleanup in open_writer, or none in finish.
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("after", ["opened", "checked", "written", "written again"])
async def test_cancelling_between_two_steps_leaves_no_trace(
    threads: FileExecutor, dest: Path, after: str, native: bool
) -> None:
    class Trap(list[str]):
        def append(self, step: str) -> None:
            super().append(step)
            if step == after:
                work.cancel(native=native)

    work = Work(threads, dest)
    work.reached = Trap()
    await asyncio.wait([work.task])
    assert work.reached[-1] == after or native  # asyncio lets a call that had begun go on
    assert "left" not in work.reached
    assert "committed" not in work.reached


class HeldCall:
    """Holds the calls of one system function (of `fsync` those of files) in their threads until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.entered, self.go, call = threading.Event(), threading.Event(), getattr(os, name)
        main = threading.get_ident()

        def held(*args: Any, **kwargs: Any) -> Any:
            of_a_folder = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            if threading.get_ident() != main and not of_a_folder:
                self.entered.set()
                assert self.go.wait(30)
            return call(*args, **kwargs)

        monkeypatch.setattr(os, name, held)


# Sabotage: no lock in AtomicFile: the cleanup closes the descriptor under the write.
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("during", ["write", "fsync", "fchmod", "rename", "mkdir", "open", "fstatvfs"])
async def test_cancelling_during_a_call_waits_for_it_and_leaves_no_trace(
    threads: FileExecutor, dest: Path, during: str, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if during != "mkdir":
        (dest / "d").mkdir()
    held = HeldCall(monkeypatch, during)
    work = Work(threads, dest)
    while not held.entered.is_set():
        await asyncio.sleep(0)
    work.cancel(native=native)
    for _ in range(1000):  # time for a cleanup that does not wait
        await asyncio.sleep(0)
        assert not work.task.done()  # the call is still running: nothing has been let go
    held.go.set()
    await asyncio.wait([work.task])
    commits = during in ("fsync", "fchmod", "rename")
    assert left_behind(dest) == ({"d/f"} if commits else set())
    assert "left" not in work.reached or (commits and not native)  # a scope may find its last call done


async def test_a_save_that_fails_to_begin_leaves_nothing_open(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("emasync.disk.atomic_file._create", broken)
        with pytest.raises(OSError, match="Too many open files"):
            await save(threads, dest)
    assert tree(dest) == {"results/", "results/run/"}
