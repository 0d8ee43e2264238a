"""Taking up what an earlier run left: which files of a plan need not be moved again.

Owns: carrying out what `resume` and `verification` decide, with the disk, the journal and one listing.
May import run, resume, verification, packing and below.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

from emasync.disk import Fingerprint, digest_file, fingerprint, sweep
from emasync.errors import EMError
from emasync.model import Direction, FileTree, Outcome, OutcomeState, RemotePath, Verified
from emasync.transfer.planning.packing import pack_again
from emasync.transfer.planning.plan import (
    DownlinkItem,
    DownlinkPlan,
    UplinkCall,
    UplinkItem,
    UplinkPlan,
    chosen,
    prefix,
)
from emasync.transfer.resume import Action, Resume, resume_action
from emasync.transfer.run import TransferRun
from emasync.transfer.state.schema import Row
from emasync.transfer.state.transfer_journal import FileResult
from emasync.transfer.verification import verify_sent

_EARLIER = "an earlier run has done it"
_KEPT_BY_SIZE = (
    "this server's content tags follow another rule than the known one: files of an earlier run are kept where their "
    "size and their listed tag are as before"
)


async def resume_uplink(run: TransferRun, plan: UplinkPlan) -> tuple[UplinkCall, ...]:
    """The calls that are left of `plan`. Files that arrived earlier are settled; one listing tells which did."""
    rows = await run.journal.lookup((item.remote, item.place) for item in plan.items)
    if not rows:
        return plan.calls
    tree = await run.listing.fresh()
    _confirm_tags(run, rows, tree)
    results: list[FileResult] = []
    left: list[UplinkItem] = []
    for item in plan.items:
        result = await _earlier_uplink(run, item, rows.get(item.remote), tree)
        results.append(result) if result is not None else left.append(item)
    await run.tracker.record(results)
    if not results:
        return plan.calls
    return pack_again(left, limits=run.context.settings.limits)


async def sent_before(run: TransferRun, plan: UplinkPlan, tree: FileTree) -> frozenset[RemotePath]:
    """The files of `plan` that are on the EM because an earlier run of the same job sent them: not "there already"."""
    rows = await run.journal.lookup((item.remote, item.place) for item in plan.items)
    _confirm_tags(run, rows, tree)

    def ours(item: UplinkItem) -> bool:
        resume = resume_action(
            rows.get(item.remote),
            direction=Direction.UPLINK,
            current=item.fingerprint,
            listed=tree.get(item.remote),
            tags=run.context.tags.state,
        )
        return resume.action is not Action.MOVE

    return frozenset(item.remote for item in plan.items if ours(item)) if rows else frozenset()


async def _earlier_uplink(run: TransferRun, item: UplinkItem, row: Row | None, tree: FileTree) -> FileResult | None:
    """The result of a file that an earlier run has sent; None if it is to be sent (again)."""
    entry = tree.get(item.remote)
    resume = resume_action(
        row,
        direction=Direction.UPLINK,
        current=item.fingerprint,
        listed=entry,
        tags=run.context.tags.state,
        by_size=run.options.verify == "size",
    )
    if row is None or resume.action is Action.MOVE:
        return None
    if resume.action is Action.KEEP:
        return _kept(item.remote, item.place, Direction.UPLINK, row, resume)
    try:
        digest = await run.context.threads.run(digest_file, item.place)
    except (OSError, EMError):
        return None  # sending it will say what is wrong
    verdict = verify_sent(
        item.remote, tree, size=digest.size, tag=digest.tag, counted=False, tags=run.context.tags, verify="content"
    )
    if not verdict.arrived:
        return None
    outcome = Outcome(
        path=item.remote,
        place=item.place,
        direction=Direction.UPLINK,
        state=OutcomeState.DONE,
        bytes=digest.size,
        sha256=digest.sha256,
        verified=verdict.verified,
        attempts=row.attempts,
        reason="sent by an earlier run, found on the EM",
    )
    return FileResult(outcome=outcome, tag=digest.tag, listed_tag=entry.content_tag if entry else None)


async def resume_downlink(run: TransferRun, plan: DownlinkPlan, *, into: Path) -> Sequence[DownlinkItem]:
    """The items that are left of `plan`. Temporary files that a killed run left are removed."""
    context, directory = run.context, prefix(into)
    await context.threads.run(sweep, into, sorted({item.place.rpartition("/")[0] for item in plan.items}))
    rows = await run.journal.lookup((item.remote, directory + item.place) for item in plan.items)
    if not rows:
        return plan.items
    _confirm_tags(run, rows, FileTree(item.entry for item in plan.items if item.entry is not None))
    known = [directory + item.place for item in plan.items if item.remote in rows]
    facts = await context.threads.run(lambda: {path: _fingerprint(path) for path in known})
    results: list[FileResult] = []
    left = array("I")  # positions: the items of very many files are not made at once
    for position, item in enumerate(plan.items):
        row, local_path = rows.get(item.remote), directory + item.place
        resume = resume_action(
            row,
            direction=Direction.DOWNLINK,
            current=facts.get(local_path),
            listed=item.entry,
            tags=run.context.tags.state,
            by_size=run.options.verify == "size",
        )
        if row is not None and resume.action is Action.KEEP:
            results.append(_kept(item.remote, local_path, Direction.DOWNLINK, row, resume))
        else:
            left.append(position)
    if any(result.outcome.verified is Verified.SIZE for result in results) and context.tags.incompatible:
        run.tracker.note(_KEPT_BY_SIZE)
    await run.tracker.record(results)
    return chosen(plan.items, left)


def _kept(remote: RemotePath, local_path: str, direction: Direction, row: Row, resume: Resume) -> FileResult:
    outcome = Outcome(
        path=remote,
        place=local_path,
        direction=direction,
        state=OutcomeState.SKIPPED,
        sha256=row.sha256,
        verified=resume.verified,
        reason=f"{_EARLIER}: {resume.reason}",
    )
    return FileResult(outcome=outcome, remember=False)


def _confirm_tags(run: TransferRun, rows: dict[RemotePath, Row], tree: FileTree) -> None:
    """A tag that was computed from a file's bytes in an earlier run, and is listed for it now, confirms the rule."""
    for remote, row in rows.items():
        entry = tree.get(remote)
        if entry is not None and entry.size and row.tag is not None and row.tag == entry.content_tag:
            run.context.tags.match()
            return


def _fingerprint(path: str) -> Fingerprint | None:
    try:
        return fingerprint(path)
    except (OSError, EMError):
        return None
