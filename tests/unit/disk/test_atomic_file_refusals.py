"""What a temporary file refuses, word by word: errors carry the number, the text and the path that a user acts on."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from pathlib import Path

import pytest

from emasync.disk import atomic_file
from emasync.disk.atomic_file import AtomicFile, WriteTarget
from emasync.errors import UnsafePathError
from emasync.model import Overwrite, RemotePath

# Sabotages: every number, text and argument of the errors in atomic_file.py, one by one.

NAME = ".emasync-test.part"
TAKEN = "the file exists, and overwriting it was not asked for"


def made(root: Path, *, overwrite: Overwrite = "replace", name: str = "f") -> AtomicFile:
    target = WriteTarget(root=root, path=RemotePath(name), overwrite=overwrite, durable=False)
    return AtomicFile(target, mode=0o644, new_name=lambda: NAME)


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(IsADirectoryError) as told:
        made(tmp_path)
    assert told.value.args == (errno.EISDIR, "a folder is in the way of the file")
    assert told.value.filename == str(tmp_path / "f")


def test_a_link_to_a_folder_is_replaced_like_any_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "f").symlink_to("folder")
    file = made(tmp_path)
    file.write(b"bytes")
    file.publish()
    file.discard()
    assert (tmp_path / "f").read_bytes() == b"bytes"
    assert not (tmp_path / "f").is_symlink()


def test_a_taken_name_is_refused_at_once_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(FileExistsError) as told:
        made(tmp_path, overwrite="error")
    assert told.value.args == (errno.EEXIST, TAKEN)
    assert told.value.filename == str(tmp_path / "f")


def test_a_link_that_leads_nowhere_is_a_taken_name(tmp_path: Path) -> None:
    (tmp_path / "f").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        made(tmp_path, overwrite="error")


def test_a_planted_temporary_name_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"planted")
    with pytest.raises(UnsafePathError) as told:
        made(tmp_path)
    what = "is taken by something that emasync did not make"
    assert str(told.value) == f"the temporary name {NAME} {what}"
    assert (told.value.name, told.value.reason) == (NAME, what)
    assert (tmp_path / NAME).read_bytes() == b"planted"


def test_a_temporary_file_is_locked_for_as_long_as_its_process_lives(tmp_path: Path) -> None:
    file = made(tmp_path)
    other = os.open(tmp_path / NAME, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    file.discard()


def test_a_file_system_without_locks_still_takes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr("emasync.disk.atomic_file.fcntl.flock", no_locks)
    file = made(tmp_path)
    file.publish()
    file.discard()
    assert (tmp_path / "f").exists()


@pytest.mark.parametrize("trick", ["removed", "replaced", "moved away behind a link"])
def test_a_temporary_file_that_was_swapped_is_not_put_in_place(tmp_path: Path, trick: str) -> None:
    file = made(tmp_path)
    if trick == "moved away behind a link":
        (tmp_path / NAME).rename(tmp_path / "elsewhere")
        (tmp_path / NAME).symlink_to("elsewhere")
    else:
        (tmp_path / NAME).unlink()
        if trick == "replaced":
            (tmp_path / NAME).write_bytes(b"theirs")
    with pytest.raises(UnsafePathError) as told:
        file.publish()
    what = "the temporary file was removed or replaced"
    assert str(told.value) == f"cannot save {tmp_path / 'f'}: {what} meanwhile"
    assert (told.value.name, told.value.reason) == (NAME, what)
    file.discard()
    assert not os.path.lexists(tmp_path / "f")


def test_a_folder_that_was_moved_is_told_from_a_file_that_was(tmp_path: Path) -> None:
    root = tmp_path / "root"
    target = WriteTarget(root=root, path=RemotePath("sub/f"), overwrite="replace", durable=False)
    file = AtomicFile(target, mode=0o644, new_name=lambda: NAME)
    (root / "sub").rename(root / "moved")
    with pytest.raises(UnsafePathError) as told:
        file.publish()
    assert told.value.reason == "a folder on the way was moved or replaced"
    file.discard()
    assert list((root / "moved").iterdir()) == []


def no_links(*args: object, **more: object) -> None:
    raise OSError(errno.EPERM, "no hard links here")


def test_without_hard_links_a_file_is_put_in_place_and_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", no_links)
    first, late = made(tmp_path, overwrite="error"), tmp_path / "f"
    first.write(b"first")
    first.publish()
    first.discard()
    assert late.read_bytes() == b"first"

    late.unlink()
    second = made(tmp_path, overwrite="error")
    late.write_bytes(b"somebody else's")
    with pytest.raises(FileExistsError) as told:
        second.publish()
    second.discard()
    assert told.value.args == (errno.EEXIST, TAKEN)
    assert late.read_bytes() == b"somebody else's"
    assert not (tmp_path / NAME).exists()


def test_another_refusal_of_the_disk_is_told_with_its_number(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(FileNotFoundError) as told:
        atomic_file._rename_noreplace(folder, "gone", "f")
    os.close(folder)
    assert told.value.errno == errno.ENOENT
    assert told.value.strerror == (
        f"cannot rename without replacing an existing file ({os.strerror(errno.ENOENT)}); overwrite='replace' works"
    )


def test_a_system_that_cannot_rename_without_replacing_says_what_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **more: object())
    with pytest.raises(OSError, match="overwrite='replace' works") as told:
        atomic_file._rename_noreplace(0, "a", "b")
    assert told.value.errno == errno.ENOTSUP
