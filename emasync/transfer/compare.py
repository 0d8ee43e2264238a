"""What a sync has to do: two sides compared file by file, with the reason for each decision.

Owns: when two files count as the same, and what may be deleted. May import model, errors and the rules for names.
Pure: no I/O, no event loop. Whether the server's tags are to be believed, and what a journal knows, is told to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from emasync.disk.names import local_parts, twin_key
from emasync.errors import UnsafePathError
from emasync.model import Direction, FileEntry, FileTree, RemotePath, SyncAction, SyncDecision, safe
from emasync.transfer.collisions import folders_above
from emasync.transfer.filters import Filters

_EXTRA = "not at the source"
SAME_CONTENT = "same content"
"""The reason of files whose tags are equal."""
UNKNOWN_CONTENT = "same size, content unknown"
"""The reason of files that nothing tells apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file here: its path below the synced folder, size in bytes, and content tag where it was computed."""

    path: RemotePath
    size: int
    tag: int | None = None


def compare(
    local: Iterable[LocalFile],
    tree: FileTree,
    *,
    direction: Direction,
    folder: str = "",
    tags_confirmed: bool = False,
    known: Callable[[RemotePath], bool | None] | None = None,
    unknown: Literal["keep", "copy"] = "keep",
    delete: bool = False,
    max_delete: int | None = None,
    filters: Filters | None = None,
) -> tuple[SyncDecision, ...]:
    """A decision for every file of either side, by path: make the target (seen from `direction`) equal to the source.

    Files of the same size are told apart by content tag if `tags_confirmed` (the server was seen to compute tags as
    `emasync.wire.content_tag` does) and both have one. Otherwise `known(path)` decides: True, what we last moved is
    still on both sides; False, one side has changed since; None, never moved. For None `unknown` decides: `keep`
    trusts the size (the reason says so), `copy` does not.

    Files that only the target has are deleted if `delete`, but for those of which the listing does not know whether the
    source has them (`FileTree.is_known`); more than `max_delete` of them are a conflict each, and nothing is deleted.
    The caller deletes last, only if nothing failed or was refused (what a scan could not read looks deleted). What
    `filters` leave out is no part of either side. A file here against a folder there, and on a downlink a name that is
    unsafe or one that this disk may merge with another, is a conflict.
    """
    sieve, top = filters or Filters(), RemotePath(folder)
    here = {file.path: file for file in local}
    there = dict(_relative(tree, top))
    if not sieve.take_all:
        here = {path: file for path, file in here.items() if sieve.takes(path)}
        there = {path: entry for path, entry in there.items() if sieve.takes(path)}
    conflicts = _conflicts(here, there, direction=direction)
    decisions: list[SyncDecision] = []
    for path in sorted({**here, **there}):
        mine, theirs = here.get(path), there.get(path)
        source = mine if direction is Direction.UPLINK else theirs
        action: SyncAction
        if path in conflicts:
            action, reason = "conflict", conflicts[path]
        elif theirs is None and (unlisted := tree.unknown_above(top / path)) is not None:
            action, reason = _not_listed(unlisted, direction=direction)
        elif source is None:
            action, reason = ("delete", _EXTRA) if delete else ("keep", f"{_EXTRA}; delete was not asked for")
        elif mine is None or theirs is None:
            action, reason = "copy", "new"
        else:
            action, reason = _differ(mine, theirs, tags_confirmed=tags_confirmed, known=known, unknown=unknown)
        size = (source.size or 0) if source is not None and action == "copy" else 0
        decisions.append(SyncDecision(path=path, action=action, reason=reason, bytes=size))
    return tuple(_guarded(decisions, max_delete))


def _relative(tree: FileTree, root: RemotePath) -> Iterator[tuple[RemotePath, FileEntry]]:
    start = len(root) + 1 if root else 0
    for entry in tree.below(root):
        yield RemotePath(entry.path[start:]), entry


def _not_listed(folder: RemotePath, *, direction: Direction) -> tuple[Literal["copy", "keep"], str]:
    """What to do with a local file of which the EM's listing does not say whether it is there."""
    where = safe(folder) if folder else "the volume"
    action: Literal["copy", "keep"] = "copy" if direction is Direction.UPLINK else "keep"
    return action, f"the listing does not give the contents of {where}"


def _differ(
    mine: LocalFile,
    theirs: FileEntry,
    *,
    tags_confirmed: bool,
    known: Callable[[RemotePath], bool | None] | None,
    unknown: Literal["keep", "copy"],
) -> tuple[Literal["copy", "keep"], str]:
    if theirs.size is None:
        return "copy", "the EM lists no size"
    if mine.size != theirs.size:
        return "copy", "size differs"
    if tags_confirmed and mine.tag is not None and theirs.content_tag is not None:
        return ("keep", SAME_CONTENT) if mine.tag == theirs.content_tag else ("copy", "content differs")
    verdict = known(mine.path) if known is not None else None
    if verdict is None:
        return unknown, UNKNOWN_CONTENT
    return ("keep", "same size, unchanged since moved") if verdict else ("copy", "same size, changed since moved")


def _conflicts(
    here: Mapping[RemotePath, LocalFile], there: Mapping[RemotePath, FileEntry], *, direction: Direction
) -> dict[RemotePath, str]:
    """Why nothing can be done about a path, for those of which that is so."""
    found: dict[RemotePath, str] = {}
    for files, others, side in ((here, there, "on the EM"), (there, here, "here")):
        needed = folders_above(others)
        clashing = [path for path in files if path in needed]
        for path in clashing:
            found[path] = f"it is a folder {side}"
        blocked = frozenset(clashing)
        for other in others if blocked else ():
            if blocker := next((folder for folder in _above(other) if folder in blocked), None):
                found[other] = f"{safe(blocker)} is a file {'here' if side == 'on the EM' else 'on the EM'}"
    if direction is Direction.DOWNLINK:
        found |= {path: reason for path, reason in _unsaveable(here, there) if path not in found}
    return found


def _above(path: RemotePath) -> Iterator[RemotePath]:
    while path := path.parent:
        yield path


def _unsaveable(here: Iterable[RemotePath], there: Iterable[RemotePath]) -> Iterator[tuple[RemotePath, str]]:
    """The files of the EM that must not be saved here under their names."""
    kept = set(here)
    new = [path for path in there if path not in kept]
    first = {twin_key(path): path for path in kept} if new else {}  # what is here keeps its place
    for path in new:
        try:
            local_parts(path)
        except UnsafePathError as error:
            yield path, f"the name {error.reason}"
            continue
        other = first.setdefault(twin_key(path), path)
        if other != path:
            yield path, f"differs only by case or accents from {safe(other)}"


def _guarded(decisions: list[SyncDecision], max_delete: int | None) -> Iterable[SyncDecision]:
    deletes = sum(1 for decision in decisions if decision.action == "delete")
    if max_delete is None or deletes <= max_delete:
        return decisions
    return without_deletions(decisions, f"{deletes:,} deletions are more than the {max_delete:,} allowed")


def without_deletions(decisions: Iterable[SyncDecision], why: str) -> Iterator[SyncDecision]:
    """`decisions` with a conflict in the place of each deletion."""
    reason = f"{_EXTRA}; {why}, so there are none"
    for decision in decisions:
        yield replace(decision, action="conflict", reason=reason) if decision.action == "delete" else decision
