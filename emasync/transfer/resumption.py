"""Taking up what an earlier run left: which files of a plan need not be moved again.

Owns: carrying out what `resume` and `verification` decide, with the disk, the journal and one listing.
May import ledger, resume, verification, packing and below.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

from emasync.disk import Fingerprint, digest_file, fingerprint, sweep
from emasync.errors import EMError
from emasync.model import Direction, FileTree, Outcome, OutcomeState, RemotePath, Verified
from emasync.transfer.context import TransferContext
from emasync.transfer.ledger import FileResult, Ledger
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
from emasync.transfer.shared_listing import SharedListing
from emasync.transfer.state.schema import Row
from emasync.transfer.tracker import ResultTracker
from emasync.transfer.verification import verify_sent

_EARLIER = "an earlier run has done it"
_KEPT_BY_SIZE = (
    "this server's content tags follow another rule than the known one: files of an earlier run are kept where their "
    "size and their listed tag are as before"
)


async def resume_uplink(
    link: TransferContext,
    plan: UplinkPlan,
    *,
    roster: ResultTracker,
    ledger: Ledger,
    listing: SharedListing,
    by_size: bool,
) -> tuple[UplinkCall, ...]:
    """The calls that are left of `plan`. Files that arrived earlier are settled; one listing tells which did."""
    rows = await ledger.recall((item.remote, item.place) for item in plan.items)
    if not rows:
        return plan.calls
    tree = await listing.fresh()
    _confirm_tags(link, rows, tree)
    endings: list[FileResult] = []
    left: list[UplinkItem] = []
    for item in plan.items:
        ending = await _uplink_ending(link, item, rows.get(item.remote), tree, by_size=by_size)
        endings.append(ending) if ending is not None else left.append(item)
    await roster.settle(endings)
    if not endings:
        return plan.calls
    return pack_again(left, limits=link.settings.limits)


async def sent_before(
    link: TransferContext, plan: UplinkPlan, tree: FileTree, *, ledger: Ledger
) -> frozenset[RemotePath]:
    """The files of `plan` that are on the EM because an earlier run of the same job sent them: not "there already"."""
    rows = await ledger.recall((item.remote, item.place) for item in plan.items)
    _confirm_tags(link, rows, tree)

    def ours(item: UplinkItem) -> bool:
        resume = resume_action(
            rows.get(item.remote),
            direction=Direction.UPLINK,
            current=item.fingerprint,
            listed=tree.get(item.remote),
            tags=link.tags.state,
        )
        return resume.action is not Action.MOVE

    return frozenset(item.remote for item in plan.items if ours(item)) if rows else frozenset()


async def _uplink_ending(
    link: TransferContext, item: UplinkItem, row: Row | None, tree: FileTree, *, by_size: bool
) -> FileResult | None:
    entry = tree.get(item.remote)
    resume = resume_action(
        row,
        direction=Direction.UPLINK,
        current=item.fingerprint,
        listed=entry,
        tags=link.tags.state,
        by_size=by_size,
    )
    if row is None or resume.action is Action.MOVE:
        return None
    if resume.action is Action.KEEP:
        return _kept(item.remote, item.place, Direction.UPLINK, row, resume)
    try:
        digest = await link.threads.run(digest_file, item.place)
    except (OSError, EMError):
        return None  # sending it will say what is wrong
    verdict = verify_sent(
        item.remote, tree, size=digest.size, tag=digest.tag, counted=False, tags=link.tags, verify="content"
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
        verified=verdict.how,
        attempts=row.attempts,
        reason="sent by an earlier run, found on the EM",
    )
    return FileResult(outcome=outcome, tag=digest.tag, listed_tag=entry.content_tag if entry else None)


async def resume_downlink(
    link: TransferContext, plan: DownlinkPlan, *, into: Path, roster: ResultTracker, ledger: Ledger, by_size: bool
) -> Sequence[DownlinkItem]:
    """The items that are left of `plan`. Temporary files that a killed run left are removed."""
    before = prefix(into)
    await link.threads.run(sweep, into, sorted({item.place.rpartition("/")[0] for item in plan.items}))
    rows = await ledger.recall((item.remote, before + item.place) for item in plan.items)
    if not rows:
        return plan.items
    _confirm_tags(link, rows, FileTree(item.entry for item in plan.items if item.entry is not None))
    known = [before + item.place for item in plan.items if item.remote in rows]
    facts = await link.threads.run(lambda: {path: _fingerprint(path) for path in known})
    endings: list[FileResult] = []
    left = array("I")  # positions: the items of very many files are not made at once
    for position, item in enumerate(plan.items):
        row, place = rows.get(item.remote), before + item.place
        resume = resume_action(
            row,
            direction=Direction.DOWNLINK,
            current=facts.get(place),
            listed=item.entry,
            tags=link.tags.state,
            by_size=by_size,
        )
        if row is not None and resume.action is Action.KEEP:
            endings.append(_kept(item.remote, place, Direction.DOWNLINK, row, resume))
        else:
            left.append(position)
    if any(ending.outcome.verified is Verified.SIZE for ending in endings) and link.tags.incompatible:
        roster.note(_KEPT_BY_SIZE)
    await roster.settle(endings)
    return chosen(plan.items, left)


def _kept(remote: RemotePath, place: str, direction: Direction, row: Row, resume: Resume) -> FileResult:
    outcome = Outcome(
        path=remote,
        place=place,
        direction=direction,
        state=OutcomeState.SKIPPED,
        sha256=row.sha256,
        verified=resume.verified,
        reason=f"{_EARLIER}: {resume.reason}",
    )
    return FileResult(outcome=outcome, remember=False)


def _confirm_tags(link: TransferContext, rows: dict[RemotePath, Row], tree: FileTree) -> None:
    """A tag that was computed from a file's bytes in an earlier run, and is listed for it now, confirms the rule."""
    for remote, row in rows.items():
        entry = tree.get(remote)
        if entry is not None and entry.size and row.tag is not None and row.tag == entry.content_tag:
            link.tags.match()
            return


def _fingerprint(path: str) -> Fingerprint | None:
    try:
        return fingerprint(path)
    except (OSError, EMError):
        return None
