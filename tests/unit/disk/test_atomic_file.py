from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emasync.disk import FileExecutor, WriteTarget, open_writer
from emasync.model import RemotePath
from tests.unit.disk.conftest import DATA, Way, both_ways, small, tree


class Journal:
    """The order of the calls that make a save durable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[str] = []
        fsync, rename, link, mkdir = os.fsync, os.rename, os.link, os.mkdir

        def noted_fsync(fd: int) -> None:
            self.steps.append("fsync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "fsync file")
            fsync(fd)

        def noted(step: str, call: Callable[..., None]) -> Callable[..., None]:
            def run(*args: Any, **kwargs: Any) -> None:
                self.steps.append(step)
                call(*args, **kwargs)

            return run

        monkeypatch.setattr(os, "fsync", noted_fsync)
        monkeypatch.setattr(os, "rename", noted("place", rename))
        monkeypatch.setattr(os, "link", noted("place", link))
        monkeypatch.setattr(os, "mkdir", noted("mkdir", mkdir))


# Sabotage: skip either fsync in publish, or move the first behind the rename.
@both_ways
@pytest.mark.parametrize("overwrite", ["replace", "error"])
async def test_a_durable_save_flushes_the_file_then_places_it_then_flushes_the_folder(
    threads: FileExecutor, dest: Path, way: Way, overwrite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(monkeypatch)
    await way(threads, dest, "f", durable=True, overwrite=overwrite)
    assert journal.steps == ["fsync folder", "fsync file", "place", "fsync folder"]  # first the destination's own entry


# Sabotage: no `_flush_entry` in _make_root; or no `flushed.flush` in open_directory.
async def test_a_durable_save_flushes_the_entries_of_new_folders(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(monkeypatch)
    await small(threads, dest / "new" / "root", "a/f", durable=True)
    made = ["fsync folder", "mkdir"] * 3  # dest/new, dest/new/root, a: each in a folder whose entry is flushed
    assert journal.steps == [*made, "fsync folder", "fsync file", "place", "fsync folder"]


@both_ways
async def test_nothing_is_flushed_when_durability_is_off(
    threads: FileExecutor, dest: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(monkeypatch)
    await way(threads, dest, "a/f", durable=False)
    assert journal.steps == ["mkdir", "place"]


@both_ways
async def test_an_fsync_that_fails_fails_the_save_and_keeps_the_old_file(
    threads: FileExecutor, dest: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dest / "f").write_bytes(b"old")

    def broken(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output") as caught:
        await way(threads, dest, "f", durable=True)
    assert caught.value.filename == str(dest / "f")
    assert (tree(dest), (dest / "f").read_bytes()) == ({"f"}, b"old")


def failing_write(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """A disk with `room` bytes left: short writes up to there, ENOSPC after."""
    write, left = os.write, [room]

    def full(fd: int, data: memoryview) -> int:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return write(fd, data)  # the event loop's own pipe
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(fd, data[: min(left[0], 100)])
        left[0] -= done
        return done

    monkeypatch.setattr(os, "write", full)


# Sabotage: one os.write without the loop in AtomicFile.write.
@both_ways
async def test_short_writes_are_completed(
    threads: FileExecutor, dest: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_write(monkeypatch, len(DATA))
    assert (await way(threads, dest)).read_bytes() == DATA


@both_ways
async def test_a_full_disk_is_an_error_with_the_name_and_leaves_nothing(
    threads: FileExecutor, dest: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_write(monkeypatch, len(DATA) - 1)
    with pytest.raises(OSError, match="No space left") as caught:
        await way(threads, dest, "f")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(dest / "f"))
    assert tree(dest) == set()


# Sabotage: drop the _writes_complete check in publish.
async def test_a_file_whose_write_failed_cannot_be_committed(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_write(monkeypatch, 10)
    async with open_writer(
        threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=False)
    ) as out:
        with pytest.raises(OSError, match="No space left"):
            await out.write(DATA)
        assert out.size == 0
        with pytest.raises(ValueError, match="failed"):
            await out.commit()
    assert tree(dest) == set()


async def test_space_is_checked_before_it_is_needed(threads: FileExecutor, dest: Path) -> None:
    async with open_writer(
        threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=False)
    ) as out:
        await out.check_space(1)
        with pytest.raises(OSError, match="not enough space") as caught:
            await out.check_space(1 << 62)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(dest / "f"))


def test_a_file_size_limit_of_the_process_is_an_error_with_the_name(dest: Path) -> None:
    code = (
        "import asyncio, resource, sys\n"
        "from pathlib import Path\n"
        "from emasync.disk import FileExecutor, WriteTarget, open_writer\n"
        "from emasync.model import RemotePath\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "async def main():\n"
        "    async with FileExecutor(size=1) as threads:\n"
        "        try:\n"
        "            target = WriteTarget(root=Path(sys.argv[1]), path=RemotePath('f'), overwrite='replace',\n"
        "                                 durable=False)\n"
        "            async with open_writer(threads, target) as out:\n"
        "                await out.write(bytes(5000))\n"
        "        except OSError as error:\n"
        "            sys.stdout.write(f'{error.errno} {error.filename}')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, dest], timeout=30, capture_output=True, text=True, check=True)
    assert done.stdout == f"{errno.EFBIG} {dest / 'f'}"
    assert tree(dest) == set()


@both_ways
async def test_a_folder_without_permission_is_an_error_with_the_name(
    threads: FileExecutor, dest: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    os_open = os.open  # root, as which tests may run, is never refused

    def refused(path: str, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return os_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(PermissionError) as caught:
        await way(threads, dest, "f")
    assert caught.value.filename == str(dest / "f")
