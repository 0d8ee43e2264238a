"""Both sides of a sync as they are seen before anything moves: the folder here, and the one in the EM's listing.

Owns: looking at both at once, what must be a folder and what must be there, and the sums of both. May import engine,
plan, sources, disk and below. What differs is decided in `compare`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import anyio

from emasync.disk import RootGuard
from emasync.errors import NotFoundError, ProtocolError
from emasync.model import Direction, FileEntry, FileTree, RemotePath, SyncDecisions, SyncSummary, safe
from emasync.transfer.options import TransferOptions
from emasync.transfer.planning.plan import LocalFile, check_no_parent
from emasync.transfer.planning.scan import Scan, scan, scan_folder
from emasync.transfer.run import TransferRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides of a sync as they were seen: the local scan and the listing, in the order of nothing else."""

    here: Path
    there: RemotePath
    direction: Direction
    found: Scan
    tree: FileTree

    @property
    def remote(self) -> Iterator[FileEntry]:
        """The files of the EM's side, filters applied."""
        start = len(self.there) + 1 if self.there else 0
        takes = self.found.filters.takes
        return (one for one in self.tree.below(self.there) if takes(RemotePath(one.path[start:])))

    def same_size(self) -> Sequence[LocalFile]:
        """The local files that are on the EM with the same size: only content tells these apart."""

        def same(one: LocalFile) -> bool:
            entry = self.tree.get(self.there / one.relative)
            return entry is not None and entry.size == one.fingerprint.size

        return self.found.found.where(same)


def local_folder(local: str | Path) -> Path:
    """`local` as a path. ValueError for an empty one, which a shell makes of an unset variable."""
    if isinstance(local, str) and not local:
        raise ValueError("an empty path is no folder; write . for the current one")
    return Path(local)


def remote_folder(remote: str) -> RemotePath:
    """`remote` in normal form. ValueError for one that leads out of its folder: no listing has such a path."""
    path = RemotePath(remote)
    check_no_parent(path)
    return path


def check_no_file(tree: FileTree, there: RemotePath) -> None:
    """ValueError if a file of the EM is where a sync needs a folder."""
    path = there
    while path:
        if path in tree:
            raise ValueError(f"{safe(path)} is a file on the EM, where a folder is meant: up and down move files")
        path = path.parent


def check_there(tree: FileTree, there: RemotePath) -> None:
    """NotFoundError if there is no such folder on the EM, ProtocolError if the listing does not tell."""
    unlisted = there if there in tree.unknown_folders else tree.unknown_above(there)
    if unlisted is not None:
        raise not_given(unlisted)
    if not tree.is_folder(there):
        near = get_close_matches(there, tree.folders, n=1)
        hint = f"; there is {safe(near[0])}" if near else ""
        raise NotFoundError(f"there is no folder {safe(there)} on the EM{hint}; `emasync ls` shows what is there")


def not_given(folder: RemotePath) -> ProtocolError:
    where = safe(folder) if folder else "the volume"
    return ProtocolError(
        f"the EM's listing does not give the contents of {where}: what is there is not known; try again"
    )


def _scan(here: Path, options: TransferOptions) -> Scan:
    return scan_folder(here, filters=options.filters)


def scan_source(here: Path, options: TransferOptions) -> Scan:
    """What is to go up. NotFoundError if there is no such folder, ValueError if it is a file."""
    if not os.path.lexists(here):
        raise NotFoundError(f"there is no folder {safe(here)} here")
    _check_local(here)
    return _scan(here, options)


def scan_if_there(here: Path, options: TransferOptions, *, pin: RootGuard) -> Scan:
    """What is where files are to come down; nothing where there is no folder yet. ValueError if it is a file."""
    if os.path.lexists(here):
        _check_local(here)
        with suppress(OSError):  # the scan says what is wrong with it
            pin.set(here)  # what is saved and deleted later is so in the folder that is looked at now
        return _scan(here, options)
    return scan([], filters=options.filters)


def _check_local(here: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(here.stat().st_mode)
    except OSError:
        return  # the scan says what is wrong with it
    if not is_folder:
        raise ValueError(f"{safe(here)} is a file, where a folder is meant: up and down move files")


async def look_at_both(run: TransferRun, look: Callable[[], Scan]) -> tuple[Scan, FileTree]:
    """What is here and what is there; the disk is walked while the EM, which may be slow, lists."""
    scans: list[Scan] = []
    trees: list[FileTree] = []
    failures: list[Exception] = []

    async def here() -> None:
        scans.append(await run.context.threads.run(look))

    async def there() -> None:
        trees.append(await run.listing.fresh())

    async def one(side: Callable[[], Awaitable[None]]) -> None:
        try:
            await side()
        except Exception as error:  # noqa: BLE001 - raised below: a group of two errors is none that callers know
            failures.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, here)
        tasks.start_soon(one, there)
    if failures:
        raise failures[0]
    return scans[0], trees[0]


def summary_of(sides: Sides, decisions: SyncDecisions) -> SyncSummary:
    """What is about to be done, in numbers; all zero where nothing would be deleted."""
    deleting = frozenset(decisions.paths_to("delete"))
    local = {one.relative: one.fingerprint.size for one in sides.found.found} if deleting else {}
    remote = {one.path: one.size or 0 for one in sides.remote} if deleting else {}
    up = sides.direction is Direction.UPLINK
    source, target = (local, remote) if up else (remote, local)
    doomed = [remote.get(sides.there / path, 0) if up else local.get(path, 0) for path in deleting]
    left_out = sides.found.excluded if up else len(sides.tree.below(sides.there)) - len(remote) if deleting else 0
    copies = [one.bytes for one in decisions if one.action == "copy"]
    return SyncSummary(
        side="remote" if up else "local",
        delete_files=len(doomed),
        delete_bytes=sum(doomed),
        copy_files=len(copies),
        copy_bytes=sum(copies),
        source_files=len(source),
        source_bytes=sum(source.values()),
        target_files=len(target),
        target_bytes=sum(target.values()),
        source_excluded=left_out,
    )
