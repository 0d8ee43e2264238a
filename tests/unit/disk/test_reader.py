from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from emasync.disk import (
    ExpectedFile,
    FileExecutor,
    Fingerprint,
    digest_file,
    fingerprint,
    open_reader,
    read_small_files,
)
from emasync.errors import SourceChangedError, UnsafePathError
from emasync.wire.content_tag import content_tag

CHUNK = 1000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(bytes(range(256)) * 20)  # 5,120 bytes: five chunks and a bit
    return path


async def read(threads: FileExecutor, path: Path, **how: Any) -> list[bytes]:
    async with open_reader(threads, path, **{"chunk": CHUNK, **how}) as reader:
        return [chunk async for chunk in reader]


# Sabotage: hand the same buffer out twice.
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 3])
async def test_the_chunks_are_the_file_and_its_hashes_follow(threads: FileExecutor, tmp_path: Path, size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    (tmp_path / "f").write_bytes(data)
    async with open_reader(threads, tmp_path / "f", chunk=CHUNK) as reader:
        assert reader.size == size
        chunks = [chunk async for chunk in reader]
        assert b"".join(chunks) == data
        assert all(len(chunk) == CHUNK for chunk in chunks[:-1])
        assert reader.sha256 == hashlib.sha256(data).hexdigest()
        assert reader.tag == content_tag(data)
        assert reader.fingerprint == fingerprint(tmp_path / "f")
        assert [chunk async for chunk in reader] == []  # it stays at its end


async def test_hashes_are_not_told_before_all_was_taken(threads: FileExecutor, file: Path) -> None:
    async with open_reader(threads, file, chunk=4000) as reader:
        assert (reader.sha256, reader.tag) == (None, None)
        await anext(reader)
        assert (reader.sha256, reader.tag) == (None, None)
        await anext(reader)
        assert reader.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


async def test_a_file_of_one_chunk_costs_one_hop(threads: FileExecutor, file: Path) -> None:
    hops: list[object] = []
    start = threads.start
    threads.start = lambda *args: hops.append(args) or start(*args)  # type: ignore[method-assign,func-returns-value]
    assert await read(threads, file, chunk=10_000) == [file.read_bytes()]
    assert len(hops) == 1


# Sabotage: begin the read when the chunk is asked for.
async def test_one_chunk_is_read_ahead_while_another_is_sent(
    threads: FileExecutor, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    os_read = os.read

    def counted(fd: int, size: int) -> bytes:
        if size == CHUNK:
            reads.append(size)
        return os_read(fd, size)

    monkeypatch.setattr(os, "read", counted)
    async with open_reader(threads, file, chunk=CHUNK) as reader:
        await anext(reader)
        while len(reads) < 2:
            await asyncio.sleep(0)  # nobody asked for the second one
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(reads) == 2  # and not for a third one


async def test_a_link_to_a_file_is_followed(threads: FileExecutor, file: Path) -> None:
    (file.parent / "link").symlink_to(file)
    assert b"".join(await read(threads, file.parent / "link")) == file.read_bytes()


async def test_a_file_is_digested_in_one_call(threads: FileExecutor, file: Path) -> None:
    digest = await threads.run(digest_file, file)
    data = file.read_bytes()
    assert (digest.sha256, digest.tag, digest.size) == (hashlib.sha256(data).hexdigest(), content_tag(data), len(data))


# Sabotage: hash without the data of one file; or take one read's bytes for all of the file.
def test_small_files_are_read_and_digested_one_after_the_other(tmp_path: Path) -> None:
    contents = [b"", b"a", b"b" * 5000]
    for number, data in enumerate(contents):
        (tmp_path / str(number)).write_bytes(data)
    paths = [tmp_path / str(number) for number in range(len(contents))]
    read = list(read_small_files(ExpectedFile(path=str(path), fingerprint=fingerprint(path)) for path in paths))
    assert [small.data for small in read] == contents
    assert [small.sha256 for small in read] == [hashlib.sha256(data).hexdigest() for data in contents]
    assert [small.tag for small in read] == [content_tag(data) for data in contents]


def test_a_read_that_gives_less_than_asked_for_is_gone_on_with(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Sabotage: call next_chunk only once in read_small_files.
    os_read = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: os_read(fd, min(size, 999)))
    (small,) = read_small_files([ExpectedFile(path=str(file), fingerprint=fingerprint(file))])
    assert small.data == file.read_bytes()
    assert small.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


# --- files that change -------------------------------------------------------------------------------------------


def shrink(path: Path) -> None:
    os.truncate(path, 4500)


def shrink_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def grow(path: Path) -> None:
    with path.open("ab") as out:
        out.write(b"more")


def rewrite(path: Path) -> None:
    with path.open("r+b") as out:
        out.write(b"other")
    os.utime(path, ns=(1, 1))  # a coarse clock could give the time it had


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


changes = pytest.mark.parametrize("change", [shrink, shrink_to_nothing, grow, rewrite, replace, touch])


# Sabotage: return at the top of _check_end; or call it only when the next chunk is asked for (the last chunk goes out).
@changes
async def test_a_file_that_changes_while_it_is_read_never_makes_a_complete_body(
    threads: FileExecutor, file: Path, change: Callable[[Path], None]
) -> None:
    sent = 0
    async with open_reader(threads, file, chunk=CHUNK) as reader:
        with pytest.raises(SourceChangedError, match="changed while it was being sent"):
            async for chunk in reader:
                sent += len(chunk)
                if sent == CHUNK:
                    change(file)
        assert sent < reader.size
        assert reader.sha256 is None


# Sabotage: ignore `expect`.
@changes
async def test_a_file_that_is_not_the_expected_one_is_not_read_at_all(
    threads: FileExecutor, file: Path, change: Callable[[Path], None]
) -> None:
    seen = fingerprint(file)
    change(file)
    with pytest.raises(SourceChangedError):
        async with open_reader(threads, file, expect=seen):
            pytest.fail("it was opened")


# Sabotage: compare the size only; or read on after the error.
@changes
def test_a_small_file_that_is_not_the_expected_one_ends_the_reading_there(
    file: Path, change: Callable[[Path], None]
) -> None:
    first = file.with_name("first")
    first.write_bytes(b"1")
    sources = [ExpectedFile(path=str(path), fingerprint=fingerprint(path)) for path in (first, file)]
    change(file)
    read = read_small_files(sources)
    assert next(read).data == b"1"
    with pytest.raises(SourceChangedError):
        next(read)


async def test_a_file_with_more_bytes_than_its_size_says_is_caught(
    threads: FileExecutor, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = file.stat()
    lagging = Fingerprint.of(seen)
    monkeypatch.setattr(Fingerprint, "of", classmethod(lambda *_: lagging))
    grow(file)
    with pytest.raises(SourceChangedError, match="size"):
        await read(threads, file)


async def test_what_changed_is_said(threads: FileExecutor, file: Path) -> None:
    seen = fingerprint(file)
    grow(file)
    with pytest.raises(SourceChangedError, match="from 5120 to 5124 bytes"):
        await read(threads, file, expect=seen)
    now = fingerprint(file)
    touch(file)
    with pytest.raises(SourceChangedError, match="its mtime_ns and ctime_ns changed"):
        await read(threads, file, expect=now)


async def test_an_unchanged_file_is_the_expected_one(threads: FileExecutor, file: Path) -> None:
    source = ExpectedFile(path=str(file), fingerprint=fingerprint(file))
    assert b"".join(await read(threads, file, expect=source.fingerprint)) == file.read_bytes()


# --- what is no file ---------------------------------------------------------------------------------------------


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # the address of a socket is limited to 107 bytes
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(make_folder, "folder"), (make_pipe, "pipe"), (make_socket, "socket"), (make_device, "device")],
)
async def test_what_is_no_regular_file_is_refused_at_once(
    threads: FileExecutor, tmp_path: Path, make: Callable[[Path], None], kind: str
) -> None:
    make(tmp_path / "thing")
    for attempt in (fingerprint, digest_file):
        with pytest.raises(UnsafePathError, match=kind):
            attempt(tmp_path / "thing")
    with pytest.raises(UnsafePathError, match=kind):
        await read(threads, tmp_path / "thing")


# Sabotage: open without O_NONBLOCK: this waits for a writer for ever.
async def test_a_pipe_that_takes_the_place_of_a_file_does_not_hang(
    threads: FileExecutor, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    regular = file.stat()
    file.unlink()
    os.mkfifo(file)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: regular)
    with pytest.raises(UnsafePathError, match="pipe"):
        await read(threads, file)


async def test_a_missing_file_is_a_file_not_found_error(threads: FileExecutor, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        await read(threads, tmp_path / "none")
    assert caught.value.filename == str(tmp_path / "none")


# --- cancellation and errors of the sender -----------------------------------------------------------------------


async def test_an_error_of_the_sender_passes_and_closes_the_file(threads: FileExecutor, file: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_reader(threads, file, chunk=CHUNK) as reader:
            await anext(reader)
            raise KeyError("mine")


async def test_an_error_read_ahead_that_nobody_asked_for_is_not_reported_as_lost(
    threads: FileExecutor, file: Path
) -> None:
    lost: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    async with open_reader(threads, file, chunk=4000) as reader:
        grow(file)
        await anext(reader)
        while reader._ahead is not None and not reader._ahead.done():
            await asyncio.sleep(0)
    del reader
    gc.collect()
    assert lost == []


@pytest.mark.parametrize("after", range(1, 20))
@pytest.mark.parametrize("native", [True, False])
async def test_cancelling_at_any_time_closes_the_file(
    threads: FileExecutor, file: Path, after: int, native: bool
) -> None:
    scope = anyio.CancelScope()

    async def work() -> None:
        with scope:
            await read(threads, file)

    task = asyncio.ensure_future(work())
    for _ in range(after):
        await asyncio.sleep(0)
    if native:
        task.cancel()
    else:
        scope.cancel()
    await asyncio.wait([task])


# Sabotage: no lock in _OpenSource (nobody awaits the read ahead): the descriptor is closed under the read.
@pytest.mark.parametrize("awaited", [True, False])
@pytest.mark.parametrize("native", [True, False])
async def test_cancelling_during_a_read_waits_for_it(
    threads: FileExecutor, file: Path, native: bool, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Event(), threading.Event()
    os_read, reads = os.read, itertools.count(1)

    def held(fd: int, size: int) -> bytes:
        if size == CHUNK and next(reads) == 3:  # begun when the second chunk was handed out
            entered.set()
            assert go.wait(30)
        return os_read(fd, size)

    monkeypatch.setattr(os, "read", held)
    scope = anyio.CancelScope()

    async def work() -> None:
        with scope:
            async with open_reader(threads, file, chunk=CHUNK) as reader:
                await anext(reader)
                async for _ in reader:
                    if not awaited:
                        await anyio.sleep_forever()

    task = asyncio.ensure_future(work())
    while not entered.is_set():
        await asyncio.sleep(0)
    if native:
        task.cancel()
    else:
        scope.cancel()
    for _ in range(1000):  # time for a cleanup that does not wait
        await asyncio.sleep(0)
        assert not task.done()
    go.set()
    await asyncio.wait([task])
