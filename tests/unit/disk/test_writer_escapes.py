from __future__ import annotations

from pathlib import Path

import pytest

from emasync.disk import FileExecutor, WriteTarget, open_writer
from emasync.errors import UnsafePathError
from emasync.model import RemotePath
from tests.unit.disk.conftest import DATA, PATH, Way, both_ways, save, small, tree


@both_ways
@pytest.mark.parametrize("path", ["../outside/canary", "a/../../outside/canary", "a\\b", "NUL", "a\0b"])
async def test_a_refused_name_touches_nothing(threads: FileExecutor, dest: Path, way: Way, path: str) -> None:
    with pytest.raises(UnsafePathError):
        await way(threads, dest, path)
    assert tree(dest) == set()


async def test_the_destination_itself_may_be_a_link(threads: FileExecutor, dest: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(dest)
    await small(threads, tmp_path / "link", "a/f")
    assert (dest / "a" / "f").read_bytes() == DATA


# Sabotage: drop O_NOFOLLOW in _enter.
@both_ways
@pytest.mark.parametrize("planted", ["results", "results/run"])
async def test_a_link_among_the_folders_is_not_followed(
    threads: FileExecutor, dest: Path, way: Way, planted: str
) -> None:
    (dest / planted).parent.mkdir(exist_ok=True)
    (dest / planted).symlink_to(dest.parent / "outside")
    with pytest.raises(UnsafePathError, match="symbolic link"):
        await way(threads, dest)


@both_ways
@pytest.mark.parametrize("target", ["canary", "not-there"])
async def test_a_link_at_the_final_name_is_replaced_not_followed(
    threads: FileExecutor, dest: Path, way: Way, target: str
) -> None:
    (dest / "f").symlink_to(dest.parent / "outside" / target)
    await way(threads, dest, "f")
    assert not (dest / "f").is_symlink()
    assert (dest / "f").read_bytes() == DATA


@both_ways
async def test_a_link_at_the_final_name_counts_as_a_file_that_is_there(
    threads: FileExecutor, dest: Path, way: Way
) -> None:
    (dest / "f").symlink_to(dest.parent / "outside" / "not-there")
    with pytest.raises(FileExistsError):
        await way(threads, dest, "f", overwrite="error")


# Sabotage: drop O_EXCL and O_NOFOLLOW in _create.
async def test_a_link_planted_at_the_temporary_name_is_not_followed(
    threads: FileExecutor, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emasync.disk.atomic_file.secrets.token_hex", lambda _: "guessed")
    (dest / ".emasync-guessed.part").symlink_to(dest.parent / "outside" / "canary")
    with pytest.raises(UnsafePathError, match="temporary name"):
        await save(threads, dest, "f")
    assert tree(dest) == {".emasync-guessed.part"}


def test_temporary_names_are_never_used_twice() -> None:
    from emasync.disk.atomic_file import temporary_name

    assert len({temporary_name() for _ in range(1000)}) == 1000


# Sabotage: return at the top of _check_not_swapped.
async def test_a_temporary_file_swapped_for_a_link_is_not_put_in_place(threads: FileExecutor, dest: Path) -> None:
    with pytest.raises(UnsafePathError, match="removed or replaced"):
        async with open_writer(
            threads, WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=False)
        ) as out:
            await out.write(DATA)
            (temp,) = dest.iterdir()
            temp.unlink()
            temp.symlink_to(dest.parent / "outside" / "canary")
            await out.commit()
    assert tree(dest) == set()


# Sabotage: open the temporary file by its whole path instead of by dir_fd: the canary's folder gets a file.
@pytest.mark.parametrize("swapped", ["results", "results/run"])
async def test_a_folder_swapped_for_a_link_during_a_save_cannot_redirect_it(
    threads: FileExecutor, dest: Path, swapped: str
) -> None:
    with pytest.raises(UnsafePathError, match="moved or replaced"):
        async with open_writer(threads, WriteTarget(root=dest, path=PATH, overwrite="replace", durable=False)) as out:
            await out.write(DATA)
            (dest / swapped).rename(dest / "moved")
            (dest / swapped).symlink_to(dest.parent / "outside")
            await out.write(DATA)
            await out.commit()
    assert not [name for name in tree(dest) if "emasync" in name or "out.bin" in name]
