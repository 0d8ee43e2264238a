"""The files of a scan, packed: equal to a tuple of them, and to the items of a plan that are made of them."""

from __future__ import annotations

from emasync.disk.fingerprint import Fingerprint
from emasync.model import RemotePath
from emasync.transfer.planning.found_files import FoundFiles, FoundItems
from emasync.transfer.planning.plan import Hashes, LocalFile, UplinkItem


def found(before: str, relative: str, size: int) -> LocalFile:
    fingerprint = Fingerprint(size=size, mtime_ns=-5, ctime_ns=7, inode=2**64 - 1, device=3)
    return LocalFile(directory=before, relative=RemotePath(relative), fingerprint=fingerprint)


FOUND = (found("src/", "a", 1), found("src/d/", "d/é", 2**40), found("", "b", 0), found("other/", "a", 9))


def test_packed_files_are_these_files() -> None:
    # Sabotage: key a folder by its remote path alone: the last file is looked for in `src`.
    packed = FoundFiles(FOUND)
    assert packed == FOUND
    assert [packed[position] for position in range(4)] == list(FOUND)
    assert packed[-1].local_path == "other/a"
    assert packed.folders == {"", "d"}


def test_some_of_them_are_chosen_by_file_and_by_path() -> None:
    packed = FoundFiles(FOUND)
    assert packed.where(lambda one: one.fingerprint.size > 5) == (FOUND[1], FOUND[3])
    assert packed.where(lambda one: one.fingerprint.size > 5).within({"a", "b"}) == (FOUND[3],)


def test_items_have_their_place_on_the_em() -> None:
    # Sabotage: `chosen` takes positions of the scan for those of the items.
    items = FoundItems(FoundFiles(FOUND), dest=RemotePath("run-1")).chosen([1, 3]).chosen([0])
    one = FOUND[1]
    assert items == (UplinkItem(directory=one.directory, remote=RemotePath("run-1/d/é"), fingerprint=one.fingerprint),)
    assert (items.remote(0), items.size(0)) == ("run-1/d/é", 2**40)


def test_of_very_many_texts_only_the_doubtful_are_compared() -> None:
    # Sabotage: leave out `others`, or compare each with the first only.
    hashes = Hashes()
    assert list(hashes.passing(["a", "b", "c", "b", "d"])) == ["a", "b", "c", "b", "d"]
    assert list(hashes.suspects()) == [1, 3]
    assert list(hashes.suspects(["d"])) == [1, 3, 4]
