"""What a transfer will do, as values: printable before, savable, and applied later by the engine.

Items, requests and plans with their sums; local paths as text (`prefix`); paths that cannot exist side by side. Pure:
no I/O, no event loop. Plans are made in `packing` and `selection`, and written as JSON in `plan_file`. Must not import
http or other modules of transfer.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal

from emasync.disk.atomic_file import Unchanged
from emasync.disk.fingerprint import Fingerprint
from emasync.errors import EMError
from emasync.model import FileEntry, FileTable, LazySequence, RemotePath

Order = Literal["largest", "smallest", "listed", "name"]
"""In which order files come down; `largest` keeps the workers evenly busy to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A local file of a scan: `directory` is the text of its path up to the name (see `prefix`), one text for
    all files of a folder; `relative` is where it is to land below the destination, under the same name."""

    directory: str
    relative: RemotePath
    fingerprint: Fingerprint

    @property
    def local_path(self) -> str:
        """Its path as text."""
        return self.directory + self.relative.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkItem:
    """One file to send. `directory` is as in `LocalFile`; `name` its local name, where that is not the remote one's.
    `fingerprint` is what it was when planned: another one when it is read voids the item."""

    directory: str
    remote: RemotePath
    fingerprint: Fingerprint
    name: str | None = None

    @classmethod
    def at(cls, local_path: str, *, remote: RemotePath, fingerprint: Fingerprint) -> UplinkItem:
        """The item for the file at `local_path`."""
        cut = local_path.rfind("/") + 1
        name = local_path[cut:] if local_path[cut:] != remote.name else None
        return cls(directory=local_path[:cut], remote=remote, fingerprint=fingerprint, name=name)

    @property
    def local_path(self) -> str:
        """Its path as text."""
        return self.directory + (self.remote.rpartition("/")[2] if self.name is None else self.name)

    @property
    def local(self) -> Path:
        """`local_path` as a Path."""
        return Path(self.local_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkCall:
    """One request: files of one folder `dest`, largest first. `wire_bytes`: an upper bound of the body's length."""

    dest: RemotePath
    items: Sequence[UplinkItem]
    wire_bytes: int

    @property
    def bytes(self) -> int:
        """Bytes of the files alone."""
        return sum(item.fingerprint.size for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkItem:
    """One file to fetch. `local_path` is relative to the destination and has passed `emasync.disk.safe_paths`; `entry`
    is its entry in the listing, None where no listing was made, or the listing does not say. `unchanged`: the local
    file that a sync saw; a file that is another one by now is kept."""

    remote: RemotePath
    local_path: RemotePath
    entry: FileEntry | None = None
    unchanged: Unchanged | None = None

    @property
    def local(self) -> Path:
        """`local_path` as a Path."""
        return Path(self.local_path)

    @property
    def bytes(self) -> int:
        """Its listed size; 0 where none is known."""
        return (self.entry.size or 0) if self.entry is not None else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedFile:
    """A file (or folder, or source) that will not be moved; `error` says why.

    `remote` is its path on the EM as far as it has one (bytes that are no UTF-8 are shown as ``\\xNN``), `local` the
    file here: as found for an uplink, relative to the destination for a downlink, None where there is none.
    """

    remote: RemotePath
    local: Path | None
    error: EMError


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkPlan:
    """Calls in the order they should start (largest first), what is refused, and `notes` a person should read."""

    calls: tuple[UplinkCall, ...] = ()
    refused: tuple[RejectedFile, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def items(self) -> Sequence[UplinkItem]:
        """The files of all calls, in order."""
        return _ItemsOf(self.calls)

    @property
    def files(self) -> int:
        """How many files will be sent."""
        return sum(len(call.items) for call in self.calls)

    @property
    def bytes(self) -> int:
        """Bytes of all files to send, multipart overhead not counted."""
        return sum(call.bytes for call in self.calls)

    def describe(self) -> str:
        """One line: ``37 files, 9 calls, 12.3 MB, 2 refused``."""
        return _line(self.files, _counted(len(self.calls), "call"), self.bytes, self.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkPlan:
    """Files in the order they should start, what is refused, and `notes` a person should read."""

    items: Sequence[DownlinkItem] = ()
    refused: tuple[RejectedFile, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """How many files will be fetched."""
        return len(self.items)

    @property
    def bytes(self) -> int:
        """Bytes of all files whose size is listed."""
        sizes = self.items.sizes if isinstance(self.items, ListedItems) else (item.bytes for item in self.items)
        return sum(sizes)

    def describe(self) -> str:
        """One line: ``37 files, 37 calls, 12.3 MB``; a downlink call carries one file."""
        return _line(self.files, _counted(self.files, "call"), self.bytes, self.refused)


class _ItemsOf(LazySequence[UplinkItem]):
    """The items of several calls as one sequence."""

    __slots__ = ("_calls", "_ends")

    def __init__(self, calls: Sequence[UplinkCall]) -> None:
        self._calls = calls
        self._ends = list(accumulate(len(call.items) for call in calls))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _element(self, position: int) -> UplinkItem:
        number = bisect_right(self._ends, position)
        return self._calls[number].items[position - (self._ends[number - 1] if number else 0)]

    def __iter__(self) -> Iterator[UplinkItem]:
        return (item for call in self._calls for item in call.items)


class ListedItems(LazySequence[DownlinkItem]):
    """Files of a listing as items of a plan, in any order: a tuple of `DownlinkItem` in all but memory. Each has its
    position in `files`, and how many characters of its path are not part of its local path."""

    __slots__ = ("_cuts", "_files", "_positions")

    def __init__(self, files: FileTable, *, positions: array[int], cuts: array[int]) -> None:
        self._files = files
        self._positions = positions
        self._cuts = cuts

    def __len__(self) -> int:
        return len(self._positions)

    def _element(self, position: int) -> DownlinkItem:
        entry = self._files.entry(self._positions[position])
        return DownlinkItem(remote=entry.path, local_path=RemotePath(entry.path[self._cuts[position] :]), entry=entry)

    def remote(self, position: int) -> str:
        """The path on the EM of the item at `position`."""
        return self._files.path(self._positions[position])

    def local_path(self, position: int) -> str:
        """Where the item at `position` lands."""
        return self.remote(position)[self._cuts[position] :]

    @property
    def sizes(self) -> Iterator[int]:
        """The listed bytes of each; 0 where none are known."""
        return (max(0, self._files.size(at)) for at in self._positions)

    def chosen(self, positions: Sequence[int]) -> ListedItems:
        """The items at these positions, in that order."""
        return ListedItems(
            self._files,
            positions=array("I", (self._positions[position] for position in positions)),
            cuts=array("I", (self._cuts[position] for position in positions)),
        )


def chosen(items: Sequence[DownlinkItem], positions: Sequence[int]) -> Sequence[DownlinkItem]:
    """The items at these positions, in that order; packed, if `items` are."""
    if isinstance(items, ListedItems):
        return items.chosen(positions)
    return tuple(items[position] for position in positions)


def folders_above(paths: Iterable[str]) -> dict[str, str]:
    """Every folder that one of `paths` (in normal form) needs, with the first path that needs it; the root is none."""
    needed: dict[str, str] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in needed:  # known folders have known parents: linear in the number of folders
            needed[folder] = path
            folder = folder.rpartition("/")[0]
    return needed


class Hashes:
    """The hashes of very many texts, 8 bytes each: only texts of equal hashes have to be compared."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def passing(self, texts: Iterable[str]) -> Iterator[str]:
        """`texts` again, each noted as it passes."""
        for text in texts:
            self._hashes.append(hash(text))
            yield text

    def suspects(self, others: Iterable[str] = ()) -> Iterator[int]:
        """The positions of the texts that may be there twice, or may be among `others`."""
        ordered = sorted(self._hashes)
        repeated = {first for first, second in pairwise(ordered) if first == second}
        suspect = repeated | {hash(other) for other in others}
        return (position for position, number in enumerate(self._hashes) if number in suspect)


def check_no_parent(path: RemotePath) -> None:
    """ValueError for a destination with ``..``: what it means is the server's business, and no listing shows it."""
    if ".." in path.parts:
        raise ValueError(f"{path!r} leads out of its folder; name the folder of the volume without ..")


def prefix(folder: Path) -> str:
    """The text of `folder` to which a name can be appended: "" for the current folder, else it ends in a slash. As text
    a path is what ``str(folder / name)`` gives, for a fifth of the time and memory."""
    text = str(folder)
    return "" if text == "." else text if text.endswith("/") else f"{text}/"


def _line(files: int, calls: str, size: int, refused: Iterable[RejectedFile]) -> str:
    parts = [_counted(files, "file"), calls, _size(size)]
    if count := sum(1 for _ in refused):
        parts.append(f"{count:,} refused")
    return ", ".join(parts)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    value, unit = size / 1000, "kB"
    for bigger in ("MB", "GB", "TB"):
        if value < 999.95:  # what would print as 1000.0
            break
        value, unit = value / 1000, bigger
    return f"{value:.1f} {unit}"
