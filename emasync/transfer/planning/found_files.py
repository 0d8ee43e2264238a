"""`FoundFiles`: the local files of a scan, in about 60 bytes and the name of each.

Packs what a scan found. Pure: no I/O. Must not import scan or http.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

from emasync.disk.fingerprint import Fingerprint
from emasync.model import LazySequence, RemotePath
from emasync.transfer.planning.plan import LocalFile, UplinkItem


class FoundLog:
    """Found files as a scan meets them; append only. A folder's texts are kept once for all of its files."""

    __slots__ = ("_ends", "_folder_of", "_names", "_numbers", "_prints", "directories", "folders")

    def __init__(self) -> None:
        self.directories: list[str] = []  # of each folder: the text of its local path, see `prefix`
        self.folders: list[str] = []  # of each folder: where it lies below the destination
        self._numbers: dict[tuple[str, str], int] = {}
        self._folder_of = array("I")
        self._names = bytearray()
        self._ends = array("Q")
        self._prints = bytearray()

    def append(self, directory: str, relative: RemotePath, fingerprint: Fingerprint) -> None:
        """One more file."""
        folder, _, name = relative.rpartition("/")
        if (number := self._numbers.get((directory, folder))) is None:
            number = self._numbers[directory, folder] = len(self.directories)
            self.directories.append(directory)
            self.folders.append(folder)
        self._folder_of.append(number)
        self._names += name.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._names))
        self._prints += fingerprint

    def __len__(self) -> int:
        return len(self._ends)

    def name(self, position: int) -> str:
        """The name of the file at `position`."""
        begin = self._ends[position - 1] if position else 0
        return self._names[begin : self._ends[position]].decode("utf-8", "surrogatepass")

    def folder_number(self, position: int) -> int:
        """The number of its folder."""
        return self._folder_of[position]

    def relative(self, position: int) -> str:
        """Where it is to land below the destination."""
        folder, name = self.folders[self._folder_of[position]], self.name(position)
        return f"{folder}/{name}" if folder else name

    def directory(self, position: int) -> str:
        """The text of its local path up to the name."""
        return self.directories[self._folder_of[position]]

    def fingerprint(self, position: int) -> Fingerprint:
        """Its fingerprint, which shows whether it was changed."""
        begin = position * Fingerprint.WIDTH
        return Fingerprint.packed(bytes(self._prints[begin : begin + Fingerprint.WIDTH]))

    def size(self, position: int) -> int:
        """Its bytes."""
        return Fingerprint.size_in(self._prints, position * Fingerprint.WIDTH)


class FoundFiles(LazySequence[LocalFile]):
    """A tuple of `LocalFile` in all but memory: each is made anew when it is asked for."""

    __slots__ = ("_at", "log")

    def __init__(self, files: Iterable[LocalFile] | FoundLog = (), *, at: Sequence[int] | None = None) -> None:
        if not isinstance(files, FoundLog):
            log = FoundLog()
            for file in files:
                log.append(file.directory, file.relative, file.fingerprint)
            files = log
        self.log: FoundLog = files
        self._at: Sequence[int] = range(len(files)) if at is None else at

    def __len__(self) -> int:
        return len(self._at)

    def _element(self, position: int) -> LocalFile:
        return self._found(self._at[position])

    def _found(self, at: int) -> LocalFile:
        log = self.log
        return LocalFile(
            directory=log.directory(at), relative=RemotePath(log.relative(at)), fingerprint=log.fingerprint(at)
        )

    def __iter__(self) -> Iterator[LocalFile]:
        return map(self._found, self._at)

    @property
    def positions(self) -> Sequence[int]:
        """Where they are in the log."""
        return self._at

    @property
    def folders(self) -> set[str]:
        """The folders that hold them, below the destination."""
        return {self.log.folders[number] for number in {self.log.folder_number(at) for at in self._at}}

    def where(self, wanted: Callable[[LocalFile], bool]) -> FoundFiles:
        """Those of which `wanted` says yes."""
        return FoundFiles(self.log, at=array("I", (at for at in self._at if wanted(self._found(at)))))

    def within(self, relative: Container[str]) -> FoundFiles:
        """Those whose relative path is among these."""
        return FoundFiles(self.log, at=array("I", (at for at in self._at if self.log.relative(at) in relative)))


class FoundItems(LazySequence[UplinkItem]):
    """Found files as items of a plan, in any order: a tuple of `UplinkItem` in all but memory."""

    __slots__ = ("_at", "_log", "_root")

    def __init__(self, found: FoundFiles, *, dest: RemotePath, at: Sequence[int] | None = None) -> None:
        self._log = found.log
        self._root = dest
        self._at = found.positions if at is None else at

    def __len__(self) -> int:
        return len(self._at)

    def _element(self, position: int) -> UplinkItem:
        log, at = self._log, self._at[position]
        return UplinkItem(
            directory=log.directory(at), remote=RemotePath(self.remote(position)), fingerprint=log.fingerprint(at)
        )

    def remote(self, position: int) -> str:
        """The path on the EM of the item at `position`."""
        relative = self._log.relative(self._at[position])
        return f"{self._root}/{relative}" if self._root else relative

    def size(self, position: int) -> int:
        """Bytes of the item at `position`."""
        return self._log.size(self._at[position])

    def chosen(self, positions: Iterable[int]) -> FoundItems:
        """The items at these positions, in that order."""
        chosen = FoundItems.__new__(FoundItems)
        chosen._log, chosen._root = self._log, self._root
        chosen._at = array("I", (self._at[position] for position in positions))
        return chosen
