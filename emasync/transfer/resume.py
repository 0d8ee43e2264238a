"""What a journal row means for the next run: move again, leave alone, or ask the listing.

Owns: that decision, as plain functions. May import model, facts and journal_rows. Knows no disk, no network and no
time. In doubt a file is moved again: that costs time, the other mistake costs data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from emasync.model import Direction, FileEntry, Verified
from emasync.transfer.facts import FileFacts, signed64
from emasync.transfer.state.schema import ItemState, Row
from emasync.transfer.tag_compatibility import TagState

_PROVEN = (Verified.SIZE, Verified.TAG, Verified.SHA256)  # a count says nothing of one file


class Action(StrEnum):
    """`move` it (again), `keep` what is there, or `reconcile`: only a listing can tell whether it arrived."""

    MOVE = "move"
    KEEP = "keep"
    RECONCILE = "reconcile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """A decision and its reason in words. `verified` is what stands behind a `keep`."""

    action: Action
    reason: str
    verified: Verified = Verified.NONE


def resume_action(
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
        raise ValueError(f"a row of a {row.key.direction} says nothing of a {direction}")
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
