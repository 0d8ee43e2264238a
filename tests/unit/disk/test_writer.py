from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

import anyio
import pytest

from emasync.disk import SMALL, BufferedFileWriter, FileExecutor, WriteTarget, exists, open_writer
from emasync.errors import UnsafePathError
from emasync.model import Overwrite, RemotePath
from emasync.wire.content_tag import content_tag
from tests.unit.disk.conftest import DATA, PATH, Way, both_ways, small, tree


async def test_a_file_is_saved_whole_with_its_size_and_hashes(threads: FileExecutor, dest: Path) -> None:
    async with open_writer(threads, WriteTarget(root=dest, path=PATH, overwrite="error", durable=True)) as out:
        assert out.path == dest / PATH
        await out.write(DATA)
        await out.write(memoryview(bytearray(b"tail")))
        assert not out.path.exists()
        assert await out.commit() == dest / PATH
        assert (out.size, out.sha256) == (len(DATA) + 4, hashlib.sha256(DATA + b"tail").hexdigest())
        assert out.tag == content_tag(DATA + b"tail")
    assert (dest / PATH).read_bytes() == DATA + b"tail"
    assert tree(dest) == {"results/", "results/run/", "results/run/out.bin"}


def hops_of(threads: FileExecutor) -> list[object]:
    """The calls that go to a thread from now on."""
    hops: list[object] = []
    start = threads.start
    threads.start = lambda *args: hops.append(args) or start(*args)  # type: ignore[method-assign,func-returns-value]
    return hops


async def test_a_small_file_is_saved_in_one_hop(threads: FileExecutor, dest: Path) -> None:
    hops = hops_of(threads)
    out = BufferedFileWriter(threads, WriteTarget(root=dest, path=PATH, overwrite="replace", durable=True))
    buffer = bytearray(DATA)
    await out.write(buffer)
    buffer[:] = bytes(len(DATA))  # it was copied
    await out.write(b"tail")
    await out.finish()
    whole = DATA + b"tail"
    assert (out.size, out.sha256, out.tag) == (len(whole), hashlib.sha256(whole).hexdigest(), content_tag(whole))
    assert (hops, tree(dest)) == ([], set())  # known before anything touches the disk
    assert (await out.commit()).read_bytes() == whole
    assert len(hops) == 1


# Sabotage: hash in the event loop whatever the size.
async def test_the_hashes_of_a_larger_small_file_are_computed_in_a_thread(threads: FileExecutor, dest: Path) -> None:
    hops, data = hops_of(threads), bytes(SMALL)
    out = BufferedFileWriter(threads, WriteTarget(root=dest, path=PATH, overwrite="replace", durable=False))
    await out.write(data)
    await out.finish()
    assert (len(hops), out.sha256, out.tag) == (1, hashlib.sha256(data).hexdigest(), content_tag(data))
    assert (await out.commit()).read_bytes() == data
    assert len(hops) == 2


# Sabotage: leave `await self.finish()` out of FileWriter.write: updates of one hash run in any order.
async def test_a_file_of_many_writes_is_hashed_in_their_order(threads: FileExecutor, dest: Path) -> None:
    pieces = [bytes([number]) * 100_000 for number in range(40)]
    async with open_writer(threads, WriteTarget(root=dest, path=PATH, overwrite="replace", durable=False)) as out:
        for piece in pieces:
            await out.write(piece)
        await out.finish()
        whole = b"".join(pieces)
        assert (out.size, out.sha256, out.tag) == (len(whole), hashlib.sha256(whole).hexdigest(), content_tag(whole))


@both_ways
async def test_an_empty_file_is_a_file(threads: FileExecutor, dest: Path, way: Way) -> None:
    assert (await way(threads, dest, data=b"")).read_bytes() == b""


@both_ways
async def test_the_destination_is_made_where_it_is_missing(threads: FileExecutor, tmp_path: Path, way: Way) -> None:
    assert (await way(threads, tmp_path / "a" / "b", durable=True)).read_bytes() == DATA


async def test_three_hundred_folders_deep_is_no_problem(threads: FileExecutor, dest: Path) -> None:
    await small(threads, dest, "/".join(["d"] * 300) + "/f")
    assert len(tree(dest)) == 301


async def test_five_hundred_small_files_from_many_tasks(threads: FileExecutor, dest: Path) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(500):
            tasks.start_soon(small, threads, dest, f"d{number % 7}/f{number}", b"%d" % number)
    assert len(tree(dest)) == 507
    assert all((dest / f"d{n % 7}" / f"f{n}").read_bytes() == b"%d" % n for n in range(500))


async def test_leaving_without_commit_leaves_nothing(threads: FileExecutor, dest: Path) -> None:
    async with open_writer(
        threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=True)
    ) as out:
        await out.write(DATA)
    assert tree(dest) == set()


async def test_an_error_in_the_body_passes_and_leaves_the_old_file(threads: FileExecutor, dest: Path) -> None:
    (dest / "f").write_bytes(b"old")
    with pytest.raises(KeyError, match="mine"):
        async with open_writer(
            threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=True)
        ) as out:
            await out.write(DATA)
            raise KeyError("mine")
    assert (tree(dest), (dest / "f").read_bytes()) == ({"f"}, b"old")


async def test_a_second_commit_and_a_write_after_it_are_misuse(threads: FileExecutor, dest: Path) -> None:
    async with open_writer(
        threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=False)
    ) as out:
        await out.commit()
        for misuse in (out.commit(), out.write(b"more"), out.check_space(1)):
            with pytest.raises(ValueError, match="already"):
                await misuse
    assert (dest / "f").read_bytes() == b""


# Sabotage: 0o666 in _create, or drop the fchmod.
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
async def test_a_file_is_private_while_temporary_and_ordinary_after(dest: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        async with FileExecutor(size=1) as threads:
            async with open_writer(
                threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=False)
            ) as out:
                (temp,) = dest.iterdir()
                assert temp.name.startswith(".emasync-")
                assert temp.name.endswith(".part")
                assert stat.S_IMODE(temp.stat().st_mode) == 0o600
                await out.commit()
    finally:
        os.umask(before)
    assert stat.S_IMODE((dest / "f").stat().st_mode) == 0o666 & ~umask


async def test_the_umask_is_learnt_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = FileExecutor(size=1).new_file_mode
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "Name: python\n")
    assert FileExecutor(size=1).new_file_mode == usual


@both_ways
async def test_replace_replaces(threads: FileExecutor, dest: Path, way: Way) -> None:
    (dest / "f").write_bytes(b"old")
    await way(threads, dest, "f", overwrite="replace")
    assert (tree(dest), (dest / "f").read_bytes()) == ({"f"}, DATA)


@both_ways
@pytest.mark.parametrize("overwrite", ["error", "skip"])
async def test_a_file_that_is_there_is_kept_unless_replacing(
    threads: FileExecutor, dest: Path, way: Way, overwrite: Overwrite
) -> None:
    (dest / "f").write_bytes(b"old")
    with pytest.raises(FileExistsError) as caught:
        await way(threads, dest, "f", overwrite=overwrite)
    assert caught.value.filename == str(dest / "f")
    assert (tree(dest), (dest / "f").read_bytes()) == ({"f"}, b"old")


# Sabotage: os.rename for every mode in _move.
@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("overwrite", ["error", "skip"])
async def test_a_file_that_appears_meanwhile_is_not_replaced(
    threads: FileExecutor, dest: Path, overwrite: Overwrite, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", without_links)
    async with open_writer(
        threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite=overwrite, durable=False)
    ) as out:
        await out.write(DATA)
        (dest / "f").write_bytes(b"theirs")
        with pytest.raises(FileExistsError) as caught:
            await out.commit()
        assert caught.value.filename == str(dest / "f")
    assert (tree(dest), (dest / "f").read_bytes()) == ({"f"}, b"theirs")


def without_links(*_: object, **__: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@both_ways
async def test_a_file_system_without_hard_links_will_do(
    threads: FileExecutor, dest: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", without_links)
    await way(threads, dest, "f", overwrite="error")
    assert (tree(dest), (dest / "f").read_bytes()) == ({"f"}, DATA)


@both_ways
async def test_a_folder_at_the_final_name_is_an_error_before_anything_is_written(
    threads: FileExecutor, dest: Path, way: Way
) -> None:
    (dest / "f").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        await way(threads, dest, "f")
    assert caught.value.filename == str(dest / "f")
    assert tree(dest) == {"f/"}


async def test_a_folder_that_appears_at_the_final_name_is_an_error(threads: FileExecutor, dest: Path) -> None:
    async with open_writer(
        threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=False)
    ) as out:
        (dest / "f").mkdir()
        with pytest.raises(IsADirectoryError):
            await out.commit()
    assert tree(dest) == {"f/"}


@both_ways
async def test_a_file_in_the_way_of_a_folder_is_named(threads: FileExecutor, dest: Path, way: Way) -> None:
    (dest / "results").write_bytes(b"old")
    with pytest.raises(NotADirectoryError) as caught:
        await way(threads, dest)
    assert caught.value.filename == str(dest / "results")
    assert tree(dest) == {"results"}


async def test_exists_sees_files_folders_and_broken_links(threads: FileExecutor, dest: Path) -> None:
    (dest / "f").write_bytes(b"")
    (dest / "link").symlink_to("nowhere")
    assert [await exists(threads, dest, RemotePath(name)) for name in ("f", "link", "g")] == [True, True, False]
    with pytest.raises(UnsafePathError):
        await exists(threads, dest, RemotePath("../outside/canary"))
