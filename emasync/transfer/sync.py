"""Making one side equal to the other: one listing, one comparison, then only what differs moves.

Owns: `sync_up` and `sync_down`, and what is known of both sides before anything moves. May import everything in this
room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from emasync.disk import Unchanged
from emasync.errors import EMError
from emasync.model import (
    Direction,
    FileTree,
    Outcome,
    OutcomeState,
    RemotePath,
    SyncDecision,
    SyncDecisions,
    SyncReason,
    Verified,
    safe,
)
from emasync.transfer.context import TransferContext
from emasync.transfer.deletion import Deletion, agree
from emasync.transfer.digests import content_tags
from emasync.transfer.engine import plan_scan, record_rejected, run_downlink, run_uplink, start_transfer
from emasync.transfer.options import SyncOptions, TransferOptions
from emasync.transfer.planning.diff import ComparedFile, compare, without_deletions
from emasync.transfer.planning.plan import DownlinkItem, DownlinkPlan, LocalFile, RejectedFile, prefix
from emasync.transfer.resume import Action, resume_action
from emasync.transfer.run import TransferRun
from emasync.transfer.sides import (
    Sides,
    check_no_file,
    check_there,
    local_folder,
    look_at_both,
    not_given,
    remote_folder,
    scan_if_there,
    scan_source,
    summary_of,
)
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


def sync_up(
    context: TransferContext, local: str | Path, remote: str, *, options: TransferOptions, sync: SyncOptions
) -> Transfer:
    """The Transfer behind `Client.sync_up`."""
    here, there = local_folder(local), remote_folder(remote)

    async def job(run: TransferRun) -> None:
        found, tree = await look_at_both(run, partial(scan_source, here, options))
        check_no_file(tree, there)
        if not sync.missing_ok:
            check_there(tree, there)
        sides = Sides(here=here, there=there, direction=Direction.UPLINK, found=found, tree=tree)
        decisions = await _decide(run, sides, sync=sync)
        plan = plan_scan(run.context, found, dest=there, only=decisions.paths_to("copy"))
        if sync.dry_run:
            record_rejected(run, plan, Direction.UPLINK)
            return
        await agree(summary_of(sides, decisions), sync)
        above = tree.unknown_above(there)
        if unknown := tree.unknown_below(there) if above is None else [above]:
            named = ", ".join(safe(folder) for folder in unknown[:3])
            run.tracker.note(f"the listing does not give the contents of {named}: nothing there is compared or deleted")
        _record_still(run, sides, decisions)
        deletion = _deletion(run, sides, decisions)
        deletion.register()
        await run_uplink(run, plan)
        await deletion.carry_out()

    return start_transfer(context, options, Direction.UPLINK, job)


def sync_down(
    context: TransferContext, remote: str, local: str | Path, *, options: TransferOptions, sync: SyncOptions
) -> Transfer:
    """The Transfer behind `Client.sync_down`."""
    here, there = local_folder(local), remote_folder(remote)

    async def job(run: TransferRun) -> None:
        found, tree = await look_at_both(run, partial(scan_if_there, here, options, pin=run.root_guard))
        check_no_file(tree, there)
        check_there(tree, there)
        sides = Sides(here=here, there=there, direction=Direction.DOWNLINK, found=found, tree=tree)
        decisions = await _decide(run, sides, sync=sync)
        refused = (*(_inside(one, here, there) for one in found.refused), *_unlisted(tree, there))
        if sync.dry_run:
            nothing = DownlinkPlan(items=(), refused=refused, notes=found.notes)
            record_rejected(run, nothing, Direction.DOWNLINK, into=here)
            return
        await agree(summary_of(sides, decisions), sync)
        _record_still(run, sides, decisions)
        deletion = _deletion(run, sides, decisions)
        deletion.register()
        items = _items_down(sides, decisions)
        await run_downlink(run, DownlinkPlan(items=items, refused=refused, notes=found.notes), into=here)
        await deletion.carry_out()

    return start_transfer(context, options, Direction.DOWNLINK, job)


def _items_down(sides: Sides, decisions: Iterable[SyncDecision]) -> tuple[DownlinkItem, ...]:
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


def _deletion(run: TransferRun, sides: Sides, decisions: Sequence[SyncDecision]) -> Deletion:
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


def _unlisted(tree: FileTree, there: RemotePath) -> Iterator[RejectedFile]:
    """The folders inside `there` of which the listing does not say what is in them: their files cannot come down."""
    for folder in tree.unknown_below(there):
        yield RejectedFile(remote=folder, local=Path(folder.relative_to(there)), error=not_given(folder))


def _inside(one: RejectedFile, here: Path, there: RemotePath) -> RejectedFile:
    """What a scan of `here` refused, as a downlink into it names it."""
    local = one.local
    if local is not None and local.is_relative_to(here):
        local = local.relative_to(here)
    return replace(one, local=local, remote=there / one.remote)


async def _decide(run: TransferRun, sides: Sides, *, sync: SyncOptions) -> SyncDecisions:
    same_size = sides.same_size()
    tags = await _known_tags(run, sides, same_size)
    learned = run.context.tags
    if same_size and learned.incompatible and run.options.verify == "content":
        run.tracker.note(_FALL_BACK)
    by_content = run.options.verify == "content" and not learned.incompatible
    found = sides.found
    decisions = compare(
        (ComparedFile(path=one.relative, size=one.fingerprint.size, tag=tags.get(one.relative)) for one in found.found),
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
    not_compared = decisions.copies(SyncReason.UNKNOWN_CONTENT)
    if not_compared:
        run.tracker.note(_NOT_COMPARED.format(f"{not_compared:,}"))
    unreadable = {one.remote for one in found.refused}  # settled as that: a file has one end
    plan = SyncDecisions(one for one in decisions if one.path not in unreadable) if unreadable else decisions
    if sync.dry_run and not sync.allow_empty_source and summary_of(sides, plan).empties:
        why = "the source has no files, and deletions then need allow_empty_source (--allow-empty-source)"
        plan = SyncDecisions(without_deletions(plan, why))
    run.tracker.plan = plan
    return plan


async def _known_tags(run: TransferRun, sides: Sides, files: Sequence[LocalFile]) -> dict[RemotePath, int]:
    """Tags of the local files that only content can tell apart; the server's rule is found out on the way."""
    learned = run.context.tags
    if not files or learned.incompatible or run.options.verify != "content":
        return {}
    settings = run.context.settings
    cache = settings.state_dir / "hashes.sqlite3" if settings.state_dir is not None else None
    tags = await content_tags(files, threads=run.context.threads, cache=cache)
    if learned.state is not TagState.UNKNOWN:
        return tags
    entries = {relative: sides.tree[sides.there / relative] for relative in tags}
    if any(entries[relative].content_tag == tag and entries[relative].size for relative, tag in tags.items()):
        learned.match()
    else:  # either every file differs, or the rule does: small files of known bytes tell which
        others = sides.tree if len(entries) < _ENOUGH else entries.values()
        await probe_tags(run.context, others, stats=run.stats, relist=run.listing.fresh)
    return tags


async def _journal_says(
    run: TransferRun, sides: Sides, files: Sequence[LocalFile]
) -> Callable[[RemotePath], bool | None]:
    """What the journal knows of files that tags cannot tell apart: moved by us and unchanged since, or not."""
    learned = run.context.tags
    if learned.confirmed:
        return lambda path: None
    rows = await run.journal.lookup((sides.there / one.relative, one.place) for one in files)
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


def _record_still(run: TransferRun, sides: Sides, decisions: Iterable[SyncDecision]) -> None:
    """Record the files that stay as they are, and those that nothing can be done about."""
    before = prefix(sides.here)

    def outcome(one: SyncDecision) -> Outcome:
        conflict, path = one.action == "conflict", sides.there / one.path
        return Outcome(
            path=path,
            place=before + one.path,
            direction=sides.direction,
            state=OutcomeState.FAILED if conflict else OutcomeState.SKIPPED,
            verified=Verified.TAG if one.reason == SyncReason.SAME_CONTENT else Verified.NONE,
            reason=None if conflict else one.reason,
            error=EMError(f"{safe(path)}: {one.reason}") if conflict else None,
        )

    run.tracker.record_unregistered(outcome(one) for one in decisions if one.action in ("keep", "conflict"))
