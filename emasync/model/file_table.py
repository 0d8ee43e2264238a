"""`FileTable`: very many files in packed columns, about 60 bytes a file, with a hash index for lookup by path.

`FileEntry` objects are entry anew when they are asked for. Knows nothing of folders without files, or of what a listing
leaves out. Must not import anything but paths.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from emasync.model.paths import RemotePath

_NO_SIZE = -1
_COLUMN_LIMIT = 2**63
_POSITION_BITS = 0xFFFF_FFFF  # the bits of an index slot that hold the file's position + 1; 0 in a free slot
_SLICE = 10_000  # files that are indexed before other tasks may run
_CACHED_FILES = 16_384
"""Up to so many files the entries are kept as objects, too: 5 MiB, for four times the speed."""
_HASH_BITS = 0xFFFF_FFFF_0000_0000  # the bits of an index slot that hold bits of the path's hash


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a listing.

    `size` in bytes, None where the server gave none that can be read. `time` as the EM writes it
    (``2025-11-20-12-31``: minutes, no time zone). `content_tag` is the EM's signed 64-bit `hash`: a change tag, which
    on known servers is the tail of the file's MD5 (see `emasync.wire.content_tag`).

    >>> entry = (await em.files.list())["results/a.txt"]
    >>> entry.name, entry.size
    ('a.txt', 6)
    """

    path: RemotePath
    size: int | None
    time: str | None = None
    content_tag: int | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name


_from_normal = str.__new__  # makes a RemotePath of a text that is in normal form
# The slots of a frozen dataclass, set directly: its own __init__ takes three times as long.
_set_path, _set_size, _set_time, _set_tag = (
    FileEntry.__dict__[name].__set__ for name in ("path", "size", "time", "content_tag")
)


def _make_entry(path: RemotePath, size: int | None, time: str | None, tag: int | None) -> FileEntry:
    entry: FileEntry = object.__new__(FileEntry)
    _set_path(entry, path)
    _set_size(entry, size)
    _set_time(entry, time)
    _set_tag(entry, tag)
    return entry


class FileTable:
    """Files by position, in the order in which they were added, and by path.

    `folders` are the paths of the folders that hold files, in normal form. Built by `from_entries`, or by `append` and
    then `indexing`: a folder's path may be set after its files are appended. A file whose values no column holds (a
    size beyond 64 bits) is kept as a `FileEntry`.
    """

    __slots__ = (
        "_cached",
        "_ends",
        "_folder_of",
        "_grouped",
        "_irregular",
        "_names",
        "_number_of_time",
        "_slots",
        "_tagged",
        "_tags",
        "_time_of",
        "_times",
        "_unpacked",
        "folders",
        "sizes",
    )

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.sizes: array[int] = array("q")
        """Bytes of each file; -1 where the size is unknown, or no column holds it."""
        self._times: list[str | None] = [None]  # of minute resolution: many files share one
        self._number_of_time: dict[str | None, int] = {None: 0}
        self._folder_of = array("I")
        self._time_of = array("I")
        self._names = bytearray()
        self._ends = array("Q")
        self._tags = array("q")
        self._tagged = bytearray()
        self._unpacked: dict[int, FileEntry] = {}
        self._slots = array("Q", bytes(8))
        self._cached: dict[RemotePath, FileEntry] | None = None
        self._grouped: array[int] | None = None  # positions by folder
        self._irregular = False  # whether a name holds a slash, or is a dot

    @classmethod
    def from_entries(cls, entries: Iterable[FileEntry]) -> FileTable:
        """The table of `entries`; of several with one path the last one counts, at the position of the first."""
        table = cls()
        table._add_all(entries)
        for indexed in table.indexing():
            table = table if indexed is None else indexed
        return table

    def new_folder(self, text: str = "") -> int:
        """Add a folder; returns its number."""
        self.folders.append(text)
        return len(self.folders) - 1

    def append(self, folder: int, name: str, size: int | None, time: str | None, tag: int | None) -> None:
        """Add a file to the folder with that number. `size` is within [0, 2^63), `tag` within 64 bits."""
        number = self._number_of_time.get(time)
        if number is None:
            number = self._number_of_time[time] = len(self._times)
            self._times.append(time)
        if "/" in name or name == ".":
            self._irregular = True
        self.sizes.append(_NO_SIZE if size is None else size)
        self._tags.append(0 if tag is None else tag)
        self._tagged.append(tag is not None)
        self._time_of.append(number)
        self._folder_of.append(folder)
        self._names += name.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._names))

    def _add_all(self, entries: Iterable[FileEntry]) -> None:
        numbers: dict[str, int] = {}
        for entry in entries:
            folder, _, name = entry.path.rpartition("/")
            if (number := numbers.get(folder)) is None:
                number = numbers[folder] = self.new_folder(folder)
            size, time, tag = entry.size, entry.time, entry.content_tag
            if not (
                type(entry.path) is RemotePath
                and (size is None or (type(size) is int and 0 <= size < _COLUMN_LIMIT))
                and (time is None or type(time) is str)
                and (tag is None or (type(tag) is int and -_COLUMN_LIMIT <= tag < _COLUMN_LIMIT))
            ):
                self._unpacked[len(self)] = entry
                size = time = tag = None
            self.append(number, name, size, time, tag)

    def indexing(self, *, only: Container[str] | None = None) -> Iterator[FileTable | None]:
        """Make the index, once all folders have their paths: None between two slices of the work, at last the table.

        In that table each path is in normal form and occurs once, with `only` just the paths that are in it. The table
        that was appended to must not be used afterwards.
        """
        if only is None and not self._irregular:
            for unique in self._index():
                if unique is not None:
                    break
                yield None
            if unique:
                yield self
                return
        by_path: dict[str, FileEntry] = {}
        for position in range(len(self)):
            entry = self.entry(position)
            path = entry.path if type(entry.path) is not RemotePath else RemotePath(str(entry.path))  # slashes, dots
            if only is None or path in only:
                by_path[path] = _make_entry(path, entry.size, entry.time, entry.content_tag)
            if position % _SLICE == 0:
                yield None
        table = FileTable()
        table._add_all(by_path.values())
        yield from table.indexing()

    def _index(self) -> Iterator[bool | None]:
        """Fill the index; None between two slices of the work, at last whether all paths are different."""
        slots = 2
        while slots < 2 * len(self):
            slots *= 2
        self._slots = array("Q", bytes(8 * slots))
        table, mask = self._slots, slots - 1
        for position, path in enumerate(self._path_texts()):
            code = hash(path)
            hash_bits, slot = code & _HASH_BITS, code & mask
            while used_slot := table[slot]:
                if used_slot & _HASH_BITS == hash_bits and self._path_text((used_slot & _POSITION_BITS) - 1) == path:
                    yield False
                    return
                slot = (slot + 1) & mask
            table[slot] = hash_bits | (position + 1)
            if position % _SLICE == 0:
                yield None
        if len(self) <= _CACHED_FILES:
            self._cached = {entry.path: entry for entry in map(self.entry, range(len(self)))}
        yield True

    def index(self) -> None:
        """Make the index of a table whose paths are in normal form and different."""
        for _ in self._index():
            pass

    def find(self, path: str) -> int:
        """The position of the file at `path` (in normal form); -1 if there is none."""
        table = self._slots
        mask, code = len(table) - 1, hash(path)
        hash_bits, slot = code & _HASH_BITS, code & mask
        while used_slot := table[slot]:
            if used_slot & _HASH_BITS == hash_bits and self._path_text((used_slot & _POSITION_BITS) - 1) == path:
                return (used_slot & _POSITION_BITS) - 1
            slot = (slot + 1) & mask
        return -1

    def get(self, path: str) -> FileEntry | None:
        """The file at `path` (in normal form), or None."""
        if self._cached is not None:
            return self._cached.get(path)  # type: ignore[call-overload,no-any-return]  # a RemotePath is equal to its text
        position = self.find(path)
        return self.entry(position) if position >= 0 else None

    def __len__(self) -> int:
        return len(self._ends)

    def _path_text(self, position: int) -> str:
        folder = self.folders[self._folder_of[position]]
        begin = self._ends[position - 1] if position else 0
        name = self._names[begin : self._ends[position]].decode("utf-8", "surrogatepass")
        return f"{folder}/{name}" if folder else name

    def _path_texts(self) -> Iterator[str]:
        begin, names, folders = 0, self._names, self.folders
        for number, end in zip(self._folder_of, self._ends, strict=True):
            name, folder = names[begin:end].decode("utf-8", "surrogatepass"), folders[number]
            yield f"{folder}/{name}" if folder else name
            begin = end

    def path(self, position: int) -> RemotePath:
        """The path of the file at `position`."""
        return _from_normal(RemotePath, self._path_text(position))

    def paths(self) -> Iterator[RemotePath]:
        """The paths of all files, in order."""
        if self._cached is not None:
            return iter(self._cached)
        return (_from_normal(RemotePath, text) for text in self._path_texts())

    def size(self, position: int) -> int:
        """Bytes of the file at `position`; -1 where the size is unknown."""
        if self._unpacked and (unpacked := self._unpacked.get(position)) is not None:
            return -1 if unpacked.size is None else unpacked.size
        return self.sizes[position]

    def entry(self, position: int) -> FileEntry:
        """The file at `position`."""
        if self._unpacked and (unpacked := self._unpacked.get(position)) is not None:
            return unpacked
        size = self.sizes[position]
        return _make_entry(
            _from_normal(RemotePath, self._path_text(position)),
            None if size < 0 else size,
            self._times[self._time_of[position]],
            self._tags[position] if self._tagged[position] else None,
        )

    def __iter__(self) -> Iterator[FileEntry]:
        if self._cached is not None:
            return iter(self._cached.values())
        return map(self.entry, range(len(self))) if self._unpacked else self._entries()

    def _entries(self) -> Iterator[FileEntry]:
        times = self._times
        rows = zip(self._path_texts(), self.sizes, self._time_of, self._tagged, self._tags, strict=True)
        for text, size, time, tagged, tag in rows:
            yield _make_entry(
                _from_normal(RemotePath, text), None if size < 0 else size, times[time], tag if tagged else None
            )

    def used_folders(self) -> list[str]:
        """The folders that hold files, without those that hold folders only."""
        used = bytearray(len(self.folders))
        for number in self._folder_of:
            used[number] = True
        return [text for text, holds_files in zip(self.folders, used, strict=True) if holds_files]

    def in_folders(self, numbers: Iterable[int]) -> list[int]:
        """The positions of the files in the folders of these numbers, in order."""
        if self._grouped is None:
            self._grouped = array("I", sorted(range(len(self)), key=self._folder_of.__getitem__))
        key = self._folder_of.__getitem__
        positions: list[int] = []
        for number in numbers:
            first = bisect_left(self._grouped, number, key=key)
            positions += self._grouped[first : bisect_right(self._grouped, number, lo=first, key=key)]
        return sorted(positions)

    def below(self, folder: str) -> Iterator[int]:
        """The positions of the files inside `folder` (in normal form), at any depth, in order."""
        start = f"{folder}/" if folder else ""
        inside = [not start or text == folder or text.startswith(start) for text in self.folders]
        nameless = self.find("") if not start else -1  # a file whose name is a dot has the path of the root
        folders_of_files = enumerate(self._folder_of)
        return (position for position, number in folders_of_files if inside[number] and position != nameless)

    def paths_below(self, folder: str) -> Iterator[RemotePath]:
        """The paths of the files inside `folder` (in normal form), at any depth, in order."""
        start = f"{folder}/" if folder else ""
        if self._cached is not None or not start:
            return (path for path in self.paths() if path and path.startswith(start))
        return map(self.path, self.below(folder))

    def entries_below(self, folder: str) -> list[FileEntry]:
        """The files inside `folder` (in normal form), at any depth, in order."""
        if self._cached is None:
            return [self.entry(position) for position in self.below(folder)]
        start = f"{folder}/" if folder else ""
        return [entry for path, entry in self._cached.items() if path and path.startswith(start)]

    def holds_files_below(self, folder: str) -> bool:
        """Whether some file lies inside `folder`, at any depth."""
        return next(self.below(folder), None) is not None

    @property
    def characters(self) -> int:
        """An upper bound of the length of all paths together, in UTF-8 bytes."""
        lengths = [len(text) + 1 for text in self.folders]
        return len(self._names) + sum(lengths[number] for number in self._folder_of)

    @property
    def total_size(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(size for size in self.sizes if size > 0) + sum(entry.size or 0 for entry in self._unpacked.values())
