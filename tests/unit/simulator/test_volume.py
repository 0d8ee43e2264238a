from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emasync.simulator.volume import IllegalPathError, StagedFile, VolumeDirectory
from emasync.wire.content_tag import content_tag


@pytest.fixture
def volume(tmp_path: Path) -> VolumeDirectory:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("s")
    return VolumeDirectory(tmp_path / "volume")


def test_a_listing_has_the_shape_of_the_documents(volume: VolumeDirectory) -> None:
    (volume.root / "echo-test").mkdir()
    (volume.root / "echo-test" / "a").write_bytes(b"x" * 121)
    (volume.root / "echo-test" / "b").write_bytes(b"y" * 362)
    os.utime(volume.root / "echo-test" / "a", (1763641860, 1763641860))
    (folder,) = volume.listing(now=0.0)
    assert (folder["type"], folder["name"], folder["size"]) == ("directory", "echo-test", "487")
    first = folder["contents"][0]
    assert first == {
        "type": "file",
        "name": "a",
        "size": "121",
        "time": "2025-11-20-12-31",
        "hash": content_tag(b"x" * 121),
    }


def test_a_file_rewritten_within_one_tick_has_a_new_hash(volume: VolumeDirectory) -> None:
    file = volume.root / "a"
    file.write_bytes(b"one")
    about = file.stat()  # what a second write of the same size within the same tick leaves unchanged
    first = volume._digest(str(file), about, "md5")
    file.write_bytes(b"two")
    # Sabotage: remember digests however fresh the file is (_RACY_S = -1).
    assert volume._digest(str(file), about, "md5") != first


def test_an_old_file_is_hashed_once(volume: VolumeDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    (volume.root / "a").write_bytes(b"abc")
    os.utime(volume.root / "a", (1000, 1000))
    first = volume.listing(now=0.0)
    monkeypatch.setattr("hashlib.new", None)
    with pytest.raises(TypeError):
        volume.digest(volume.root / "a", "sha256")  # nothing remembered for this algorithm
    (volume.root / "b").mkdir()
    assert volume.listing(now=0.0)[0] == first[0]


@pytest.mark.parametrize(
    "path", ["../outside/secret", "a/../../outside", "link/secret", "link", "a\0b", "loop", "x" * 5000]
)
def test_nothing_outside_is_reached(volume: VolumeDirectory, path: str) -> None:
    (volume.root / "link").symlink_to(volume.root.parent / "outside")
    (volume.root / "loop").symlink_to("loop")
    try:
        found = volume.resolve(path)
    except IllegalPathError:
        return
    assert found.is_relative_to(volume.root)  # a loop may also resolve to itself, which is no file


@pytest.mark.parametrize("path", ["", "/", ".", "./", "a/b", "/a/b", "./a//b"])
def test_a_leading_slash_is_the_root_of_the_volume(volume: VolumeDirectory, path: str) -> None:
    assert volume.resolve(path) in (volume.root, volume.root / "a" / "b")


def test_a_listing_shows_no_link_that_leads_outside(volume: VolumeDirectory) -> None:
    (volume.root / "folder").symlink_to(volume.root.parent / "outside")
    (volume.root / "file").symlink_to(volume.root.parent / "outside" / "secret")
    (volume.root / "real").write_text("r")
    (volume.root / "inner").symlink_to("real")
    os.mkfifo(volume.root / "pipe")
    assert [entry["name"] for entry in volume.listing(now=0.0)] == ["inner", "real"]


@pytest.mark.parametrize("path", ["", "/", ".", "./.", "..", "a/..", "../outside", "link/secret"])
def test_what_may_not_be_deleted_is_refused(volume: VolumeDirectory, path: str) -> None:
    (volume.root / "a").mkdir()
    (volume.root / "link").symlink_to(volume.root.parent / "outside")
    with pytest.raises(IllegalPathError):
        volume.delete(path)
    assert (volume.root.parent / "outside" / "secret").exists()


def test_files_folders_and_links_can_be_deleted(volume: VolumeDirectory) -> None:
    (volume.root / "folder" / "sub").mkdir(parents=True)
    (volume.root / "file").touch()
    (volume.root / "link").symlink_to(volume.root.parent / "outside")
    for path in ("folder/", "./file", "/link"):
        volume.delete(path)
    assert list(volume.root.iterdir()) == []
    assert (volume.root.parent / "outside" / "secret").exists()
    with pytest.raises(FileNotFoundError):
        volume.delete("file")


def test_taken_files_replace_and_show_when_their_time_has_come(volume: VolumeDirectory, tmp_path: Path) -> None:
    (volume.root / "a").write_bytes(b"old")
    (tmp_path / "1").write_bytes(b"new")
    (tmp_path / "2").write_bytes(b"other")
    incoming = [StagedFile(name="a", staged=tmp_path / "1")]
    volume.store("", incoming, visible_at=10.0)
    volume.store("x/y", [StagedFile(name="b", staged=tmp_path / "2")], visible_at=0.0)
    assert (volume.root / "a").read_bytes() == b"new"
    assert [entry["name"] for entry in volume.listing(now=9.9)] == ["x"]
    assert [entry["name"] for entry in volume.listing(now=10.0)] == ["a", "x"]


def test_files_are_not_taken_outside(volume: VolumeDirectory, tmp_path: Path) -> None:
    (tmp_path / "1").touch()
    (volume.root / "link").symlink_to(tmp_path / "outside")
    for dest in ("../outside", "link"):
        with pytest.raises(IllegalPathError):
            volume.store(dest, [StagedFile(name="x", staged=tmp_path / "1")], visible_at=0.0)
    assert [item.name for item in (tmp_path / "outside").iterdir()] == ["secret"]


def test_an_uplink_while_the_volume_is_listed_breaks_neither(volume: VolumeDirectory, tmp_path: Path) -> None:
    # Sabotage: leave the lock out of VolumeDirectory.listing: "dictionary changed size during iteration", and a 500.
    for name in ("old", "new"):
        (tmp_path / name).write_bytes(b"x")
    uplink = threading.Thread(
        target=volume.store, args=("", [StagedFile(name="new", staged=tmp_path / "new")]), kwargs={"visible_at": 9.0}
    )

    class Shared(dict[Path, float]):
        def items(self) -> Any:
            return self._walk()

        def _walk(self) -> Iterator[tuple[Path, float]]:
            for item in super().items():
                uplink.start()
                uplink.join(0.1)  # it waits for the listing
                yield item

    volume._visible_at = Shared()
    volume.store("", [StagedFile(name="old", staged=tmp_path / "old")], visible_at=1.0)
    assert [entry["name"] for entry in volume.listing(now=5.0)] in ([], ["old"])
    uplink.join()
    assert [entry["name"] for entry in volume.listing(now=5.0)] == ["old"]
    assert [entry["name"] for entry in volume.listing(now=9.0)] == ["new", "old"]
