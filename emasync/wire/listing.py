"""What the entries of a listing mean: JSON objects to a `FileTree`, entry by entry.

Owns: the shape of an entry, and how many a listing may have. May import model, config and errors. Pure; the JSON of a
listing is read in `emasync.wire.listing_reader`. A size or tag that cannot be read is None.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from emasync.config import Limits
from emasync.errors import ProtocolError
from emasync.model import FileTable, FileTree, RemotePath
from emasync.wire.responses import said, whole

ROOT: Final = 0
"""The number of the folder that holds all others."""

_PATHS: Final = 64 * 1024 * 1024
"""Characters of all paths of a listing: each repeats its folders' names, so a small answer could make very much."""
_FOLDER_COUNTS: Final = 4  # entries, for what it takes in memory


class Listing:
    """A listing under way. Folders have numbers, in the order in which they are met: the name of one may come after
    what is in it. With `only`, just those files are kept."""

    def __init__(self, limits: Limits, *, only: Collection[str] | None = None) -> None:
        self._room = self._most = limits.listing_entries
        self._only = None if only is None else frozenset(RemotePath(path) for path in only)
        self._names = None if self._only is None else {path.name for path in self._only}
        self._files = FileTable()
        self._files.new_folder()  # the root
        self._parents = array("I", (ROOT,))
        self._unknown: list[int] = []
        self._times: dict[str, str] = {}

    def add(self, folder: int, entries: Iterable[Mapping[str, Any]]) -> None:
        """Entries of that folder which have no list of contents: files, and folders of which no more is known."""
        files, names, room = self._files, self._names, self._room
        for raw in entries:
            name = raw.get("name")
            if not isinstance(name, str) or not name:
                raise ProtocolError("an entry of the listing has no name")
            if "contents" in raw or raw.get("type") == "directory":
                self._room = room
                number = self.open_folder(folder)
                self._files.folders[number] = name
                self._unknown.append(number)
                room = self._room
                continue
            if names is not None and name not in names and "/" not in name:
                continue
            if (room := room - 1) < 0:
                raise self._too_many()
            size, time, tag = whole(raw.get("size")), raw.get("time"), whole(raw.get("hash"))
            files.append(
                folder,
                name,
                size if size is not None and 0 <= size < 2**63 else None,
                time if isinstance(time, str) else None,
                tag if tag is not None and -(2**63) <= tag < 2**63 else None,
            )
        self._room = room

    def open_folder(self, parent: int) -> int:
        """The number of a folder that is met in the folder of the number `parent`."""
        if (room := self._room - _FOLDER_COUNTS) < 0:
            raise self._too_many()
        self._room = room
        self._parents.append(parent)
        return self._files.new_folder()

    def close_folder(self, number: int, fields: Mapping[str, Any]) -> None:
        """What a folder with a list of contents says of itself."""
        name = fields.get("name")
        if not isinstance(name, str) or not name:
            raise ProtocolError("an entry of the listing has no name")
        self._files.folders[number] = name
        if fields.get("error"):
            self._unknown.append(number)

    def finish(self) -> Iterator[FileTree | None]:
        """All of it, once nothing more comes: None between two slices of the work, at last the tree."""
        files, folders = self._files, self._files.folders
        room = _PATHS
        for number in range(1, len(folders)):  # a folder is met before what is in it
            above = folders[self._parents[number]]
            folders[number] = RemotePath(f"{above}/{folders[number]}" if above else folders[number])
            if (room := room - len(folders[number])) < 0:
                raise _too_long()
        if files.characters > room:
            raise _too_long()
        listed = [folders[number] for number in range(1, len(folders))]
        unknown = [folders[number] for number in sorted(self._unknown)]
        yield None
        for table in files.indexing(only=self._only):
            yield (
                FileTree(table, folders=listed, unknown_folders=unknown, only=self._only) if table is not None else None
            )

    def _too_many(self) -> ProtocolError:
        return ProtocolError(
            f"the listing has more than {self._most} entries (a folder counts as {_FOLDER_COUNTS}); "
            "Limits.listing_entries says how many are taken"
        )


def no_listing(reply: Any) -> ProtocolError:
    """The error for an answer without a list of entries: it does not say that the volume is empty."""
    return ProtocolError("the answer is no listing: it has no list of entries", detail=said(reply))


def _too_long() -> ProtocolError:
    return ProtocolError(f"the paths of the listing are longer than {_PATHS} characters together")
