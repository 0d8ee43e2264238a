"""Sync in both directions: lists the EM's volume once, compares it with a local folder, transfers what differs.

`planning.diff` decides which files differ; `engine` moves them. Must not be imported by other modules of transfer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

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
from emasync.transfer.context import TransferContext, TransferRun
from emasync.transfer.engine import plan_scan, record_rejected, run_downlink, run_uplink, start_transfer
from emasync.transfer.options import SyncOptions, TransferOptions
from emasync.transfer.planning.diff import ComparedFile, Comparison, without_deletions
from emasync.transfer.planning.plan import DownlinkItem, DownlinkPlan, LocalFile, RejectedFile, prefix
from emasync.transfer.resume import Action, resume_action
from emasync.transfer.sync_deletion import Deletion, agree
from emasync.transfer.sync_sides import (
    Sides,
    check_is_folder,
    check_no_file,
    content_tags,
    local_folder,
    remote_folder,
    scan_and_list,
    scan_source,
    scan_target,
    summary_of,
    unlisted_error,
)
from emasync.transfer.transfer import Transfer
from emasync.transfer.verification import TagState, probe_tags

_MIN_SAMPLES = 2  # with fewer files of equal size, the tag rule is learned from other files of the volume as well
_COMPARED_BY_SIZE_NOTE = (
    "this server's content tags follow another rule than the known one: files of the same size count as equal, "
    "unless the journal shows that one of them changed"
)
_NOT_COMPARED_NOTE = (
    "{} files of equal size could not be compared by content and are transferred, because no file shows whether this "
    "server's content tags follow the known rule; verify='size' (--verify size) compares files by size only"
)


def sync_up(
    context: TransferContext, local: str | Path, remote: str, *, options: TransferOptions, sync: SyncOptions
) -> Transfer:
    """The Transfer that makes the EM's folder `remote` equal to `local`; `Client.sync_up` returns it."""
    local_dir, remote_dir = local_folder(local), remote_folder(remote)

    async def job(run: TransferRun) -> None:
        scan, tree = await scan_and_list(run, partial(scan_source, local_dir, options))
        check_no_file(tree, remote_dir)
        if not sync.missing_ok:
            check_is_folder(tree, remote_dir)
        sides = Sides(local_dir=local_dir, remote_dir=remote_dir, direction=Direction.UPLINK, scan=scan, tree=tree)
        decisions = await _decide(run, sides, sync=sync)
        plan = plan_scan(run.context, scan, dest=remote_dir, only=decisions.paths_to("copy"))
        if sync.dry_run:
            record_rejected(run, plan)
            return
        await agree(summary_of(sides, decisions), sync)
        _note_unlisted(run, tree, remote_dir)
        _record_unmoved(run, sides, decisions)
        deletion = Deletion(run=run, sides=sides, decisions=decisions)
        deletion.register()
        await run_uplink(run, plan)
        await deletion.carry_out()

    return start_transfer(context, options, Direction.UPLINK, job)


def sync_down(
    context: TransferContext, remote: str, local: str | Path, *, options: TransferOptions, sync: SyncOptions
) -> Transfer:
    """The Transfer that makes the folder `local` equal to the EM's `remote`; `Client.sync_down` returns it."""
    local_dir, remote_dir = local_folder(local), remote_folder(remote)

    async def job(run: TransferRun) -> None:
        scan, tree = await scan_and_list(run, partial(scan_target, local_dir, options, root_guard=run.root_guard))
        check_no_file(tree, remote_dir)
        check_is_folder(tree, remote_dir)
        sides = Sides(local_dir=local_dir, remote_dir=remote_dir, direction=Direction.DOWNLINK, scan=scan, tree=tree)
        decisions = await _decide(run, sides, sync=sync)
        rejected = (*(_as_downlink(file, sides) for file in scan.refused), *_unlisted(tree, remote_dir))
        if sync.dry_run:
            empty_plan = DownlinkPlan(items=(), refused=rejected, notes=scan.notes)
            record_rejected(run, empty_plan, into=local_dir)
            return
        await agree(summary_of(sides, decisions), sync)
        _record_unmoved(run, sides, decisions)
        deletion = Deletion(run=run, sides=sides, decisions=decisions)
        deletion.register()
        items = _items_down(sides, decisions)
        await run_downlink(run, DownlinkPlan(items=items, refused=rejected, notes=scan.notes), into=local_dir)
        await deletion.carry_out()

    return start_transfer(context, options, Direction.DOWNLINK, job)


def _items_down(sides: Sides, decisions: Iterable[SyncDecision]) -> tuple[DownlinkItem, ...]:
    """The files that a sync down downloads, the largest first. A local file that changed after the comparison is not
    replaced."""
    paths = {decision.path for decision in decisions if decision.action == "copy"}
    fingerprints = {file.relative: file.fingerprint for file in sides.scan.found if file.relative in paths}
    items = [
        DownlinkItem(
            remote=sides.remote_dir / path,
            local_path=path,
            entry=sides.entry(path),
            unchanged=Unchanged(fingerprint=fingerprints.get(path)),
        )
        for path in paths
    ]
    return tuple(sorted(items, key=lambda item: (-item.bytes, item.remote)))


def _note_unlisted(run: TransferRun, tree: FileTree, remote_dir: RemotePath) -> None:
    """Note the folders in, or above, `remote_dir` whose contents the listing does not give."""
    above = tree.unknown_above(remote_dir)
    if unknown := tree.unknown_below(remote_dir) if above is None else [above]:
        named = ", ".join(safe(folder) for folder in unknown[:3])
        run.tracker.note(f"the listing does not give the contents of {named}: nothing there is compared or deleted")


def _unlisted(tree: FileTree, remote_dir: RemotePath) -> Iterator[RejectedFile]:
    """The folders in `remote_dir` whose contents the listing does not give: their files cannot be fetched."""
    for folder in tree.unknown_below(remote_dir):
        yield RejectedFile(remote=folder, local=Path(folder.relative_to(remote_dir)), error=unlisted_error(folder))


def _as_downlink(file: RejectedFile, sides: Sides) -> RejectedFile:
    """`file`, which the scan of the local target rejected, with the paths that a downlink would use: the local one
    relative to the target, the remote one below the EM's folder."""
    local = file.local
    if local is not None and local.is_relative_to(sides.local_dir):
        local = local.relative_to(sides.local_dir)
    return replace(file, local=local, remote=sides.remote_dir / file.remote)


async def _decide(run: TransferRun, sides: Sides, *, sync: SyncOptions) -> SyncDecisions:
    """Decide what happens to each file of either side. The report gives these decisions as its plan."""
    same_size = sides.same_size()
    tags = await _known_tags(run, sides, same_size)
    rule, verify_content = run.context.tags, run.options.by_content
    if same_size and rule.incompatible and verify_content:
        run.tracker.note(_COMPARED_BY_SIZE_NOTE)
    unknown: Literal["copy", "keep"] = "copy" if verify_content and not rule.incompatible else "keep"
    comparison = Comparison(
        direction=sides.direction,
        folder=sides.remote_dir,
        tags_confirmed=rule.confirmed,
        known=await _known_from_journal(run, sides, same_size),
        unknown=unknown,
        delete=sync.delete,
        max_delete=sync.max_delete,
        filters=sides.scan.filters,
    )
    local = (
        ComparedFile(path=file.relative, size=file.fingerprint.size, tag=tags.get(file.relative))
        for file in sides.scan.found
    )
    decisions = comparison.decide(local, sides.tree)
    if not_compared := decisions.copies(SyncReason.UNKNOWN_CONTENT):
        run.tracker.note(_NOT_COMPARED_NOTE.format(f"{not_compared:,}"))
    if unreadable := {file.remote for file in sides.scan.refused}:  # recorded as rejected: a file has only one result
        decisions = SyncDecisions(decision for decision in decisions if decision.path not in unreadable)
    if sync.dry_run and not sync.allow_empty_source and summary_of(sides, decisions).empties:
        why = "the source has no files, and deletions then need allow_empty_source (--allow-empty-source)"
        decisions = SyncDecisions(without_deletions(decisions, why))
    run.tracker.plan = decisions
    return decisions


async def _known_tags(run: TransferRun, sides: Sides, files: Sequence[LocalFile]) -> dict[RemotePath, int]:
    """Compute the content tags of local `files`, each as large as its counterpart on the EM. Also find out whether this
    server's tags follow the known rule."""
    rule = run.context.tags
    if not files or rule.incompatible or not run.options.by_content:
        return {}
    settings = run.context.settings
    cache = settings.state_dir / "hashes.sqlite3" if settings.state_dir is not None else None
    tags = await content_tags(files, threads=run.context.threads, cache=cache)
    if rule.state is not TagState.UNKNOWN:
        return tags
    entries = {relative: sides.tree[sides.remote_dir / relative] for relative in tags}
    if any(entries[relative].content_tag == tag and entries[relative].size for relative, tag in tags.items()):
        rule.match()
    else:  # either all files differ, or this server uses another rule: reading some small files tells which
        samples = sides.tree if len(entries) < _MIN_SAMPLES else entries.values()
        await probe_tags(run.files, rule, samples, relist=run.listing.fresh)
    return tags


async def _known_from_journal(
    run: TransferRun, sides: Sides, files: Sequence[LocalFile]
) -> Callable[[RemotePath], bool | None]:
    """A function that tells for a path, where content tags prove nothing, what the journal proves: True if the file was
    transferred earlier and is unchanged on both sides, False if it changed, None if the journal proves neither."""
    rule = run.context.tags
    if rule.confirmed:
        return lambda path: None
    rows = await run.journal.lookup((sides.remote_dir / file.relative, file.local_path) for file in files)
    fingerprints = {file.relative: file.fingerprint for file in files}
    by_size = not run.options.by_content

    def known(path: RemotePath) -> bool | None:
        row = rows.get(sides.remote_dir / path)
        if row is None:
            return None
        resume = resume_action(
            row,
            direction=sides.direction,
            current=fingerprints.get(path),
            listed=sides.entry(path),
            tags=rule.state,
            by_size=by_size,
        )
        if resume.action is Action.KEEP:
            return True
        return False if by_size or rule.incompatible else None

    return known


def _record_unmoved(run: TransferRun, sides: Sides, decisions: Iterable[SyncDecision]) -> None:
    """Record the files that are not transferred: SKIPPED for those that stay as they are, FAILED for conflicts."""
    directory = prefix(sides.local_dir)

    def outcome(decision: SyncDecision) -> Outcome:
        conflict, path = decision.action == "conflict", sides.remote_dir / decision.path
        return Outcome(
            path=path,
            place=directory + decision.path,
            direction=sides.direction,
            state=OutcomeState.FAILED if conflict else OutcomeState.SKIPPED,
            verified=Verified.TAG if decision.reason == SyncReason.SAME_CONTENT else Verified.NONE,
            reason=None if conflict else decision.reason,
            error=EMError(f"{safe(path)}: {decision.reason}") if conflict else None,
        )

    unmoved = (decision for decision in decisions if decision.action in ("keep", "conflict"))
    run.tracker.record_unregistered(outcome(decision) for decision in unmoved)
