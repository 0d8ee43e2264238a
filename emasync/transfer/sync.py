"""Making one side equal to the other: one listing, one comparison, then only what differs moves.

Owns: `sync_up` and `sync_down`, the proof of this server's tags, and deletions. May import everything in this room.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio

from emasync.caller import Account
from emasync.disk import Pin, remove_file
from emasync.errors import EMError, UnknownOutcomeError
from emasync.model import (
    Direction,
    FileEntry,
    FileTree,
    Outcome,
    OutcomeState,
    RemotePath,
    SyncDecision,
    Verified,
)
from emasync.transfer.compare import LocalFile, compare
from emasync.transfer.digests import content_tags
from emasync.transfer.engine import Run, plan_scan, transfer
from emasync.transfer.filters import Filters
from emasync.transfer.link import Link, Options
from emasync.transfer.plan import DownlinkItem, DownlinkPlan, Found, Refused, prefix
from emasync.transfer.proof import prove_by_reading
from emasync.transfer.resume import Action, resume_action
from emasync.transfer.sources import Scan, scan, scan_folder
from emasync.transfer.tags import TagTrust
from emasync.transfer.transfer import Transfer

_FALL_BACK = (
    "this server's content tags follow another rule than the known one: files of the same size count as equal, "
    "unless the journal knows better"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """What a sync may do beyond copying. `max_delete` None is no bound."""

    delete: bool = False
    dry_run: bool = False
    max_delete: int | None = None


def sync_up(link: Link, local: str | Path, remote: str, *, options: Options, sync: SyncOptions) -> Transfer:
    """The Transfer behind `Client.sync_up`."""
    here, there = Path(local), RemotePath(remote)

    async def job(run: Run) -> None:
        found, tree = await _both_sides(run, partial(_scan, here, options))
        decisions = await _decide(run, found, there, tree, direction=Direction.UPLINK, sync=sync)
        moving = {one.path for one in decisions if one.action == "copy"}
        plan = plan_scan(run.link, found, dest=there, only=moving)
        if sync.dry_run:
            await run.refuse(plan, Direction.UPLINK)
            return
        await _settle_still(run, decisions, here, there, Direction.UPLINK)
        _expect_doomed(run, decisions, here, there)
        await run.send(plan)
        await _delete(run, decisions, here, there, Direction.UPLINK)

    return transfer(link, options, Direction.UPLINK, job)


def sync_down(link: Link, remote: str, local: str | Path, *, options: Options, sync: SyncOptions) -> Transfer:
    """The Transfer behind `Client.sync_down`."""
    here, there = Path(local), RemotePath(remote)

    async def job(run: Run) -> None:
        found, tree = await _both_sides(run, partial(_scan_if_there, here, options, pin=run.pin))
        decisions = await _decide(run, found, there, tree, direction=Direction.DOWNLINK, sync=sync)
        refused = tuple(_inside(one, here, there) for one in found.refused)
        if sync.dry_run:
            nothing = DownlinkPlan(items=(), refused=refused, notes=found.notes)
            await run.refuse(nothing, Direction.DOWNLINK, into=here)
            return
        moving = [one.path for one in decisions if one.action == "copy"]
        items = [DownlinkItem(remote=there / one, place=one, entry=tree.get(there / one)) for one in moving]
        items.sort(key=lambda item: (-item.bytes, item.remote))
        await _settle_still(run, decisions, here, there, Direction.DOWNLINK)
        _expect_doomed(run, decisions, here, there)
        await run.fetch(DownlinkPlan(items=tuple(items), refused=refused, notes=found.notes), into=here)
        await _delete(run, decisions, here, there, Direction.DOWNLINK)

    return transfer(link, options, Direction.DOWNLINK, job)


def _inside(one: Refused, here: Path, there: RemotePath) -> Refused:
    """What a scan of `here` refused, as a downlink into it names it."""
    local = one.local
    if local is not None and local.is_relative_to(here):
        local = local.relative_to(here)
    return replace(one, local=local, remote=there / one.remote)


def _scan(here: Path, options: Options) -> Scan:
    filters = Filters(include=tuple(options.include), exclude=tuple(options.exclude))
    return scan_folder(here, filters=filters)


def _scan_if_there(here: Path, options: Options, *, pin: Pin) -> Scan:
    if here.exists():
        with suppress(OSError):  # the scan says what is wrong with it
            pin.set(here)  # what is saved and deleted later is so in the folder that is looked at now
        return _scan(here, options)
    filters = Filters(include=tuple(options.include), exclude=tuple(options.exclude))
    return scan([], filters=filters)


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


async def _decide(
    run: Run, found: Scan, there: RemotePath, tree: FileTree, *, direction: Direction, sync: SyncOptions
) -> Sequence[SyncDecision]:
    same_size = [
        one
        for one in found.found
        if (entry := tree.get(there / one.relative)) is not None and entry.size == one.fingerprint.size
    ]
    tags = await _known_tags(run, same_size, there, tree)
    if same_size and run.link.tags.refuted and run.options.verify == "content":
        run.roster.note(_FALL_BACK)
    decisions = compare(
        (LocalFile(path=one.relative, size=one.fingerprint.size, tag=tags.get(one.relative)) for one in found.found),
        tree,
        direction=direction,
        folder=there,
        tags_proven=run.link.tags.proven,
        known=await _journal_says(run, same_size, there, tree, direction),
        unknown="copy" if tags and run.link.tags.trust is TagTrust.OPEN and _tagged(same_size, there, tree) else "keep",
        delete=sync.delete,
        max_delete=sync.max_delete,
        filters=found.filters,
    )
    unreadable = {one.remote for one in found.refused}  # settled as that: a file has one end
    run.results.plan = tuple(one for one in decisions if one.path not in unreadable)
    return run.results.plan


def _tagged(files: Iterable[Found], there: RemotePath, tree: FileTree) -> bool:
    """Whether this server lists tags. None was right, and none could be proved wrong: the files may well differ."""
    return any(tree[there / one.relative].content_tag is not None for one in files)


async def _known_tags(run: Run, files: list[Found], there: RemotePath, tree: FileTree) -> dict[RemotePath, int]:
    """Tags of the local files that only content can tell apart; the server's rule is proved on the way."""
    trust = run.link.tags
    if not files or trust.refuted or run.options.verify != "content":
        return {}
    settings = run.link.settings
    cache = settings.state_dir / "hashes.sqlite3" if settings.state_dir is not None else None
    tags = await content_tags(files, threads=run.link.threads, cache=cache)
    if trust.trust is TagTrust.OPEN:
        for relative, tag in tags.items():
            if tree[there / relative].content_tag == tag:
                trust.learn(tag, tag)
                return tags
        await _prove_by_reading(run, files, there, tree)
    return tags


async def _prove_by_reading(run: Run, files: Iterable[Found], there: RemotePath, tree: FileTree) -> None:
    """No tag matches: either every file differs, or the rule does. One small file of known bytes tells which."""
    await prove_by_reading(run.link, (tree[there / one.relative] for one in files), account=run.account)


async def _journal_says(
    run: Run, files: list[Found], there: RemotePath, tree: FileTree, direction: Direction
) -> Callable[[RemotePath], bool | None]:
    """What the journal knows of files that tags cannot tell apart: moved by us and unchanged since, or not."""
    if run.link.tags.proven:
        return lambda path: None
    rows = await run.ledger.recall((there / one.relative, one.place) for one in files)
    facts = {one.relative: one.fingerprint for one in files}

    def known(path: RemotePath) -> bool | None:
        row = rows.get(there / path)
        if row is None:
            return None
        entry: FileEntry | None = tree.get(there / path)
        resume = resume_action(row, direction=direction, current=facts.get(path), listed=entry, tags_proven=False)
        return resume.action is Action.KEEP

    return known


async def _settle_still(
    run: Run, decisions: Iterable[SyncDecision], here: Path, there: RemotePath, direction: Direction
) -> None:
    """Settle the files that stay as they are, and those that nothing can be done about."""
    before = prefix(here)

    def outcome(one: SyncDecision) -> Outcome:
        conflict = one.action == "conflict"
        return Outcome(
            path=there / one.path,
            place=before + one.path,
            direction=direction,
            state=OutcomeState.FAILED if conflict else OutcomeState.SKIPPED,
            verified=Verified.TAG if one.reason == "same content" else Verified.NONE,
            reason=None if conflict else one.reason,
            error=EMError(f"{there / one.path}: {one.reason}") if conflict else None,
        )

    await run.roster.refuse(outcome(one) for one in decisions if one.action in ("keep", "conflict"))


def _doomed(decisions: Iterable[SyncDecision]) -> list[RemotePath]:
    return [one.path for one in decisions if one.action == "delete"]


def _expect_doomed(run: Run, decisions: Iterable[SyncDecision], here: Path, there: RemotePath) -> None:
    doomed = (DownlinkItem(remote=there / path, place=path) for path in _doomed(decisions))
    run.roster.expect(doomed, below=prefix(here))


async def _delete(
    run: Run, decisions: Iterable[SyncDecision], here: Path, there: RemotePath, direction: Direction
) -> None:
    """Delete what only the target has; last, and only if everything else went well."""
    doomed = _doomed(decisions)
    if doomed and not run.roster.all_good:
        run.roster.note(f"{len(doomed)} files were not deleted, because other files failed")
        skipped = (_deleted(path, here, there, direction, skipped=True) for path in doomed)
        await run.roster.refuse(skipped)
        return
    for path in doomed:
        error: Exception | None = None
        try:
            if direction is Direction.UPLINK:
                await _delete_there(run, there / path)
            else:
                await run.link.threads.run(partial(remove_file, here, path, pin=run.pin))
        except (EMError, OSError, ValueError) as failure:  # ValueError: a name that no request can carry
            error = failure
        await run.roster.refuse([_deleted(path, here, there, direction, error=error)])


async def _delete_there(run: Run, path: RemotePath) -> None:
    mine = Account(parent=run.account)
    try:
        await run.link.files.delete(path, account=mine)
    finally:
        if mine.requests:
            run.roster.sent([path])  # a deadline that cuts it off leaves it unknown; before, it has only failed


def _deleted(
    path: RemotePath,
    here: Path,
    there: RemotePath,
    direction: Direction,
    *,
    error: Exception | None = None,
    skipped: bool = False,
) -> Outcome:
    state, reason = OutcomeState.DONE, "deleted: not at the source"
    if skipped:
        state, reason = OutcomeState.SKIPPED, "not deleted, because other files failed"
    elif isinstance(error, UnknownOutcomeError):
        state, reason = OutcomeState.UNKNOWN, str(error)
    elif error is not None:
        state, reason = OutcomeState.FAILED, "not deleted"
    return Outcome(
        path=there / path,
        place=prefix(here) + path,
        direction=direction,
        state=state,
        reason=reason,
        error=error,
    )
