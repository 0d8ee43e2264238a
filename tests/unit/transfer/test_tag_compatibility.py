"""What is learned about a server's content tags."""

from __future__ import annotations

import pytest
from emasync.transfer.tags import TagRule, TagTrust


def test_nothing_is_known_at_first() -> None:
    assert (TagRule().trust, TagRule().proven) == (TagTrust.OPEN, False)


@pytest.mark.parametrize(
    ("pairs", "trust"),
    [
        ([(5, 5)], TagTrust.PROVEN),
        ([(5, 6)], TagTrust.REFUTED),
        ([(5, 6), (7, 7)], TagTrust.PROVEN),  # that one file was damaged
        ([(5, 5), (5, 6)], TagTrust.PROVEN),  # and so is this one
        ([(None, 5), (5, None)], TagTrust.OPEN),
        ([(0, 0)], TagTrust.PROVEN),
        ([(0, 1)], TagTrust.REFUTED),
    ],
)
def test_one_match_proves_for_good_and_a_difference_refutes_until_then(
    pairs: list[tuple[int | None, int | None]], trust: TagTrust
) -> None:
    # Sabotage: let a difference refute what is proven: a damaged file would turn off the check that found it.
    rule = TagRule()
    for listed, known in pairs:
        rule.learn(listed, known)
    assert rule.trust is trust
