"""Downlink plans: what the user named, found in a listing, and the local path each file is to get.

Defines what a path, a folder, a trailing slash and a glob mean on the remote side, and the order of the files. Pure: no
I/O, no event loop; the listing is an argument. Must not import http.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from emasync.disk.safe_paths import case_fold_key, local_parts, name_problem
from emasync.errors import EMError, NotFoundError, ProtocolError, UnsafePathError
from emasync.model import FileTable, FileTree, Glob, RemotePath, safe
from emasync.model.glob import PathPattern, is_pattern, means_contents
from emasync.transfer.planning.filters import Filters
from emasync.transfer.planning.plan import (
    DownlinkItem,
    DownlinkPlan,
    Hashes,
    ListedItems,
    Order,
    RejectedFile,
    folders_above,
)


def plan_downlink(
    paths: Sequence[str | Glob],
    tree: FileTree,
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
    tree; a slash at its end selects folders only. `include` and `exclude` see the path below the destination.

    Refused: what is in no listing, names that must not become a path here, a file where others need a folder, and of
    files that some file system would merge (letter case, composed accents) all but the first.
    """
    if isinstance(paths, str | Glob):
        raise TypeError(f"paths come as a list, not as {paths!r} alone")
    filters = Filters(include=tuple(include), exclude=tuple(exclude))
    rejected: list[RejectedFile] = []
    listing = _Listing(tree)
    notes: list[str] = []
    picked = _Picked(tree.table, filters)
    for path in paths:
        picks = listing.select(path)
        if isinstance(picks, EMError):
            rejected.append(RejectedFile(remote=RemotePath(str(path)), local=None, error=picks))
            continue
        picked.take(picks)
        notes.extend(f"{safe(folder)}: an empty folder, nothing to move" for folder in listing.empty_folders(path))
        rejected.extend(listing.unlisted(path))
    items = picked.items()
    chosen = items.chosen(_ordered(items, _landing(items, rejected), order))
    return DownlinkPlan(items=chosen, refused=tuple(rejected), notes=tuple(dict.fromkeys(notes)))


def needs_listing(path: str | Glob) -> bool:
    """Whether only a listing can tell which files `path` means; any other path may still turn out to be a folder."""
    return means_contents(path) or is_pattern(path)


_Pick = tuple[int, int]  # a file's position in the listing, and how much of its path is not part of its local path


class _Picked:
    """What was picked, each file once, as filters let it."""

    def __init__(self, files: FileTable, filters: Filters) -> None:
        self._files, self._filters = files, filters
        self._taken = bytearray(len(files))
        self._positions, self._cuts = array("I"), array("I")

    def take(self, picks: Iterable[_Pick]) -> None:
        """Those that are not taken yet."""
        takes = None if self._filters.take_all else self._filters.takes
        for position, cut in picks:
            if self._taken[position] or (takes and not takes(RemotePath(self._files.path(position)[cut:]))):
                continue
            self._taken[position] = True
            self._positions.append(position)
            self._cuts.append(cut)

    def items(self) -> ListedItems:
        """As items of a plan."""
        return ListedItems(self._files, positions=self._positions, cuts=self._cuts)


class _Listing:
    """A tree whose folders are sorted, so that a folder and all that is in it are found together."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
        self._files = tree.table
        used = [folder for folder in self._files.used_folders() if folder]
        self._filled = frozenset(used) | folders_above(used).keys()  # at any depth
        self._folders = dict.fromkeys([*tree.folders, *sorted(self._filled)])
        self._sorted = sorted((text, number) for number, text in enumerate(self._files.folders))

    def select(self, selector: str | Glob) -> Iterable[_Pick] | EMError:
        """The files that `selector` means, or why it means none."""
        return self._matching(selector) if isinstance(selector, Glob) else self._named(selector)

    def _named(self, text: str) -> Iterable[_Pick] | EMError:
        path, contents = RemotePath(text), means_contents(text)
        entry = self._tree.get(path) if path else None  # a file named "." or "/" must not stand for the whole volume
        if entry is not None:
            if contents:
                return NotFoundError(f"{safe(path)} is a file, not a folder: name it without the slash")
            return [(self._files.find(path), len(path) - len(path.name))]
        if not path or path in self._folders:
            return self._below(path, path if contents else path.parent)
        if is_pattern(text):
            return self._matching(text)
        if (folder := self._tree.unknown_above(path)) is not None:
            text = f"the EM's listing does not give the contents of {safe(folder) or 'the volume'}"
            return ProtocolError(f"{text}: whether {safe(path)} is there is not known; try again")
        return NotFoundError(f"not in the volume: {safe(path)}; `emasync ls` shows what is there")

    def _matching(self, selector: str | Glob) -> Iterable[_Pick] | EMError:
        if found := list(self._glob(PathPattern.of(selector))):
            return found
        return NotFoundError(f"nothing in the volume matches: {safe(selector)}; `emasync ls` shows what is there")

    def unlisted(self, selector: str | Glob) -> Iterator[RejectedFile]:
        """The folders of which the listing does not say what is in them, and that `selector` names, that lie in such a
        folder or may hold what it selects: their files are asked for and cannot be planned."""
        if not self._tree.unknown_folders:
            return
        if isinstance(selector, Glob) or (is_pattern(selector) and not self._tree.is_folder(selector)):
            below = PathPattern.of(selector).base
        elif RemotePath(selector) and RemotePath(selector) in self._tree:  # a file named "." is not the whole volume
            return
        else:
            below = RemotePath(selector)
            if self._tree.unknown_above(below) is not None:
                return  # refused as it was asked for
        for folder in sorted(self._tree.unknown_folders):
            if folder == below or folder.below(below) or below.below(folder):
                text = f"the EM's listing does not give the contents of {safe(folder)}: what is there is not known"
                yield RejectedFile(remote=folder, local=None, error=ProtocolError(f"{text}; try again"))

    def empty_folders(self, selector: str | Glob) -> Iterator[RemotePath]:
        """The folders named by `selector`, or in such a folder, in which, at any depth, there is no file."""
        if isinstance(selector, Glob):
            return
        path = RemotePath(selector)
        for folder in self._tree.folders:
            unknown = folder in self._tree.unknown_folders
            if (folder == path or folder.below(path)) and folder not in self._filled and not unknown:
                yield folder

    def _below(self, folder: str, base: RemotePath) -> Iterator[_Pick]:
        cut = len(base) + 1 if base else 0
        if not folder:
            return ((position, cut) for position in range(len(self._files)))
        numbers: set[int] = set()
        for start, beyond in ((folder, f"{folder}\0"), (f"{folder}/", f"{folder}0")):  # "0" sorts next to "/"
            first, end = bisect_left(self._sorted, (start,)), bisect_left(self._sorted, (beyond,))
            numbers.update(number for text, number in self._sorted[first:end] if text == folder or start != folder)
        return ((position, cut) for position in self._files.in_folders(numbers))

    def _glob(self, pattern: PathPattern) -> Iterator[_Pick]:
        base = pattern.base
        cut = len(base) + 1 if base else 0
        for folder in map(RemotePath, self._folders):
            if pattern.selects(folder):
                yield from self._below(folder, base)
        for position, path in enumerate(self._files.paths()):
            if pattern.selects(path):
                yield position, cut


def _landing(items: ListedItems, rejected: list[RejectedFile]) -> array[int]:
    """The positions of the items that have a local path of their own; the others go to `rejected`."""
    named = array("I", _nameable(items, rejected))
    hashes = Hashes()
    needed = folders_above(hashes.passing(case_fold_key(items.local_path(at)) for at in named))
    first: dict[str, int] = {}
    out: set[int] = set()
    for index in hashes.suspects(needed):  # all others have a key that no file and no folder has
        at = named[index]
        key = case_fold_key(items.local_path(at))
        if (inside := needed.get(key)) is not None:
            text = f"{safe(items.remote(at))} cannot be saved: here its path is the folder of {safe(inside)}"
            reason = "both a file and a folder"
        elif (other := first.setdefault(key, at)) != at:
            same_path = items.local_path(other) == items.local_path(at)
            same = "lands on the same path as" if same_path else "differs only by case or accents from"
            text = f"{safe(items.remote(at))} {same} {safe(items.remote(other))}; fetch it into a folder of its own"
            reason = "the place of another file"
        else:
            continue
        out.add(at)
        rejected.append(_reject(items[at], text, reason=reason))
    return array("I", (at for at in named if at not in out)) if out else named


def _nameable(items: ListedItems, rejected: list[RejectedFile]) -> Iterator[int]:
    """The positions of the items whose names are fit for this machine."""
    folders = {""}  # whose names are known to be safe
    for at in range(len(items)):
        target = items.local_path(at)
        folder, _, name = target.rpartition("/")
        try:
            if folder not in folders:
                local_parts(RemotePath(folder))
                folders.add(folder)
            if name_problem(name) is not None:
                local_parts(RemotePath(target))  # raises, and names the whole path
        except UnsafePathError as error:
            rejected.append(RejectedFile(remote=RemotePath(items.remote(at)), local=None, error=error))
        else:
            yield at


def _reject(item: DownlinkItem, text: str, *, reason: str) -> RejectedFile:
    error = UnsafePathError(text, name=item.remote, reason=reason)
    return RejectedFile(remote=item.remote, local=item.local, error=error)


def _ordered(items: ListedItems, positions: Sequence[int], order: Order) -> Sequence[int]:
    if order == "listed":
        return positions
    if order not in ("name", "largest", "smallest"):
        raise ValueError(f"order is largest, smallest, listed or name, not {order!r}")
    by_name = sorted(positions, key=items.remote)
    if order != "name":
        sizes = list(items.sizes)
        by_name.sort(key=sizes.__getitem__, reverse=order == "largest")  # of equal sizes still by name
    return by_name
