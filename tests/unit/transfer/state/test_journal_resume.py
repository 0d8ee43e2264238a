from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emasync.model import Direction, FileEntry, RemotePath, Verified
from emasync.transfer.resume import Action, resume_action
from emasync.transfer.state.schema import ItemState, Row
from emasync.transfer.verification import TagState
from tests.unit.transfer.state.journal_samples import Facts, key_of

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


def row_of(direction: Direction = UP, **changes: object) -> Row:
    row = Row(
        key=key_of("a", direction=direction),
        state=ItemState.DONE,
        size=10,
        mtime_ns=1_000,
        ctime_ns=2_000,
        inode=7,
        tag=5,
        listed_tag=5,
        verified=Verified.TAG,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def entry(size: int | None = 10, tag: int | None = 5) -> FileEntry:
    return FileEntry(path=RemotePath("a"), size=size, content_tag=tag)


OPEN, SURE, OTHER = TagState.UNKNOWN, TagState.CONFIRMED, TagState.INCOMPATIBLE

# One line each: direction, change of the row, of the local file, of the listing; what is known of tags; action, words.
TABLE: list[tuple[Direction, dict[str, object], Facts | None, FileEntry | None, TagState, Action, str]] = [
    (UP, {}, Facts(), entry(), SURE, Action.KEEP, "unchanged"),
    (DOWN, {}, Facts(), entry(), SURE, Action.KEEP, "unchanged"),
    (DOWN, {}, Facts(), entry(), OPEN, Action.KEEP, "unchanged"),
    (DOWN, {"listed_tag": None}, Facts(), entry(), OTHER, Action.KEEP, "unchanged"),
    (UP, {}, Facts(), entry(tag=None), SURE, Action.KEEP, "unchanged"),
    # a tag is as listed before: of the bytes that came in between it says nothing (A listed, B fetched, A again)
    (DOWN, {"tag": 6, "listed_tag": 5}, Facts(), entry(tag=5), OPEN, Action.MOVE, "may differ"),
    (DOWN, {"tag": 6, "listed_tag": 5}, Facts(), entry(tag=5), SURE, Action.MOVE, "content on the EM"),
    (DOWN, {"listed_tag": 9}, Facts(), entry(tag=9), OTHER, Action.KEEP, "unchanged"),  # sizes decide, and it is noted
    (DOWN, {"listed_tag": 8}, Facts(), entry(tag=9), OTHER, Action.MOVE, "may differ"),
    (DOWN, {"listed_tag": 9}, Facts(), entry(tag=5), OPEN, Action.KEEP, "unchanged"),  # these very bytes are listed
    # an uplink's tag was listed after the file was sent
    (UP, {"listed_tag": 9}, Facts(), entry(tag=9), OPEN, Action.KEEP, "unchanged"),
    (UP, {"listed_tag": 9}, Facts(), entry(tag=9), SURE, Action.MOVE, "content on the EM"),
    (UP, {"listed_tag": None}, Facts(), entry(tag=6), OPEN, Action.MOVE, "may differ"),
    (UP, {"listed_tag": None}, Facts(), entry(tag=6), SURE, Action.MOVE, "content on the EM"),
    (UP, {}, Facts(), entry(size=None), SURE, Action.KEEP, "unchanged"),
    (UP, {}, Facts(), entry(size=None, tag=None), SURE, Action.MOVE, "nothing to compare"),
    (UP, {}, Facts(), entry(size=11), SURE, Action.MOVE, "size on the EM"),
    (UP, {}, Facts(), None, SURE, Action.MOVE, "not in the listing"),
    (DOWN, {}, None, entry(), SURE, Action.MOVE, "gone"),
    (UP, {}, Facts(size=11), entry(), SURE, Action.MOVE, "size differs"),
    (UP, {}, Facts(mtime_ns=1), entry(), SURE, Action.MOVE, "another"),
    (DOWN, {}, Facts(inode=8), entry(), SURE, Action.MOVE, "another"),
    (UP, {}, Facts(ctime_ns=1), entry(), SURE, Action.MOVE, "touched"),
    (DOWN, {}, Facts(ctime_ns=1), entry(), SURE, Action.KEEP, "unchanged"),
    (UP, {"inode": -1}, Facts(inode=2**64 - 1), entry(), SURE, Action.KEEP, "unchanged"),
    (UP, {"verified": Verified.NONE}, Facts(), entry(), SURE, Action.MOVE, "not verified"),
    (UP, {"verified": Verified.COUNT}, Facts(), entry(), SURE, Action.MOVE, "not verified"),
    (UP, {"verified": Verified.SIZE}, Facts(), entry(), SURE, Action.KEEP, "unchanged"),
    (UP, {"state": ItemState.SENT}, Facts(), entry(), SURE, Action.RECONCILE, "no answer"),
    (UP, {"state": ItemState.UNKNOWN}, Facts(), None, OPEN, Action.RECONCILE, "no answer"),
    (UP, {"state": ItemState.SENT}, Facts(size=11), entry(), SURE, Action.MOVE, "size differs"),
    (UP, {"state": ItemState.INTENT}, Facts(), entry(), SURE, Action.MOVE, "not finished"),
    (UP, {"state": ItemState.FAILED}, Facts(), entry(), SURE, Action.MOVE, "not finished"),
    (UP, {"state": ItemState.SKIPPED}, Facts(), entry(), SURE, Action.MOVE, "not finished"),
    (DOWN, {"state": ItemState.SENT}, Facts(), entry(), SURE, Action.MOVE, "not finished"),
    (DOWN, {"state": ItemState.UNKNOWN}, Facts(), entry(), SURE, Action.MOVE, "not finished"),
]


@pytest.mark.parametrize(("direction", "changes", "current", "listed", "tags", "action", "words"), TABLE)
def test_what_a_row_means_for_the_next_run(
    direction: Direction,
    changes: dict[str, object],
    current: Facts | None,
    listed: FileEntry | None,
    tags: TagState,
    action: Action,
    words: str,
) -> None:
    row = row_of(direction, **changes)
    decision = resume_action(row, direction=direction, current=current, listed=listed, tags=tags)
    assert (decision.action, words in decision.reason) == (action, True), decision
    by_tag = listed is not None and listed.content_tag in (None, row.tag)
    kept = row.verified if by_tag else Verified.SIZE
    assert decision.verified is (kept if action is Action.KEEP else Verified.NONE)


@pytest.mark.parametrize("listed_tag", [None, 9])
def test_where_sizes_are_enough_an_unchanged_listing_is(listed_tag: int | None) -> None:
    # Sabotage: leave `by_size` out of `_remote_change`: with verify="size" a resume fetches everything again.
    row = row_of(DOWN, tag=6, listed_tag=listed_tag)
    for by_size, action in ((True, Action.KEEP), (False, Action.MOVE)):
        decision = resume_action(row, direction=DOWN, current=Facts(), listed=entry(tag=9), tags=OPEN, by_size=by_size)
        assert decision.action is action


def test_what_the_journal_does_not_know_is_moved() -> None:
    decision = resume_action(None, direction=UP, current=Facts(), listed=entry(), tags=SURE)
    assert (decision.action, decision.reason) == (Action.MOVE, "not in the journal")


def test_a_row_of_the_other_direction_is_misuse() -> None:
    with pytest.raises(ValueError, match="direction uplink, the file of downlink"):
        resume_action(row_of(UP), direction=DOWN, current=Facts(), listed=entry(), tags=SURE)


FEW = st.sampled_from([5, 7, 10, 11])
MAYBE = st.none() | FEW
ROW_CHANGES = {
    "state": st.sampled_from(list(ItemState)),
    "verified": st.sampled_from(list(Verified)),
    **dict.fromkeys(["size", "mtime_ns", "ctime_ns", "inode", "tag", "listed_tag"], MAYBE),
}


@st.composite
def situations(draw: st.DrawFn) -> tuple[Row, Facts | None, FileEntry | None]:
    """One in which the file is kept, but for up to two changes anywhere: so that each comparison alone decides some."""
    names = draw(st.lists(st.sampled_from(sorted(ROW_CHANGES)), max_size=2, unique=True))
    row = row_of(draw(st.sampled_from(list(Direction))), **{name: draw(ROW_CHANGES[name]) for name in names})
    current, listed = Facts(), entry()
    match draw(st.sampled_from(["nothing", "no change", "local", "listed", "gone", "unlisted"])):
        case "local":
            current = replace(current, **{draw(st.sampled_from(["size", "mtime_ns", "ctime_ns", "inode"])): draw(FEW)})
        case "listed":
            listed = entry(size=draw(MAYBE), tag=draw(MAYBE))
        case "gone":
            return row, None, listed
        case "unlisted":
            return row, current, None
    return row, current, listed


@settings(max_examples=400)
@given(situation=situations(), tags=st.sampled_from(list(TagState)))
def test_kept_means_done_verified_and_unchanged_on_both_sides(
    situation: tuple[Row, Facts | None, FileEntry | None], tags: TagState
) -> None:
    # Sabotage: leave out any one comparison of resume.py (each also has its own line in TABLE).
    row, current, listed = situation
    way = row.key.direction
    decision = resume_action(row, direction=way, current=current, listed=listed, tags=tags)
    assert decision.reason
    if decision.action is Action.RECONCILE:
        assert way is UP
        assert row.state in (ItemState.SENT, ItemState.UNKNOWN)
    if decision.action is not Action.KEEP:
        return
    assert row.state is ItemState.DONE
    assert row.verified in (Verified.SIZE, Verified.TAG, Verified.SHA256)
    assert current is not None
    assert listed is not None
    assert (current.size, current.mtime_ns, current.inode) == (row.size, row.mtime_ns, row.inode)
    assert way is DOWN or current.ctime_ns == row.ctime_ns
    assert listed.size in (None, row.size)
    assert listed.size is not None or listed.content_tag is not None
    if listed.content_tag not in (None, row.tag):
        assert tags is not SURE
        assert listed.content_tag == row.listed_tag
        assert way is UP or tags is OTHER


NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)


@given(
    facts=st.builds(Facts, size=NUMBERS, mtime_ns=NUMBERS, ctime_ns=NUMBERS, inode=NUMBERS),
    tag=st.none() | st.integers(min_value=-(2**63), max_value=2**63 - 1),
    direction=st.sampled_from(list(Direction)),
    tags=st.sampled_from(list(TagState)),
)
def test_a_verified_file_that_nobody_touched_is_never_moved_again(
    facts: Facts, tag: int | None, direction: Direction, tags: TagState
) -> None:
    # Sabotage: `return _move("to be sure")` at the end of resume_action.
    row = row_of(
        direction,
        size=facts.size,
        mtime_ns=facts.mtime_ns,
        ctime_ns=facts.ctime_ns,
        inode=facts.inode,
        tag=tag,
        listed_tag=tag,
    )
    listed = entry(size=facts.size, tag=tag)
    decision = resume_action(row, direction=direction, current=facts, listed=listed, tags=tags)
    assert decision.action is Action.KEEP
