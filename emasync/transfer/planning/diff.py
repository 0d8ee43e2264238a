"""What a sync has to do: two sides compared file by file, with the reason for each decision.

Decides when two files count as the same, and what may be deleted. Pure: no I/O, no event loop; whether the server's
tags can be compared, and what a journal knows, are arguments. Must not import http or transfer's state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal, Protocol

from emasync.disk.safe_paths import case_fold_key, local_parts
from emasync.errors import UnsafePathError
from emasync.model import (
    Direction,
    FileEntry,
    FileTable,
    FileTree,
    RemotePath,
    SyncAction,
    SyncDecision,
    SyncDecisions,
    SyncReason,
    safe,
)
from emasync.transfer.planning.filters import Filters
from emasync.transfer.planning.plan import Hashes, folders_above

_EXTRA = "not at the source"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFile:
    """A file here: its path below the synced folder, size in bytes, and content tag where it was computed."""

    path: RemotePath
    size: int
    tag: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How the two sides of a sync are compared, and what may be deleted.

    Files of the same size are told apart by content tag if `tags_confirmed` (the server was seen to compute tags as
    `emasync.wire.content_tag` does) and both have one. Otherwise `known(path)` decides: True, the file that was last
    moved is still on both sides; False, one side has changed since; None, never moved. For None `unknown` decides:
    `keep` trusts the size (the reason says so), `copy` does not.

    Files that only the target has are deleted if `delete`, except where the listing does not say whether the source has
    them (`FileTree.is_known`); more than `max_delete` of them are a conflict each, and nothing is deleted. What
    `filters` leave out is no part of either side. `folder` is the synced folder in the listing.
    """

    direction: Direction
    folder: str = ""
    tags_confirmed: bool = False
    known: Callable[[RemotePath], bool | None] | None = None
    unknown: Literal["keep", "copy"] = "keep"
    delete: bool = False
    max_delete: int | None = None
    filters: Filters = field(default_factory=Filters)

    def decide(self, local: Iterable[ComparedFile], tree: FileTree) -> SyncDecisions:
        """A decision for every file of either side, by path: make the target (seen from `direction`) equal to the
        source.

        A file on one side against a folder on the other is a conflict, and on a downlink a name that is unsafe, or that
        this disk may merge with another. The caller deletes last, only if nothing failed or was rejected (what a scan
        could not read looks deleted).
        """
        folder, takes = RemotePath(self.folder), None if self.filters.take_all else self.filters.takes
        local_files, listed_files = _LocalFiles(local, takes=takes), _ListedFiles(tree, folder, takes=takes)
        conflicts = _conflicts(local_files, listed_files, direction=self.direction)
        decisions = SyncDecisions()
        for path in sorted(chain(local_files, (path for path in listed_files if path not in local_files))):
            local_file, listed_file = local_files.get(path), listed_files.get(path)
            source = local_file if self.direction is Direction.UPLINK else listed_file
            action: SyncAction
            unlisted = tree.unknown_above(folder / path) if listed_file is None else None
            if path in conflicts:
                action, reason = "conflict", conflicts[path]
            elif unlisted is not None:
                action, reason = _not_listed(unlisted, direction=self.direction)
            elif source is None:
                action, reason = ("delete", _EXTRA) if self.delete else ("keep", f"{_EXTRA}; delete was not asked for")
            elif local_file is None or listed_file is None:
                action, reason = "copy", SyncReason.NEW
            else:
                action, reason = self._compare(local_file, listed_file)
            size = (source.size or 0) if source is not None and action == "copy" else 0
            compared = unlisted is None and reason not in (SyncReason.UNKNOWN_CONTENT, SyncReason.NO_SIZE)
            decisions.append(path, action, reason, size=size, compared=compared)
        return _within_limit(decisions, self.max_delete)

    def _compare(self, local: FileEntry, listed: FileEntry) -> tuple[Literal["copy", "keep"], str]:
        if listed.size is None:
            return "copy", SyncReason.NO_SIZE
        if local.size != listed.size:
            return "copy", SyncReason.SIZE_DIFFERS
        if self.tags_confirmed and local.content_tag is not None and listed.content_tag is not None:
            same = local.content_tag == listed.content_tag
            return ("keep", SyncReason.SAME_CONTENT) if same else ("copy", SyncReason.CONTENT_DIFFERS)
        unchanged = self.known(local.path) if self.known is not None else None
        if unchanged is None:
            return self.unknown, SyncReason.UNKNOWN_CONTENT
        return ("keep", SyncReason.UNCHANGED_SINCE) if unchanged else ("copy", SyncReason.CHANGED_SINCE)


Takes = Callable[[RemotePath], bool]


class _Side(Protocol):
    """The files of one side by their paths below the synced folder; an entry of each is made when it is asked for."""

    def __iter__(self) -> Iterator[RemotePath]: ...
    def __contains__(self, path: object) -> bool: ...
    def get(self, path: RemotePath) -> FileEntry | None: ...


class _LocalFiles:
    """The files of a scan, filters applied."""

    def __init__(self, local: Iterable[ComparedFile], *, takes: Takes | None) -> None:
        self._files = FileTable.from_entries(
            FileEntry(path=file.path, size=file.size, content_tag=file.tag)
            for file in local
            if takes is None or takes(file.path)
        )

    def __iter__(self) -> Iterator[RemotePath]:
        return self._files.paths()

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._files.get(path) is not None

    def get(self, path: RemotePath) -> FileEntry | None:
        return self._files.get(path)


class _ListedFiles:
    """The files of a folder in the listing, filters applied. The paths of the entries are those in the listing."""

    def __init__(self, tree: FileTree, folder: RemotePath, *, takes: Takes | None) -> None:
        self._tree, self._folder, self._takes = tree, folder, takes

    def __iter__(self) -> Iterator[RemotePath]:
        start, takes = len(self._folder) + 1 if self._folder else 0, self._takes
        for full in self._tree.table.paths_below(self._folder):
            path = RemotePath(full[start:]) if start else full
            if takes is None or takes(path):
                yield path

    def __contains__(self, path: object) -> bool:
        return isinstance(path, RemotePath) and self.get(path) is not None

    def get(self, path: RemotePath) -> FileEntry | None:
        if self._takes is not None and not self._takes(path):
            return None
        return self._tree.table.get(self._folder / path)


def _not_listed(folder: RemotePath, *, direction: Direction) -> tuple[Literal["copy", "keep"], str]:
    """What to do with a local file of which the EM's listing does not say whether it is listed_files."""
    where = safe(folder) if folder else "the volume"
    action: Literal["copy", "keep"] = "copy" if direction is Direction.UPLINK else "keep"
    return action, f"the listing does not give the contents of {where}"


def _conflicts(local_files: _Side, listed_files: _Side, *, direction: Direction) -> dict[RemotePath, str]:
    """The paths about which nothing can be done, each with the reason."""
    conflicts: dict[RemotePath, str] = {}
    sides = ((local_files, listed_files, "here", "on the EM"), (listed_files, local_files, "on the EM", "here"))
    for files, others, where, elsewhere in sides:
        needed = folders_above(others)
        clashing = [path for path in files if path in needed]
        for path in clashing:
            conflicts[path] = f"it is a folder {elsewhere}"
        blocked = frozenset(clashing)
        for other in others if blocked else ():
            if blocker := next((folder for folder in _above(other) if folder in blocked), None):
                conflicts[other] = f"{safe(blocker)} is a file {where}"
    if direction is Direction.DOWNLINK:
        unsaveable = _unsaveable(local_files, listed_files)
        conflicts |= {path: reason for path, reason in unsaveable if path not in conflicts}
    return conflicts


def _above(path: RemotePath) -> Iterator[RemotePath]:
    while path := path.parent:
        yield path


def _unsaveable(local_files: _Side, listed_files: _Side) -> Iterator[tuple[RemotePath, str]]:
    """The listed files that cannot be saved on this machine under their names, with the reason."""

    def new() -> Iterator[RemotePath]:
        return (path for path in listed_files if path not in local_files)

    if next(new(), None) is None:
        return
    hashes = Hashes()
    deque(hashes.passing(map(case_fold_key, chain(local_files, new()))), maxlen=0)
    suspects = frozenset(hashes.suspects())
    first: dict[str, RemotePath] = {}  # the local file comes first
    for position, path in enumerate(chain(local_files, new())):
        if path not in local_files:
            try:
                local_parts(path)
            except UnsafePathError as error:
                yield path, f"the name {error.reason}"
                continue
        if position not in suspects:
            continue
        other = first.setdefault(case_fold_key(path), path)
        if other != path and path not in local_files:
            yield path, f"differs only by case or accents from {safe(other)}"


def _within_limit(decisions: SyncDecisions, max_delete: int | None) -> SyncDecisions:
    deletes = 0 if max_delete is None else sum(1 for _ in decisions.paths_to("delete"))
    if max_delete is None or deletes <= max_delete:
        return decisions
    why = f"{deletes:,} deletions are more than the {max_delete:,} allowed"
    return SyncDecisions(without_deletions(decisions, why))


def without_deletions(decisions: Iterable[SyncDecision], why: str) -> Iterator[SyncDecision]:
    """`decisions` with a conflict in the place of each deletion."""
    reason = f"{_EXTRA}; {why}, so there are none"
    for decision in decisions:
        yield replace(decision, action="conflict", reason=reason) if decision.action == "delete" else decision
