"""A file counts as saved only when the entry of every folder on its way is on the disk, whoever made the folder."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from emasync.disk import FileExecutor, RootGuard
from tests.unit.disk.conftest import Way, both_ways, small, tree


class Flushes:
    """Counts the fsyncs of each folder, and holds those of one of them until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, hold: Path | None = None) -> None:
        self.of: Counter[str] = Counter()
        self.entered, self.go = threading.Event(), threading.Event()
        self.failing = False
        held, fsync = (None if hold is None else hold.stat().st_ino), os.fsync

        def noted(descriptor: int) -> None:
            if os.fstat(descriptor).st_ino == held:
                self.entered.set()
                assert self.go.wait(30)
                if self.failing:
                    raise OSError(errno.EIO, "Input/output error")
            self.of[str(Path(f"/proc/self/fd/{descriptor}").readlink())] += 1  # when it has ended
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", noted)


def start(way: Way, threads: FileExecutor, dest: Path, path: str, pin: RootGuard) -> asyncio.Task[Any]:
    return asyncio.ensure_future(way(threads, dest, path, durable=True, root_guard=pin))


async def _entered(flushes: Flushes) -> None:
    while not flushes.entered.is_set():
        await asyncio.sleep(0.001)


# Sabotage: in FlushedEntries.flush add the key to `_flushed` before the fsync; or in `open_directory` flush only what
# this thread made (`except FileExistsError: return` before the flush): the second file is done, and the first waits.
@both_ways
async def test_no_file_is_done_before_the_entry_of_its_new_folder_is_flushed_whichever_thread_made_the_folder(
    threads: FileExecutor, dest: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = RootGuard()
    await small(threads, dest, "first", durable=True, root_guard=pin)
    flushes = Flushes(monkeypatch, hold=dest)
    maker = start(way, threads, dest, "new/a", pin)
    await _entered(flushes)
    other = start(way, threads, dest, "new/b", pin)
    await asyncio.wait([other], timeout=0.3)  # time for a save that does not wait
    assert not other.done()
    assert tree(dest) == {"first", "new/"}
    flushes.go.set()
    await asyncio.gather(maker, other)
    assert tree(dest) == {"first", "new/", "new/a", "new/b"}
    assert flushes.of[str(dest)] == 1  # once for both


# Sabotage: flush in `_enter` after `os.mkdir` only, as before.
@both_ways
async def test_a_folder_that_is_there_already_is_flushed_once_for_all_files_of_a_transfer(
    threads: FileExecutor, dest: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dest / "left" / "by a killed run").mkdir(parents=True)
    flushes, pin = Flushes(monkeypatch), RootGuard()
    for name in ("a", "b", "c"):
        await way(threads, dest, f"left/by a killed run/{name}", durable=True, root_guard=pin)
    assert flushes.of[str(dest.parent)] == flushes.of[str(dest)] == flushes.of[str(dest / "left")] == 1


# Sabotage: `except OSError: pass` around the fsync in FlushedEntries._fsync; or leave `del self._running[key]` out of
# its except: the third save then fails, too.
async def test_a_flush_that_fails_fails_all_that_wait_for_it_and_the_next_one_tries_again(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = RootGuard()
    await small(threads, dest, "first", durable=True, root_guard=pin)
    flushes = Flushes(monkeypatch, hold=dest)
    flushes.failing = True
    both = [start(small, threads, dest, f"new/{name}", pin) for name in ("a", "b")]
    await _entered(flushes)
    flushes.go.set()
    failures = await asyncio.gather(*both, return_exceptions=True)
    assert [getattr(one, "errno", one) for one in failures] == [errno.EIO, errno.EIO]
    assert tree(dest) == {"first", "new/"}
    flushes.failing = False
    await small(threads, dest, "new/c", durable=True, root_guard=pin)
    assert tree(dest) == {"first", "new/", "new/c"}


# Sabotage: `fsync_directory(parent_fd)` for `flushed.flush(...)` in `_flush_entry`: each thread flushes for itself.
async def test_a_destination_that_many_threads_make_at_once_is_flushed_once(
    dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes, pin = Flushes(monkeypatch), RootGuard()
    async with FileExecutor(size=8) as threads:
        await asyncio.gather(*(start(small, threads, dest / "a/b", f"f{number}", pin) for number in range(8)))
    assert {path: count for path, count in flushes.of.items() if Path(path) in (dest.parent, dest, dest / "a")} == {
        str(dest.parent): 1,
        str(dest): 1,
        str(dest / "a"): 1,
    }


# Sabotage: let `_flush_entry` raise PermissionError.
async def test_a_parent_that_may_not_be_read_does_not_prevent_a_save(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.open

    def refusing(path: Any, *args: Any, **kwargs: Any) -> int:
        if path == "..":
            raise PermissionError(errno.EACCES, "Permission denied")
        return plain(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refusing)
    await small(threads, dest, "f", durable=True)
    assert tree(dest) == {"f"}
