"""The plan of a sync, packed: equal to a tuple of its decisions, whatever they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emasync.model import RemotePath, SyncDecision, SyncDecisions

_DECISIONS = st.lists(
    st.builds(
        SyncDecision,
        path=st.sampled_from(["a", "d/a", "d/e/é", "\ud83d"]).map(RemotePath),
        action=st.sampled_from(["copy", "keep", "delete", "conflict"]),
        reason=st.sampled_from(["new", "same content", ""]),
        bytes=st.integers(0, 2**62),
    ),
    unique_by=lambda one: one.path,
    max_size=5,
)


# Sabotage: give every decision the first reason, or the action before it.
@given(decisions=_DECISIONS)
def test_packed_decisions_are_these_decisions(decisions: list[SyncDecision]) -> None:
    packed = SyncDecisions(decisions)
    assert list(packed) == decisions
    assert packed == tuple(decisions)
    assert tuple(decisions) == packed
    assert hash(packed) == hash(tuple(decisions))
    assert [packed[position] for position in range(len(packed))] == decisions
    assert packed[1:] == tuple(decisions[1:])
    copied = packed.paths_to("copy")
    assert list(copied) == [one.path for one in decisions if one.action == "copy"]
    assert all((one.path in copied) is (one.action == "copy") for one in decisions)
    assert "none" not in copied
    assert packed.copies("new") == sum(one.action == "copy" and one.reason == "new" for one in decisions)


def test_the_repr_of_very_many_shows_a_few() -> None:
    # Sabotage: show all: the repr of a plan of 200,000 files took 100 MiB.
    one = SyncDecision(path=RemotePath("a"), action="copy", reason="new")
    assert repr(SyncDecisions([one])) == repr((one,))
    many = SyncDecisions(SyncDecision(path=RemotePath(f"{n}"), action="copy", reason="new") for n in range(1000))
    assert repr(many).endswith("... 997 more)")
