"""Downlink plans: what the user named, found in a listing, and the local path each file is to get.

Owns: the meaning of a path, a folder, a trailing slash and a glob on the remote side, and the order of the files.
May import model, errors and the rules for local names. Pure: no I/O, no event loop; the listing is handed in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from emasync.disk.names import local_parts, name_problem, twin_key
from emasync.errors import EMError, NotFoundError, UnsafePathError
from emasync.model import FileEntry, FileTree, Glob, RemotePath, safe
from emasync.model.glob import PathPattern, is_pattern, means_contents
from emasync.transfer.collisions import folders_above
from emasync.transfer.filters import Filters
from emasync.transfer.plan import DownlinkItem, DownlinkPlan, Order, Refused


def plan_downlink(
    paths: Sequence[str | Glob],
    tree: FileTree | None,
    *,
    order: Order = "largest",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> DownlinkPlan:
    """What `paths` select in `tree`, each file once, in `order`; local paths are relative to the destination.

    A file lands under its base name. A folder keeps its tree (``results`` -> ``results/...``); a trailing slash means
    its contents; ``""`` and ``/`` are the contents of the volume. In a str only ``*`` and ``**`` are wildcards, and a
    file or folder of exactly that name is meant where there is one; a `Glob` is always a pattern. What a pattern
    selects lands relative to its leading folders without wildcards (``logs/*.log`` -> ``x.log``), folders with their
    tree; a slash at its end selects folders only. `include` and `exclude` see the path below the destination. Without
    a listing every path is taken for a file's.

    Refused: what is in no listing, names that must not become a path here, a file where others need a folder, and of
    files that some file system would merge (letter case, composed accents) all but the first. ValueError when a path
    needs a listing (see `needs_listing`) and `tree` is None.
    """
    if isinstance(paths, str | Glob):
        raise TypeError(f"paths come as a list, not as {paths!r} alone")
    filters = Filters(include=tuple(include), exclude=tuple(exclude))
    listing = None if tree is None else _Listing(tree)
    bad: list[Refused] = []
    notes: list[str] = []
    picked: dict[RemotePath, _Pick] = {}
    for path in paths:
        found = _unlisted(path) if listing is None else listing.select(path)
        if isinstance(found, EMError):
            bad.append(Refused(remote=RemotePath(str(path)), local=None, error=found))
            continue
        for pick in found:
            if filters.takes(pick[1]):
                picked.setdefault(pick[0], pick)
        if listing is not None:
            notes.extend(f"{safe(one)}: an empty folder, nothing to move" for one in listing.empty_folders(path))
    items = _ordered(_landing(picked.values(), bad), order)
    return DownlinkPlan(items=tuple(items), refused=tuple(bad), notes=tuple(dict.fromkeys(notes)))


def needs_listing(path: str | Glob) -> bool:
    """Whether only a listing can tell which files `path` means; any other path may still turn out to be a folder."""
    return means_contents(path) or is_pattern(path)


_Pick = tuple[RemotePath, RemotePath, FileEntry | None]  # on the EM, below the destination, in the listing


def _unlisted(asked: str | Glob) -> list[_Pick]:
    if isinstance(asked, Glob) or needs_listing(asked):
        raise ValueError(f"{str(asked)!r} can only be planned with a listing")
    path = RemotePath(asked)
    return [(path, RemotePath(path.name), None)]


class _Listing:
    """A tree, sorted so that a folder's files are one slice of it."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
        self._entries = list(tree)
        self._sorted = sorted(range(len(self._entries)), key=lambda place: self._entries[place].path)
        self._paths = [self._entries[place].path for place in self._sorted]
        self._folders: dict[str, str] = {**dict.fromkeys(tree.folders, ""), **folders_above(self._paths)}

    def select(self, asked: str | Glob) -> Iterable[_Pick] | EMError:
        """The files that `asked` means, or why it means none."""
        return self._matching(asked) if isinstance(asked, Glob) else self._named(asked)

    def _named(self, text: str) -> Iterable[_Pick] | EMError:
        path, contents = RemotePath(text), means_contents(text)
        entry = self._tree.get(path) if path else None  # a file named "." or "/" must not stand for the whole volume
        if entry is not None:
            if contents:
                return NotFoundError(f"{safe(path)} is a file, not a folder: name it without the slash")
            return [(path, RemotePath(path.name), entry)]
        if not path or path in self._folders:
            return self._below(path, path if contents else path.parent)
        if is_pattern(text):
            return self._matching(text)
        return NotFoundError(f"not in the volume: {safe(path)}; `emasync ls` shows what is there")

    def _matching(self, asked: str | Glob) -> Iterable[_Pick] | EMError:
        if found := list(self._glob(PathPattern.of(asked))):
            return found
        return NotFoundError(f"nothing in the volume matches: {safe(asked)}; `emasync ls` shows what is there")

    def empty_folders(self, asked: str | Glob) -> Iterator[RemotePath]:
        """The folders named by `asked`, or in such a folder, in which, at any depth, there is no file."""
        if isinstance(asked, Glob):
            return
        path = RemotePath(asked)
        for folder in self._tree.folders:
            if (folder == path or folder.below(path)) and self._slice(folder) == (0, 0):
                yield folder

    def _slice(self, folder: RemotePath) -> tuple[int, int]:
        if not folder:
            return 0, len(self._paths)
        first = bisect_left(self._paths, f"{folder}/")
        end = bisect_left(self._paths, f"{folder}0", first)  # "0" is what sorts next to "/"
        return (first, end) if first < end else (0, 0)

    def _below(self, folder: RemotePath, base: RemotePath) -> Iterator[_Pick]:
        first, end = self._slice(folder)
        for place in sorted(self._sorted[first:end]):
            entry = self._entries[place]
            yield entry.path, RemotePath(entry.path[len(base) :]) if base else entry.path, entry

    def _glob(self, pattern: PathPattern) -> Iterator[_Pick]:
        base = pattern.base
        for folder in map(RemotePath, self._folders):
            if pattern.selects(folder):
                yield from self._below(folder, base)
        for entry in self._tree:
            if pattern.selects(entry.path):
                yield entry.path, RemotePath(entry.path[len(base) :]), entry


def _landing(wanted: Iterable[_Pick], bad: list[Refused]) -> list[DownlinkItem]:
    """An item for each pick that has a local path of its own; the others go to `bad`."""
    folders = {""}  # whose names are known to be safe
    keys: list[str] = []
    named: list[DownlinkItem] = []
    for remote, target, entry in wanted:
        folder, _, name = target.rpartition("/")
        try:
            if folder not in folders:
                local_parts(RemotePath(folder))
                folders.add(folder)
            if name_problem(name) is not None:
                local_parts(target)  # raises, and names the whole path
        except UnsafePathError as error:
            bad.append(Refused(remote=remote, local=None, error=error))
        else:
            keys.append(twin_key(target))
            named.append(DownlinkItem(remote=remote, place=target, entry=entry))
    needed = folders_above(keys)
    first: dict[str, DownlinkItem] = {}
    for key, item in zip(keys, named, strict=True):
        if (inside := needed.get(key)) is not None:
            text = f"{safe(item.remote)} cannot be saved: here its path is the folder of {safe(inside)}"
            bad.append(_refuse(item, text, reason="both a file and a folder"))
        elif (other := first.setdefault(key, item)) is not item:
            same = "lands on the same path as" if other.place == item.place else "differs only by case or accents from"
            text = f"{safe(item.remote)} {same} {safe(other.remote)}; fetch it into a folder of its own"
            bad.append(_refuse(item, text, reason="the place of another file"))
    return list(first.values())


def _refuse(item: DownlinkItem, text: str, *, reason: str) -> Refused:
    error = UnsafePathError(text, name=item.remote, reason=reason)
    return Refused(remote=item.remote, local=item.local, error=error)


def _ordered(items: list[DownlinkItem], order: Order) -> list[DownlinkItem]:
    if order == "listed":
        return items
    if order == "name":
        return sorted(items, key=lambda item: item.remote)
    if order not in ("largest", "smallest"):
        raise ValueError(f"order is largest, smallest, listed or name, not {order!r}")
    sign = -1 if order == "largest" else 1
    return sorted(items, key=lambda item: (sign * item.bytes, item.remote))
