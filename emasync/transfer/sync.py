"""Making one side equal to the other: one listing, one comparison, then only what differs moves.

Owns: `sync_up` and `sync_down`, and what is known of both sides before anything moves. May import everything in this
room.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import anyio

from emasync.disk import Pin, Unchanged
from emasync.errors import EMError, NotFoundError, ProtocolError
from emasync.model import (
    Direction,
    FileEntry,
    FileTree,
    Outcome,
    OutcomeState,
    RemotePath,
    SyncDecision,
    SyncDecisions,
    SyncSummary,
    Verified,
    safe,
)
from emasync.transfer.compare import SAME_CONTENT, UNKNOWN_CONTENT, LocalFile, compare, without_deletions
from emasync.transfer.deletion import Confirm, Deletion, agree
from emasync.transfer.digests import content_tags
from emasync.transfer.engine import Run, plan_scan, transfer
from emasync.transfer.filters import Filters
from emasync.transfer.link import Link, Options
from emasync.transfer.plan import DownlinkItem, DownlinkPlan, Found, Refused, prefix
from emasync.transfer.resume import Action, resume_action
from emasync.transfer.sources import Scan, scan, scan_folder
from emasync.transfer.tag_compatibility import TagState
from emasync.transfer.tag_probe import probe_tags
from emasync.transfer.transfer import Transfer

_ENOUGH = 2  # files to read: with fewer of the same size, others of the volume tell how tags are made as well
_FALL_BACK = (
    "this server's content tags follow another rule than the known one: files of the same size count as equal, "
    "unless the journal knows better"
)
_NOT_COMPARED = (
    "{} files of equal size could not be compared by content, since whether this server's content tags follow the "
    "known rule could not be found out: they are transferred; verify='size' (--verify size) goes by sizes alone"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """What a sync may do beyond copying. `max_delete` None is no bound. `confirm` is asked before files are deleted;
    without it an empty source deletes nothing unless `allow_empty_source`. `missing_ok`: a sync up makes its folder."""

    delete: bool = False
    dry_run: bool = False
    max_delete: int | None = None
    allow_empty_source: bool = False
    confirm: Confirm | None = None
    missing_ok: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
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

    def same_size(self) -> Sequence[Found]:
        """The local files that are on the EM with the same size: only content tells these apart."""

        def same(one: Found) -> bool:
            entry = self.tree.get(self.there / one.relative)
            return entry is not None and entry.size == one.fingerprint.size

        return self.found.found.where(same)


def sync_up(link: Link, local: str | Path, remote: str, *, options: Options, sync: SyncOptions) -> Transfer:
    """The Transfer behind `Client.sync_up`."""
    here, there = Path(local), RemotePath(remote)

    async def job(run: Run) -> None:
        found, tree = await _both_sides(run, partial(_scan_source, here, options))
        _check_folder(tree, there)
        if not sync.missing_ok:
            _check_there(tree, there)
        sides = _Sides(here=here, there=there, direction=Direction.UPLINK, found=found, tree=tree)
        decisions = await _decide(run, sides, sync=sync)
        plan = plan_scan(run.link, found, dest=there, only=decisions.paths_to("copy"))
        if sync.dry_run:
            await run.refuse(plan, Direction.UPLINK)
            return
        await agree(_summary(sides, decisions), allow_empty_source=sync.allow_empty_source, confirm=sync.confirm)
        if unknown := tree.unknown_below(there):
            named = ", ".join(safe(folder) for folder in unknown[:3])
            run.roster.note(f"the listing does not give the contents of {named}: nothing there is compared or deleted")
        await _settle_still(run, sides, decisions)
        deletion = _deletion(run, sides, decisions)
        deletion.register()
        await run.send(plan)
        await deletion.carry_out()

    return transfer(link, options, Direction.UPLINK, job)


def sync_down(link: Link, remote: str, local: str | Path, *, options: Options, sync: SyncOptions) -> Transfer:
    """The Transfer behind `Client.sync_down`."""
    here, there = Path(local), RemotePath(remote)

    async def job(run: Run) -> None:
        found, tree = await _both_sides(run, partial(_scan_if_there, here, options, pin=run.pin))
        _check_folder(tree, there)
        _check_there(tree, there)
        sides = _Sides(here=here, there=there, direction=Direction.DOWNLINK, found=found, tree=tree)
        decisions = await _decide(run, sides, sync=sync)
        refused = (*(_inside(one, here, there) for one in found.refused), *_unlisted(tree, there))
        if sync.dry_run:
            nothing = DownlinkPlan(items=(), refused=refused, notes=found.notes)
            await run.refuse(nothing, Direction.DOWNLINK, into=here)
            return
        await agree(_summary(sides, decisions), allow_empty_source=sync.allow_empty_source, confirm=sync.confirm)
        await _settle_still(run, sides, decisions)
        deletion = _deletion(run, sides, decisions)
        deletion.register()
        items = _items_down(sides, decisions)
        await run.fetch(DownlinkPlan(items=items, refused=refused, notes=found.notes), into=here)
        await deletion.carry_out()

    return transfer(link, options, Direction.DOWNLINK, job)


def _items_down(sides: _Sides, decisions: Iterable[SyncDecision]) -> tuple[DownlinkItem, ...]:
    """What a sync down fetches, the largest first; each replaces only the file that was compared."""
    moving = {one.path for one in decisions if one.action == "copy"}
    seen = {one.relative: one.fingerprint for one in sides.found.found if one.relative in moving}
    items = [
        DownlinkItem(
            remote=sides.there / path,
            place=path,
            entry=sides.tree.get(sides.there / path),
            unchanged=Unchanged(fingerprint=seen.get(path)),
        )
        for path in moving
    ]
    return tuple(sorted(items, key=lambda item: (-item.bytes, item.remote)))


def _deletion(run: Run, sides: _Sides, decisions: Sequence[SyncDecision]) -> Deletion:
    deleting = {one.path for one in decisions if one.action == "delete"}
    return Deletion(
        run=run,
        decisions=decisions,
        here=sides.here,
        there=sides.there,
        direction=sides.direction,
        tree=sides.tree,
        seen={one.relative: one.fingerprint for one in sides.found.found if one.relative in deleting},
    )


def _summary(sides: _Sides, decisions: SyncDecisions) -> SyncSummary:
    """What is about to be done, in numbers; all zero where nothing would be deleted."""
    deleting = frozenset(decisions.paths_to("delete"))
    local = {one.relative: one.fingerprint.size for one in sides.found.found} if deleting else {}
    remote = {one.path: one.size or 0 for one in sides.remote} if deleting else {}
    up = sides.direction is Direction.UPLINK
    source, target = (local, remote) if up else (remote, local)
    doomed = [remote.get(sides.there / path, 0) if up else local.get(path, 0) for path in deleting]
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
    )


def _check_folder(tree: FileTree, there: RemotePath) -> None:
    """ValueError if a file of the EM is where a sync needs a folder."""
    path = there
    while path:
        if path in tree:
            raise ValueError(
                f"{safe(path)} is a file on the EM, and a sync takes folders: up and down move single files"
            )
        path = path.parent


def _check_there(tree: FileTree, there: RemotePath) -> None:
    """NotFoundError if there is no such folder on the EM, ProtocolError if the listing does not tell."""
    unlisted = there if there in tree.unknown_folders else tree.unknown_above(there)
    if unlisted is not None:
        raise _not_given(unlisted)
    if not tree.is_folder(there):
        near = get_close_matches(there, tree.folders, n=1)
        hint = f"; there is {safe(near[0])}" if near else ""
        raise NotFoundError(f"there is no folder {safe(there)} on the EM{hint}; `emasync ls` shows what is there")


def _unlisted(tree: FileTree, there: RemotePath) -> Iterator[Refused]:
    """The folders inside `there` of which the listing does not say what is in them: their files cannot come down."""
    for folder in tree.unknown_below(there):
        yield Refused(remote=folder, local=Path(folder.relative_to(there)), error=_not_given(folder))


def _not_given(folder: RemotePath) -> ProtocolError:
    where = safe(folder) if folder else "the volume"
    return ProtocolError(
        f"the EM's listing does not give the contents of {where}: what is there is not known; try again"
    )


def _inside(one: Refused, here: Path, there: RemotePath) -> Refused:
    """What a scan of `here` refused, as a downlink into it names it."""
    local = one.local
    if local is not None and local.is_relative_to(here):
        local = local.relative_to(here)
    return replace(one, local=local, remote=there / one.remote)


def _scan(here: Path, options: Options) -> Scan:
    return scan_folder(here, filters=Filters(include=tuple(options.include), exclude=tuple(options.exclude)))


def _scan_source(here: Path, options: Options) -> Scan:
    """What is to go up. NotFoundError if there is no such folder, ValueError if it is a file."""
    if not os.path.lexists(here):
        raise NotFoundError(f"there is no folder {safe(here)} here")
    _check_local(here)
    return _scan(here, options)


def _scan_if_there(here: Path, options: Options, *, pin: Pin) -> Scan:
    """What is where files are to come down; nothing where there is no folder yet. ValueError if it is a file."""
    if os.path.lexists(here):
        _check_local(here)
        with suppress(OSError):  # the scan says what is wrong with it
            pin.set(here)  # what is saved and deleted later is so in the folder that is looked at now
        return _scan(here, options)
    return scan([], filters=Filters(include=tuple(options.include), exclude=tuple(options.exclude)))


def _check_local(here: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(here.stat().st_mode)
    except OSError:
        return  # the scan says what is wrong with it
    if not is_folder:
        raise ValueError(f"{safe(here)} is a file, and a sync takes folders: up and down move single files")


async def _both_sides(run: Run, look: Callable[[], Scan]) -> tuple[Scan, FileTree]:
    """What is here and what is there; the disk is walked while the EM, which may be slow, lists."""
    scans: list[Scan] = []
    trees: list[FileTree] = []
    failures: list[Exception] = []

    async def here() -> None:
        scans.append(await run.link.threads.run(look))

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


async def _decide(run: Run, sides: _Sides, *, sync: SyncOptions) -> SyncDecisions:
    same_size = sides.same_size()
    tags = await _known_tags(run, sides, same_size)
    learned = run.link.tags
    if same_size and learned.incompatible and run.options.verify == "content":
        run.roster.note(_FALL_BACK)
    by_content = run.options.verify == "content" and not learned.incompatible
    found = sides.found
    decisions = compare(
        (LocalFile(path=one.relative, size=one.fingerprint.size, tag=tags.get(one.relative)) for one in found.found),
        sides.tree,
        direction=sides.direction,
        folder=sides.there,
        tags_confirmed=learned.confirmed,
        known=await _journal_says(run, sides, same_size),
        unknown="copy" if by_content else "keep",
        delete=sync.delete,
        max_delete=sync.max_delete,
        filters=found.filters,
    )
    not_compared = decisions.to_move(UNKNOWN_CONTENT)
    if not_compared:
        run.roster.note(_NOT_COMPARED.format(f"{not_compared:,}"))
    unreadable = {one.remote for one in found.refused}  # settled as that: a file has one end
    plan = SyncDecisions(one for one in decisions if one.path not in unreadable) if unreadable else decisions
    if sync.dry_run and not sync.allow_empty_source and _summary(sides, plan).empties:
        why = "the source has no files, and deletions then need allow_empty_source (--allow-empty-source)"
        plan = SyncDecisions(without_deletions(plan, why))
    run.results.plan = plan
    return plan


async def _known_tags(run: Run, sides: _Sides, files: Sequence[Found]) -> dict[RemotePath, int]:
    """Tags of the local files that only content can tell apart; the server's rule is found out on the way."""
    learned = run.link.tags
    if not files or learned.incompatible or run.options.verify != "content":
        return {}
    settings = run.link.settings
    cache = settings.state_dir / "hashes.sqlite3" if settings.state_dir is not None else None
    tags = await content_tags(files, threads=run.link.threads, cache=cache)
    if learned.state is not TagState.UNKNOWN:
        return tags
    entries = {relative: sides.tree[sides.there / relative] for relative in tags}
    if any(entries[relative].content_tag == tag and entries[relative].size for relative, tag in tags.items()):
        learned.match()
    else:  # either every file differs, or the rule does: small files of known bytes tell which
        others = sides.tree if len(entries) < _ENOUGH else entries.values()
        await probe_tags(run.link, others, account=run.account, relist=run.listing.fresh)
    return tags


async def _journal_says(run: Run, sides: _Sides, files: Sequence[Found]) -> Callable[[RemotePath], bool | None]:
    """What the journal knows of files that tags cannot tell apart: moved by us and unchanged since, or not."""
    learned = run.link.tags
    if learned.confirmed:
        return lambda path: None
    rows = await run.ledger.recall((sides.there / one.relative, one.place) for one in files)
    facts = {one.relative: one.fingerprint for one in files}
    by_size = run.options.verify != "content"

    def known(path: RemotePath) -> bool | None:
        row = rows.get(sides.there / path)
        if row is None:
            return None
        resume = resume_action(
            row,
            direction=sides.direction,
            current=facts.get(path),
            listed=sides.tree.get(sides.there / path),
            tags=learned.state,
            by_size=by_size,
        )
        if resume.action is Action.KEEP:
            return True
        return False if by_size or learned.incompatible else None

    return known


async def _settle_still(run: Run, sides: _Sides, decisions: Iterable[SyncDecision]) -> None:
    """Settle the files that stay as they are, and those that nothing can be done about."""
    before = prefix(sides.here)

    def outcome(one: SyncDecision) -> Outcome:
        conflict, path = one.action == "conflict", sides.there / one.path
        return Outcome(
            path=path,
            place=before + one.path,
            direction=sides.direction,
            state=OutcomeState.FAILED if conflict else OutcomeState.SKIPPED,
            verified=Verified.TAG if one.reason == SAME_CONTENT else Verified.NONE,
            reason=None if conflict else one.reason,
            error=EMError(f"{safe(path)}: {one.reason}") if conflict else None,
        )

    await run.roster.refuse(outcome(one) for one in decisions if one.action in ("keep", "conflict"))
