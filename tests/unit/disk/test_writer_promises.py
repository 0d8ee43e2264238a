"""What a save promises whoever waits for it: where its work is done, and that nothing goes on once it is left."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from emasync.disk import BufferedFileWriter, FileExecutor, RootGuard, WriteTarget, exists, open_writer
from emasync.disk.directory import open_directory
from emasync.disk.fingerprint import Hashes
from emasync.errors import UnsafePathError
from emasync.model import Overwrite, RemotePath
from tests.unit.disk.conftest import DATA, tree

FILE = RemotePath("f")


class Held:
    """Holds the calls of one system function in their threads until it is let go; notes which threads those are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.threads: list[str] = []
        call, main = getattr(os, name), threading.get_ident()

        def held(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != main:
                self.threads.append(threading.current_thread().name)
                self.entered.set()
                assert self.go.wait(30)
            return call(*args, **kwargs)

        monkeypatch.setattr(os, name, held)

    async def reached(self) -> None:
        while not self.entered.is_set():
            await asyncio.sleep(0)


async def stays_busy(task: asyncio.Task[Any]) -> None:
    for _ in range(200):  # time for whatever does not wait
        await asyncio.sleep(0)
        assert not task.done()


# Sabotage: leave the executor out of AsyncFileIO: the write is done by threads that nobody bounds or ends.
async def test_every_byte_is_written_in_the_file_threads(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch, "write")
    held.go.set()
    async with open_writer(threads, WriteTarget(root=dest, path=FILE, overwrite="replace", durable=False)) as out:
        await out.write(DATA)
        await out.commit()
    assert held.threads
    assert all(name.startswith("emasync-file-") for name in held.threads)


# Sabotage: `<` for `<=` in BufferedFileWriter.finish, or another bound than 64 KiB.
@pytest.mark.parametrize(("size", "hops"), [(64 * 1024, 0), (64 * 1024 + 1, 1)])
async def test_up_to_64_kib_are_hashed_at_once_and_more_in_a_thread(
    threads: FileExecutor, dest: Path, size: int, hops: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    start = threads.start

    def noted(fn: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        calls.append(fn)
        return start(fn, *args)

    monkeypatch.setattr(threads, "start", noted)
    out = BufferedFileWriter(threads, WriteTarget(root=dest, path=FILE, overwrite="replace", durable=False))
    await out.write(bytes(size))
    await out.finish()
    await out.finish()  # again: nothing is hashed twice
    assert (len(calls), out.sha256) == (hops, hashlib.sha256(bytes(size)).hexdigest())


# Sabotage: no fsync of the directory in AtomicFile.publish.
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_commit_flushes_the_directory_after_the_file(
    threads: FileExecutor, dest: Path, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(Path(f"/proc/self/fd/{fd}").is_dir()))
    if streamed:
        async with open_writer(threads, WriteTarget(root=dest, path=FILE, overwrite="replace", durable=True)) as out:
            await out.commit()
    else:
        await BufferedFileWriter(threads, WriteTarget(root=dest, path=FILE, overwrite="replace", durable=True)).commit()
    assert flushed == [True, False, True]  # the entry of the destination, the file, then its folder


# Sabotage: leave `await writer.finish()` out of `_close`: the caller's buffer is read after it was given back.
@pytest.mark.parametrize("how", ["left", "failed", "cancelled"])
async def test_leaving_waits_until_nothing_reads_the_buffer_any_more(
    threads: FileExecutor, dest: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, ended, written = threading.Event(), threading.Event(), asyncio.Event()

    def slow(_: object) -> None:
        assert go.wait(30)
        ended.set()

    async def work() -> None:
        async with open_writer(threads, WriteTarget(root=dest, path=FILE, overwrite="replace", durable=False)) as out:
            await out.write(bytearray(DATA))
            written.set()
            if how == "failed":
                raise KeyError("mine")
            if how == "cancelled":
                await asyncio.Event().wait()

    monkeypatch.setattr(Hashes, "updates", lambda _: [slow])
    task = asyncio.create_task(work())
    await written.wait()
    if how == "cancelled":
        task.cancel()
    await stays_busy(task)
    go.set()
    await asyncio.wait([task])
    assert ended.is_set()
    if how == "cancelled":
        assert task.cancelled()
    else:
        assert isinstance(task.exception(), KeyError if how == "failed" else type(None))
    assert tree(dest) == set()


# Sabotage: no `finally` around the last finish in open_writer: a hash that fails leaves the temporary file behind.
async def test_a_hash_that_fails_fails_the_save_and_leaves_nothing(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise MemoryError("no room for a hash")

    monkeypatch.setattr(Hashes, "updates", lambda _: [broken])
    with pytest.raises(MemoryError, match="no room for a hash"):
        async with open_writer(threads, WriteTarget(root=dest, path=FILE, overwrite="replace", durable=False)) as out:
            await out.write(DATA)
    assert tree(dest) == set()


# Sabotage: a plain await of the future in FileExecutor.finish: the commit returns while its thread is still at work.
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("overwrite", "during"),
    [("replace", "fsync"), ("replace", "rename"), ("error", "link"), ("error", "unlink"), ("skip", "link")],
)
async def test_a_commit_that_is_cancelled_still_puts_the_whole_file_in_place(
    threads: FileExecutor,
    dest: Path,
    streamed: bool,
    overwrite: Overwrite,
    during: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pin = RootGuard()
    os.close(open_directory(dest, (), durable=True, root_guard=pin))  # its entry is flushed before anything is held

    async def work() -> None:
        if streamed:
            async with open_writer(
                threads, WriteTarget(root=dest, path=FILE, overwrite=overwrite, durable=True, root_guard=pin)
            ) as out:
                await out.write(DATA)
                await out.commit()
        else:
            small = BufferedFileWriter(
                threads, WriteTarget(root=dest, path=FILE, overwrite=overwrite, durable=True, root_guard=pin)
            )
            await small.write(DATA)
            await small.commit()

    held = Held(monkeypatch, during)
    task = asyncio.create_task(work())
    await held.reached()
    task.cancel()
    await stays_busy(task)
    held.go.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (tree(dest), (dest / "f").read_bytes()) == ({"f"}, DATA)


# Sabotage: no `finally` in BufferedFileWriter._write_and_publish: the temporary file stays.
async def test_a_small_file_whose_folder_was_swapped_leaves_nothing(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap(*_: object) -> None:
        (dest / "d").rename(dest / "moved")

    monkeypatch.setattr(os, "fchmod", swap)
    out = BufferedFileWriter(
        threads, WriteTarget(root=dest, path=RemotePath("d/f"), overwrite="replace", durable=False)
    )
    await out.write(DATA)
    with pytest.raises(UnsafePathError, match="a folder on the way was moved or replaced"):
        await out.commit()
    assert tree(dest) == {"moved/"}


# Sabotage: no `check_space` in _write_and_publish: the file is begun, and takes the space of others until it fails.
# Sabotage: `>=` for `>` there, or another bound than 64 KiB: room is asked for what is written sooner.
async def test_a_file_that_has_no_room_is_not_begun(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = SimpleNamespace(f_bavail=1, f_frsize=4096, f_blocks=100)
    begun: list[int] = []
    write = os.write

    def count(fd: int, data: bytes) -> int:
        begun.append(len(data))
        return write(fd, data)

    monkeypatch.setattr(os, "fstatvfs", lambda _: full)
    monkeypatch.setattr(os, "write", count)
    for size, fits in ((65536, True), (65537, False)):
        out = BufferedFileWriter(
            threads, WriteTarget(root=dest, path=RemotePath(f"f{size}"), overwrite="replace", durable=False)
        )
        await out.write(bytes(size))
        if fits:
            await out.commit()
        else:
            with pytest.raises(OSError, match=f"not enough space: the file has {size} bytes, 4096 are free"):
                await out.commit()
    assert begun == [65536]
    assert tree(dest) == {"f65536"}


# Sabotage: no `error.add_note` around `_close` in open_writer: only the failed clean-up is told of.
async def test_what_went_wrong_is_told_before_what_could_not_be_tidied_up(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "not yours")

    with pytest.raises(ZeroDivisionError) as caught:
        async with open_writer(
            threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=False)
        ):
            monkeypatch.setattr(os, "unlink", refuse)
            raise ZeroDivisionError
    assert ["not yours" in note for note in caught.value.__notes__] == [True]


def small(threads: FileExecutor, dest: Path) -> BufferedFileWriter:
    return BufferedFileWriter(threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=False))


# Sabotage: `_finished` set before the hashing: a cancelled `finish` leaves the hash of nothing.
async def test_a_finish_that_was_cancelled_can_be_had_again(threads: FileExecutor, dest: Path) -> None:
    save = small(threads, dest)
    data = bytes(100_000)
    await save.write(data)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await save.finish()
    await save.finish()
    assert save.sha256 == hashlib.sha256(data).hexdigest()


# Sabotage: `write` without its check: the file has bytes that its hash does not know.
async def test_a_small_file_takes_nothing_after_its_end(threads: FileExecutor, dest: Path) -> None:
    save = small(threads, dest)
    await save.write(b"a")
    await save.finish()
    with pytest.raises(ValueError, match="finished"):
        await save.write(b"b")
    await save.commit()
    with pytest.raises(ValueError, match="tried before"):
        await save.commit()
    assert (dest / "f").read_bytes() == b"a"


# Sabotage: os.path.lexists on the whole path: it follows the link.
async def test_nothing_is_looked_up_behind_a_link(threads: FileExecutor, dest: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "f").touch()
    (dest / "link").symlink_to(other)
    (dest / "broken").symlink_to("nowhere")
    with pytest.raises(UnsafePathError):
        await exists(threads, dest, RemotePath("link/f"))
    assert await exists(threads, dest, RemotePath("broken"))
    assert not await exists(threads, dest, RemotePath("none/f"))
    assert not await exists(threads, dest, RemotePath("f"))
