"""What is learned about a server's content tags, and how long it holds."""

from __future__ import annotations

import pytest

from emasync.transfer.verification import TagCompatibility, TagState

UNKNOWN, CONFIRMED, INCOMPATIBLE = TagState.UNKNOWN, TagState.CONFIRMED, TagState.INCOMPATIBLE
DAY = 86_400.0


def learned(*evidence: str) -> TagCompatibility:
    """`=` is a match, anything else the path of a file that differs."""
    tags = TagCompatibility()
    for one in evidence:
        if one == "=":
            tags.match()
        else:
            tags.mismatch(one)
    return tags


# Sabotage: `_FILES_TO_REFUTE = 1`; or count mismatches instead of different files; or let one mismatch drop what is
# confirmed; or keep the mismatches that came before a match.
@pytest.mark.parametrize(
    ("evidence", "state"),
    [
        ([], UNKNOWN),
        (["="], CONFIRMED),
        (["a"], UNKNOWN),
        (["a", "a", "a"], UNKNOWN),  # one file, however often: it may be damaged, or changing
        (["a", "b"], INCOMPATIBLE),
        (["a", "=", "b"], CONFIRMED),
        (["=", "a"], CONFIRMED),
        (["=", "a", "b"], UNKNOWN),  # the server contradicts it: to be found out anew
        (["=", "a", "b", "c"], UNKNOWN),
        (["=", "a", "b", "c", "d"], INCOMPATIBLE),
        (["a", "b", "="], CONFIRMED),
    ],
)
def test_a_match_confirms_and_it_takes_two_files_to_refute(evidence: list[str], state: TagState) -> None:
    tags = learned(*evidence)
    assert tags.state is state
    assert (tags.confirmed, tags.incompatible) == (state is CONFIRMED, state is INCOMPATIBLE)


# Sabotage: leave out the look at the clock in `state`.
@pytest.mark.parametrize("evidence", [["="], ["a", "b"]])
def test_what_was_learned_holds_for_seven_days(evidence: list[str]) -> None:
    now = 1000.0
    tags = TagCompatibility(clock=lambda: now)
    for one in evidence:
        tags.match() if one == "=" else tags.mismatch(one)
    assert tags._learned_at == 1000.0
    now += 7 * DAY - 1
    assert tags.state is not UNKNOWN
    now += 2
    assert tags.state is UNKNOWN


def test_a_clock_that_was_set_back_ends_what_was_learned() -> None:
    now = 1000.0
    tags = TagCompatibility(clock=lambda: now)
    tags.match()
    now = 10.0
    assert tags.state is UNKNOWN
