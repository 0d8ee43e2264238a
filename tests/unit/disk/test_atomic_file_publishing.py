"""What holds from the first byte of a temporary file to its final name, and when it is closed twice or too late."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emasync.disk.atomic_file import AtomicFile, WriteTarget, sweep
from emasync.errors import UnsafePathError
from emasync.model import Overwrite, RemotePath
from tests.unit.disk.conftest import open_files, tree

NAME = ".emasync-test.part"


def made(root: Path, *, overwrite: Overwrite = "replace", durable: bool = False, mode: int = 0o644) -> AtomicFile:
    target = WriteTarget(root=root, path=RemotePath("f"), overwrite=overwrite, durable=durable)
    return AtomicFile(target, mode=mode, new_name=lambda: NAME)


def before(monkeypatch: pytest.MonkeyPatch, name: str, look: Callable[[], object]) -> None:
    """`look` just before every call of a system function."""
    call = getattr(os, name)

    def run(*args: Any, **kwargs: Any) -> Any:
        look()
        return call(*args, **kwargs)

    monkeypatch.setattr(os, name, run)


def done_with(dest: Path, *, published: bool) -> AtomicFile:
    """A file that is discarded, after it was published or instead."""
    file = made(dest)
    if published:
        file.publish()
    file.discard()
    return file


def fails(number: int) -> Callable[..., None]:
    def run(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return run


# Sabotage: leave "wb" out of AtomicFile.__init__.
def test_a_temporary_file_says_that_it_is_for_writing_only(dest: Path) -> None:
    file = made(dest)
    assert (file.mode, file.writable(), file.readable()) == ("wb", True, False)
    file.discard()


# Sabotage: `done < len(view)` becomes `done <= len(view)`, or `done` is counted down: endless empty writes.
def test_a_write_ends_with_its_last_byte(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[bytes] = []
    write = os.write

    def noted(fd: int, data: memoryview) -> int:
        pieces.append(bytes(data))
        assert len(pieces) < 5, "the disk is asked again and again"
        return write(fd, data[:4])

    file = made(dest)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", noted)
        assert file.write(b"0123456789") == 10
        assert file.write(b"") == 0
    assert pieces == [b"0123456789", b"456789", b"89"]
    assert file.size == 10
    assert file.publish().read_bytes() == b"0123456789"
    file.discard()


# Sabotage: drop the cast in AtomicFile.write: after a short write its end is counted in items, not in bytes.
def test_wide_items_are_written_byte_for_byte(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, write = memoryview(bytes(range(240))).cast("I"), os.write
    file = made(dest)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:100]))
        assert (file.write(numbers), file.size) == (240, 240)
    assert file.publish().read_bytes() == bytes(range(240))
    file.discard()


# Sabotage: `size >= free`, or blocks divided by their size, or f_bfree (with what only root may use) in check_space.
def test_the_last_free_byte_may_be_used_and_not_one_more(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = SimpleNamespace(f_bavail=3, f_bfree=9, f_bsize=1 << 20, f_frsize=4096, f_blocks=100)
    file = made(dest)
    monkeypatch.setattr(os, "fstatvfs", lambda _: room)
    file.check_space(3 * 4096)
    with pytest.raises(OSError, match="not enough space") as told:
        file.check_space(3 * 4096 + 1)
    assert told.value.args == (errno.ENOSPC, "not enough space: the file has 12289 bytes, 12288 are free")
    assert told.value.filename == str(dest / "f")
    file.discard()


# Sabotage: drop `room.f_blocks and` in check_space.
def test_a_file_system_that_counts_no_blocks_has_no_limit(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(dest)
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_bavail=0, f_frsize=4096, f_blocks=0))
    file.check_space(1 << 62)
    file.discard()


# Sabotage: no condition on `durable` in AtomicFile.publish.
@pytest.mark.parametrize(("durable", "flushed"), [(True, ["file", "folder"]), (False, [])])
def test_the_file_and_then_its_directory_are_flushed_if_it_is_durable(
    dest: Path, durable: bool, flushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    file = made(dest, durable=durable)
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"))
    file.publish()
    file.discard()
    assert seen == flushed


# Sabotage: super().close() behind _move in publish: a late write error would come when the file has its name.
@pytest.mark.parametrize(("overwrite", "step"), [("replace", "rename"), ("error", "link")])
def test_a_file_has_its_mode_and_is_closed_before_it_gets_its_name(
    dest: Path, overwrite: Overwrite, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int]] = []
    file = made(dest, overwrite=overwrite, mode=0o640)
    before(monkeypatch, step, lambda: seen.append((file.closed, stat.S_IMODE((dest / NAME).stat().st_mode))))
    file.publish()
    assert seen == [(True, 0o640)]
    file.discard()
    assert not any(NAME in place for place in open_files())


# Sabotage: close the file without a second descriptor that keeps its lock: another run's sweep takes it for dead.
@pytest.mark.parametrize(("overwrite", "step"), [("replace", "rename"), ("error", "link")])
def test_a_file_is_nobodys_to_sweep_until_it_has_its_name(
    dest: Path, overwrite: Overwrite, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[int] = []
    file = made(dest, overwrite=overwrite)
    os.utime(dest / NAME, (1, 1))
    before(monkeypatch, step, lambda: swept.append(sweep(dest, [""])))
    assert file.publish() == dest / "f"
    assert swept == [0]
    file.discard()


# Sabotage: no _check_writes_complete in write: what is written again after a full disk has its beginning twice.
def test_after_a_failed_write_nothing_more_is_taken(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(dest)
    write = os.write
    monkeypatch.setattr(os, "write", fails(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        file.write(b"0123456789")
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(ValueError, match="only be discarded"):
        file.write(b"0123456789")
    file.discard()
    assert not tree(dest)


# Sabotage: the unlink of the temporary name inside the `try` of the link: an error says that the file is not there.
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOENT])
def test_a_file_that_has_its_name_is_published_whatever_becomes_of_the_other(
    dest: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = made(dest, overwrite="error")
    file.write(b"whole")
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fails(number))
        assert file.publish() == dest / "f"
        file.discard()
    assert (dest / "f").read_bytes() == b"whole"


# Sabotage: `error.filename2 = None` in _with_final_path.
def test_an_error_names_the_file_and_nothing_else(dest: Path) -> None:
    (dest / "f").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        made(dest)
    assert str(caught.value) == f"[Errno {errno.EISDIR}] a folder is in the way of the file: {str(dest / 'f')!r}"


# Sabotage: no _with_final_path in discard.
def test_a_temporary_file_that_cannot_be_removed_is_named(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(dest)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fails(errno.EPERM))
        with pytest.raises(PermissionError) as caught:
            file.discard()
    assert caught.value.filename == str(dest / "f")


# Sabotage: follow_symlinks on in the os.link of _move: the file of the canary gets a second name.
def test_a_link_planted_at_the_last_moment_is_not_followed(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = dest.parent / "outside" / "canary"

    def plant() -> None:
        (dest / NAME).unlink()
        (dest / NAME).symlink_to(canary)

    file = made(dest, overwrite="error")
    before(monkeypatch, "link", plant)
    file.publish()
    file.discard()
    assert canary.stat().st_nlink == 1
    assert not (dest / NAME).is_symlink()


# Sabotage: `_published` stays false in _move: discard removes what it did not make.
@pytest.mark.parametrize("overwrite", ["replace", "error"])
def test_what_comes_to_the_temporary_name_after_publishing_is_kept(dest: Path, overwrite: Overwrite) -> None:
    file = made(dest, overwrite=overwrite)
    file.publish()
    assert tree(dest) == {"f"}
    (dest / NAME).write_bytes(b"theirs")
    file.discard()
    assert (dest / NAME).read_bytes() == b"theirs"


# Sabotage: `_folder` is not None after discard: the second one closes a descriptor that is somebody else's by then.
@pytest.mark.parametrize("published", [True, False])
def test_discarding_again_touches_nothing(dest: Path, published: bool) -> None:
    file = done_with(dest, published=published)
    (dest / NAME).write_bytes(b"theirs")
    after = [os.open(dest, os.O_RDONLY) for _ in range(2)]  # the numbers that discard has just set free
    file.discard()
    assert (dest / NAME).read_bytes() == b"theirs"
    for descriptor in after:
        os.close(descriptor)  # still ours: EBADF otherwise


# Sabotage: let FileNotFoundError pass in discard.
def test_a_temporary_file_that_somebody_tidied_up_is_discarded_in_peace(dest: Path) -> None:
    file = made(dest)
    (dest / NAME).unlink()
    file.discard()
    assert tree(dest) == set()


# Sabotage: drop _check_open from any of the three.
@pytest.mark.parametrize("published", [True, False])
def test_a_file_that_is_done_with_says_so(dest: Path, published: bool) -> None:
    file = done_with(dest, published=published)
    for misuse in (lambda: file.write(b"late"), lambda: file.check_space(1), file.publish):
        with pytest.raises(ValueError, match=r"^this file is already published or discarded$"):
            misuse()
    assert tree(dest) == ({"f"} if published else set())


# Sabotage: drop the _writes_complete check in publish.
def test_a_file_with_a_failed_write_says_what_is_left_to_do(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(dest)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fails(errno.EIO))
        with pytest.raises(OSError, match="Input/output") as told:
            file.write(b"bytes")
    assert told.value.filename == str(dest / "f")
    with pytest.raises(ValueError, match=r"^a write has failed: this file can only be discarded$"):
        file.publish()
    file.discard()
    assert tree(dest) == set()


# Sabotage: leave one of the four numbers out of _move.
@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_every_way_to_say_no_hard_links_is_understood(dest: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", fails(number))
    file = made(dest, overwrite="error")
    file.write(b"bytes")
    assert file.publish().read_bytes() == b"bytes"
    file.discard()
    assert tree(dest) == {"f"}


# Sabotage: fall back to a rename whatever os.link says, or drop _with_final_path from publish.
@pytest.mark.parametrize(("overwrite", "step"), [("replace", "rename"), ("error", "link")])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_refuses_the_name_is_an_error_that_tells_the_place(
    dest: Path, overwrite: Overwrite, step: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = made(dest, overwrite=overwrite)
    with monkeypatch.context() as patched:
        patched.setattr(os, step, fails(number))
        with pytest.raises(OSError, match=os.strerror(number)) as told:
            file.publish()
    assert (told.value.errno, told.value.filename, told.value.filename2) == (number, str(dest / "f"), None)
    file.discard()
    assert tree(dest) == set()


# Sabotage: leave out the os.close in AtomicFile.__init__.
def test_a_name_that_cannot_be_made_leaves_nothing_open(dest: Path) -> None:
    def broken() -> str:
        raise RuntimeError("no names left")

    held = open_files()
    target = WriteTarget(root=dest, path=RemotePath("f"), overwrite="replace", durable=False)
    with pytest.raises(RuntimeError, match="no names left"):
        AtomicFile(target, mode=0o644, new_name=broken)
    assert (open_files(), tree(dest)) == (held, set())


# Sabotage: unlink by path instead of by dir_fd in discard.
def test_a_folder_that_was_moved_away_is_tidied_up_where_it_is_now(dest: Path) -> None:
    target = WriteTarget(root=dest, path=RemotePath("sub/f"), overwrite="replace", durable=False)
    file = AtomicFile(target, mode=0o644, new_name=lambda: NAME)
    (dest / "sub").rename(dest / "moved")
    (dest / "sub").mkdir()
    (dest / "sub" / NAME).write_bytes(b"theirs")
    with pytest.raises(UnsafePathError, match="a folder on the way was moved or replaced"):
        file.publish()
    file.discard()
    assert tree(dest) == {"moved/", "sub/", f"sub/{NAME}"}


# Sabotage: `return False` for every OSError in `resolves_to`: the folder is said to have been moved.
def test_a_folder_that_cannot_be_opened_again_for_want_of_files_was_not_swapped(
    dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = made(dest)
    monkeypatch.setattr("emasync.disk.directory.find_directory", fails(errno.EMFILE))
    with pytest.raises(OSError, match="Too many open files"):
        file.publish()
    file.discard()
    assert not (dest / NAME).exists()
