"""What an earlier run left: what a journal row means for the next run, and which files need not be moved again.

`resume_action` decides, and knows no disk, no network and no time; the rest carries that out with the disk, the journal
and one listing. In doubt a file is moved again: that costs time, the other mistake costs data.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from emasync.disk import Fingerprint, digest_file, fingerprint, sweep
from emasync.errors import EMError
from emasync.model import Direction, FileEntry, FileTree, Outcome, OutcomeState, RemotePath, Verified
from emasync.transfer.context import TransferRun
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
from emasync.transfer.state.schema import FileFacts, ItemState, Row, signed64
from emasync.transfer.state.transfer_journal import FileResult
from emasync.transfer.verification import SentFile, TagState, verify_sent

_EARLIER = "an earlier run has done it"
_KEPT_BY_SIZE = (
    "this server's content tags follow another rule than the known one: files of an earlier run are kept where their "
    "size and their listed tag are as before"
)
_PROVEN = (Verified.SIZE, Verified.TAG, Verified.SHA256)  # a count says nothing of one file


class Action(StrEnum):
    """`move` it (again), `keep` what is there, or `reconcile`: only a listing can tell whether it arrived."""

    MOVE = "move"
    KEEP = "keep"
    RECONCILE = "reconcile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """A decision and its reason for a person. `verified` is how a file that is kept was verified."""

    action: Action
    reason: str
    verified: Verified = Verified.NONE


def resume_action(  # noqa: PLR0913 - the facts that are weighed against each other
    row: Row | None,
    *,
    direction: Direction,
    current: FileFacts | None,
    listed: FileEntry | None,
    tags: TagState,
    by_size: bool = False,
) -> Resume:
    """What to do with an item of which `row` is remembered.

    `current`: the local file as it is now (uplink: the source, downlink: the final name), None if it is not there.
    `listed`: the remote file in a listing of this run. `tags`: whether this server's content tags follow the known
    rule. `by_size`: the caller is content with sizes.
    """
    if row is None:
        return _move("not in the journal")
    if row.key.direction is not direction:
        raise ValueError(f"the journal row is of direction {row.key.direction}, the file of {direction}")
    change = _local_change(row, current)
    if direction is Direction.UPLINK and row.state in (ItemState.SENT, ItemState.UNKNOWN):
        return _move(change) if change else Resume(action=Action.RECONCILE, reason="sent, but no answer is recorded")
    if row.state is not ItemState.DONE:
        return _move(f"not finished: {row.state}")
    if row.verified not in _PROVEN:
        return _move("done, but not verified")
    if change or (change := _remote_change(row, listed, tags=tags, by_size=by_size)):
        return _move(change)
    same = listed is not None and listed.content_tag == row.tag
    verified = row.verified if same or listed is None or listed.content_tag is None else Verified.SIZE
    return Resume(action=Action.KEEP, reason="verified earlier, unchanged since", verified=verified)


def _local_change(row: Row, current: FileFacts | None) -> str | None:
    if current is None:
        return "the local file is gone"
    if current.size != row.size:
        return "the local file's size differs"
    if signed64(current.mtime_ns) != row.mtime_ns or signed64(current.inode) != row.inode:
        return "the local file is another one"
    # A downlink's result may be renamed around, linked or given another mode; an uplink's source counts to the last
    # bit, as tools that put the old mtime back after a change cannot put back the ctime.
    if row.key.direction is Direction.UPLINK and signed64(current.ctime_ns) != row.ctime_ns:
        return "the local file was touched"
    return None


def _remote_change(row: Row, listed: FileEntry | None, *, tags: TagState, by_size: bool) -> str | None:
    if listed is None:
        return "not in the listing"
    if listed.size is not None and listed.size != row.size:
        return "size on the EM differs"
    tag = listed.content_tag
    if tag is None:
        return "the listing gives nothing to compare" if listed.size is None else None
    if tag == row.tag:
        return None  # of the very bytes that are here: so they are there, whatever was listed before
    if tags is TagState.CONFIRMED:
        return "content on the EM differs"
    # An uplink's row has the tag that was listed after the file was sent. A downlink's has the one listed before: that
    # it is listed again says nothing of the bytes that came in between, unless sizes are all there is to go by.
    lenient = by_size or tags is TagState.INCOMPATIBLE or row.key.direction is Direction.UPLINK
    if lenient and row.listed_tag == tag:
        return None
    if by_size and row.listed_tag is None and listed.size is not None:
        return None
    return "content on the EM may differ"


def _move(reason: str) -> Resume:
    return Resume(action=Action.MOVE, reason=reason)


async def resume_uplink(run: TransferRun, plan: UplinkPlan) -> tuple[UplinkCall, ...]:
    """The requests that remain of `plan`. Files that arrived earlier are recorded; one listing shows which did."""
    rows = await run.journal.lookup((item.remote, item.local_path) for item in plan.items)
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
    rows = await run.journal.lookup((item.remote, item.local_path) for item in plan.items)
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
        by_size=run.options.by_size,
    )
    if row is None or resume.action is Action.MOVE:
        return None
    if resume.action is Action.KEEP:
        return _kept(item.remote, item.local_path, Direction.UPLINK, row, resume)
    try:
        digest = await run.context.threads.run(digest_file, item.local_path)
    except (OSError, EMError):
        return None  # sending it will say what is wrong
    sent = SentFile(path=item.remote, size=digest.size, tag=digest.tag, acknowledged=False)
    verdict = verify_sent(sent, tree, tags=run.context.tags, by_content=True)
    if not verdict.arrived:
        return None
    outcome = Outcome(
        path=item.remote,
        place=item.local_path,
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
    await context.threads.run(sweep, into, sorted({item.local_path.rpartition("/")[0] for item in plan.items}))
    rows = await run.journal.lookup((item.remote, directory + item.local_path) for item in plan.items)
    if not rows:
        return plan.items
    _confirm_tags(run, rows, FileTree(item.entry for item in plan.items if item.entry is not None))
    known = [directory + item.local_path for item in plan.items if item.remote in rows]
    facts = await context.threads.run(lambda: {path: _fingerprint(path) for path in known})
    results: list[FileResult] = []
    left = array("I")  # positions: the items of very many files are not made at once
    for position, item in enumerate(plan.items):
        row, local_path = rows.get(item.remote), directory + item.local_path
        resume = resume_action(
            row,
            direction=Direction.DOWNLINK,
            current=facts.get(local_path),
            listed=item.entry,
            tags=run.context.tags.state,
            by_size=run.options.by_size,
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
