"""Both sides of a sync before anything moves: the scan of the local folder, and the EM's listing.

Scans and lists at once, checks that both are folders, sums up both, and computes content tags of local files. What
differs is decided in `planning.diff`. Must not import engine or sync.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import anyio

from emasync.disk import Digest, FileExecutor, RootGuard, digest_file
from emasync.errors import EMError, NotFoundError, ProtocolError
from emasync.model import Direction, FileEntry, FileTree, RemotePath, SyncDecisions, SyncSummary, safe
from emasync.transfer.context import TransferRun
from emasync.transfer.limits import OpenFileLimiter
from emasync.transfer.options import TransferOptions
from emasync.transfer.planning.plan import LocalFile, check_no_parent
from emasync.transfer.planning.scan import Scan, scan, scan_folder
from emasync.transfer.state.hash_cache import Digests, HashCache, Hashed, open_hash_cache
from emasync.transfer.worker_pool import WorkerPool

_log = logging.getLogger("emasync")
_READERS = 4
_BATCH = 2000  # files between two writes to the cache: what a killed run may have to read again


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides of a sync before anything moves: `scan` of the folder `local_dir`, listing `tree` of the volume, in
    which the folder is `remote_dir`."""

    local_dir: Path
    remote_dir: RemotePath
    direction: Direction
    scan: Scan
    tree: FileTree

    def entry(self, path: RemotePath) -> FileEntry | None:
        """The listed file at `path` below the synced folder."""
        return self.tree.get(self.remote_dir / path)

    @property
    def remote(self) -> Iterator[FileEntry]:
        """The files of the EM's side, filters applied."""
        start = len(self.remote_dir) + 1 if self.remote_dir else 0
        takes = self.scan.filters.takes
        return (entry for entry in self.tree.below(self.remote_dir) if takes(RemotePath(entry.path[start:])))

    def same_size(self) -> Sequence[LocalFile]:
        """The local files that are on the EM with the same size: only content tells these apart."""

        def same(file: LocalFile) -> bool:
            entry = self.entry(file.relative)
            return entry is not None and entry.size == file.fingerprint.size

        return self.scan.found.where(same)


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


def check_no_file(tree: FileTree, remote_dir: RemotePath) -> None:
    """ValueError if a file of the EM is where a sync needs a folder."""
    path = remote_dir
    while path:
        if path in tree:
            raise ValueError(f"{safe(path)} is a file on the EM, where a folder is meant: up and down move files")
        path = path.parent


def check_is_folder(tree: FileTree, remote_dir: RemotePath) -> None:
    """NotFoundError if there is no such folder on the EM, ProtocolError if the listing does not tell."""
    unlisted = remote_dir if remote_dir in tree.unknown_folders else tree.unknown_above(remote_dir)
    if unlisted is not None:
        raise unlisted_error(unlisted)
    if not tree.is_folder(remote_dir):
        near = get_close_matches(remote_dir, tree.folders, n=1)
        hint = f"; there is {safe(near[0])}" if near else ""
        raise NotFoundError(f"there is no folder {safe(remote_dir)} on the EM{hint}; `emasync ls` shows what is there")


def unlisted_error(folder: RemotePath) -> ProtocolError:
    """The error for a folder whose contents the listing does not give."""
    where = safe(folder) if folder else "the volume"
    return ProtocolError(
        f"the EM's listing does not give the contents of {where}: what is there is not known; try again"
    )


def scan_source(local_dir: Path, options: TransferOptions) -> Scan:
    """Scan what a sync up sends. NotFoundError if there is no such folder, ValueError if it is a file."""
    if not os.path.lexists(local_dir):
        raise NotFoundError(f"there is no folder {safe(local_dir)} here")
    _check_no_local_file(local_dir)
    return scan_folder(local_dir, filters=options.filters)


def scan_target(local_dir: Path, options: TransferOptions, *, root_guard: RootGuard) -> Scan:
    """Scan the target of a sync down; nothing where there is no folder yet. ValueError if it is a file."""
    if not os.path.lexists(local_dir):
        return scan([], filters=options.filters)
    _check_no_local_file(local_dir)
    with suppress(OSError):  # the scan says what is wrong with it
        root_guard.set(local_dir)  # files are saved and deleted later in the very folder that is scanned now
    return scan_folder(local_dir, filters=options.filters)


def _check_no_local_file(local_dir: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(local_dir.stat().st_mode)
    except OSError:
        return  # the scan says what is wrong with it
    if not is_folder:
        raise ValueError(f"{safe(local_dir)} is a file, where a folder is meant: up and down move files")


async def scan_and_list(run: TransferRun, scan: Callable[[], Scan]) -> tuple[Scan, FileTree]:
    """The local scan and a new listing; the disk is scanned while the EM, which may be slow, lists."""
    scans: list[Scan] = []
    trees: list[FileTree] = []
    failures: list[Exception] = []

    async def scan_local() -> None:
        scans.append(await run.context.threads.run(scan))

    async def list_remote() -> None:
        trees.append(await run.listing.fresh())

    async def first_failure(side: Callable[[], Awaitable[None]]) -> None:
        try:
            await side()
        except Exception as error:  # noqa: BLE001 - raised below: callers do not expect a group of two errors
            failures.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first_failure, scan_local)
        tasks.start_soon(first_failure, list_remote)
    if failures:
        raise failures[0]
    return scans[0], trees[0]


def summary_of(sides: Sides, decisions: SyncDecisions) -> SyncSummary:
    """What is about to be done, in numbers; all zero where nothing would be deleted."""
    to_delete = frozenset(decisions.paths_to("delete"))
    local = {file.relative: file.fingerprint.size for file in sides.scan.found} if to_delete else {}
    remote = {entry.path: entry.size or 0 for entry in sides.remote} if to_delete else {}
    up = sides.direction is Direction.UPLINK
    source, target = (local, remote) if up else (remote, local)
    deleted = [remote.get(sides.remote_dir / path, 0) if up else local.get(path, 0) for path in to_delete]
    filtered = len(sides.tree.below(sides.remote_dir)) - len(remote) if to_delete else 0
    copied = [decision.bytes for decision in decisions if decision.action == "copy"]
    return SyncSummary(
        side="remote" if up else "local",
        delete_files=len(deleted),
        delete_bytes=sum(deleted),
        copy_files=len(copied),
        copy_bytes=sum(copied),
        source_files=len(source),
        source_bytes=sum(source.values()),
        target_files=len(target),
        target_bytes=sum(target.values()),
        source_excluded=sides.scan.excluded if up else filtered,
    )


async def content_tags(
    files: Sequence[LocalFile], *, threads: FileExecutor, cache: Path | None
) -> dict[RemotePath, int]:
    """The tag of each file by its relative path; files that cannot be read, or change meanwhile, are left out.

    `cache` is the path of the hash cache, None for none. Cancelled, it keeps what it has read.
    """
    async with AsyncExitStack() as stack:
        store = await _opened(cache, stack) if cache is not None else None
        known: dict[str, Digests] = {}
        if store is not None:
            known = await store.get_many((_absolute(file), file.fingerprint) for file in files)
        tags: dict[RemotePath, int] = {}
        unread: list[LocalFile] = []
        for file in files:
            if (digests := known.get(_absolute(file))) is not None:
                tags[file.relative] = digests.tag
            else:
                unread.append(file)
        reader = _TagReader(threads)
        for start in range(0, len(unread), _BATCH):
            await WorkerPool().run(unread[start : start + _BATCH], reader.read, workers=_READERS)
            if store is not None:
                await store.put_many(reader.take_hashed())
        return tags | reader.tags


async def _opened(cache: Path, stack: AsyncExitStack) -> HashCache | None:
    """The cache; None where it can be neither read nor made, which costs time and is no reason to fail."""
    try:
        return await stack.enter_async_context(open_hash_cache(cache))
    except (OSError, ValueError) as error:
        _log.info("no hash cache, files are read again: %s", error)
        return None


class _TagReader:
    """Reads local files for their content tags."""

    def __init__(self, threads: FileExecutor) -> None:
        self.tags: dict[RemotePath, int] = {}
        self._threads = threads
        self._open_files = OpenFileLimiter(lambda _: None)  # not the transfer's: what is read is not moved yet
        self._hashed: list[Hashed] = []

    async def read(self, file: LocalFile) -> None:
        """Read `file`; without a result if it cannot be read, or has changed."""
        started_ns = time.time_ns()
        digest = await self._open_files.run(lambda: self._digest(file), shortage=_failure)
        if isinstance(digest, Exception) or digest.size != file.fingerprint.size:
            return
        self.tags[file.relative] = digest.tag
        digests = Digests(sha256=digest.sha256, tag=digest.tag)
        self._hashed.append(
            Hashed(path=Path(_absolute(file)), facts=file.fingerprint, digests=digests, started_ns=started_ns)
        )

    def take_hashed(self) -> list[Hashed]:
        """What was read since the last call."""
        hashed, self._hashed = self._hashed, []
        return hashed

    async def _digest(self, file: LocalFile) -> Digest | Exception:
        try:
            return await self._threads.run(digest_file, file.local_path)
        except (OSError, EMError) as error:
            return error


def _failure(result: Digest | Exception) -> Exception | None:
    return result if isinstance(result, Exception) else None


def _absolute(file: LocalFile) -> str:
    return os.path.join(os.getcwd(), file.local_path)  # noqa: PTH109, PTH118 - as text: there may be very many
