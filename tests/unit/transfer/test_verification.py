"""What a listing proves about a file that was sent, as one table."""

from __future__ import annotations

import pytest
from emasync.transfer.tags import TagRule, TagTrust
from emasync.transfer.verdicts import judge_sent, learn_from_sent

from emasync.model import FileEntry, RemotePath, Verified, Verify

OPEN, PROVEN, REFUTED = TagTrust.OPEN, TagTrust.PROVEN, TagTrust.REFUTED
NO = None


def rule(trust: TagTrust) -> TagRule:
    tags = TagRule()
    if trust is not OPEN:
        tags.learn(1, 1 if trust is PROVEN else 2)
    return tags


def entry(size: int | None, tag: int | None = None) -> FileEntry:
    return FileEntry(path=RemotePath("a"), size=size, content_tag=tag)


# Sent: 10 bytes with tag 7. `how` None: not arrived.
# fmt: off
ROWS: list[tuple[FileEntry | None, TagTrust, Verify, bool, Verified | None]] = [
    # listed          trust    verify     counted  how
    (None,            PROVEN,  "content", True,    NO),
    (None,            OPEN,    "none",    True,    NO),
    (entry(9, 7),     PROVEN,  "content", True,    NO),
    (entry(9, 7),     PROVEN,  "size",    True,    NO),
    (entry(10, 7),    PROVEN,  "content", True,    Verified.TAG),
    (entry(10, 7),    OPEN,    "content", True,    Verified.TAG),
    (entry(None, 7),  PROVEN,  "content", True,    Verified.TAG),
    (entry(10, 8),    PROVEN,  "content", True,    NO),
    (entry(10, 8),    OPEN,    "content", True,    NO),
    (entry(10, 8),    REFUTED, "content", True,    Verified.SIZE),
    (entry(10, 8),    PROVEN,  "size",    True,    Verified.SIZE),
    (entry(10),       PROVEN,  "content", True,    Verified.SIZE),
    (entry(None),     PROVEN,  "content", True,    Verified.COUNT),
    (entry(None, 8),  REFUTED, "content", True,    Verified.COUNT),
    # after a lost answer: only a tag tells this file from an older one of the same size
    (entry(10, 7),    PROVEN,  "content", False,   Verified.TAG),
    (entry(10, 7),    PROVEN,  "size",    False,   Verified.TAG),
    (entry(10, 8),    PROVEN,  "size",    False,   NO),
    (entry(10),       PROVEN,  "content", False,   NO),
    (entry(10, 7),    REFUTED, "content", False,   NO),
    (entry(None),     OPEN,    "none",    False,   NO),
]
# fmt: on


@pytest.mark.parametrize(("listed", "trust", "verify", "counted", "how"), ROWS)
def test_a_sent_file_is_judged_by_what_is_listed(
    listed: FileEntry | None, trust: TagTrust, verify: Verify, counted: bool, how: Verified | None
) -> None:
    # Sabotage: drop `or not counted`, or `if not counted`: an old file of that size passes for the lost one.
    verdict = judge_sent(listed, size=10, tag=7, counted=counted, tags=rule(trust), verify=verify)
    assert verdict.arrived is (how is not None)
    if how is not None:
        assert verdict.how is how
    else:
        assert verdict.why


def test_where_the_sent_bytes_tag_is_not_known_the_size_has_to_do() -> None:
    verdict = judge_sent(entry(10, 8), size=10, tag=None, counted=True, tags=rule(PROVEN), verify="content")
    assert (verdict.arrived, verdict.how) == (True, Verified.SIZE)


@pytest.mark.parametrize(
    ("pairs", "trust"),
    [
        ([], OPEN),
        ([(entry(1, 5), 5)], PROVEN),
        ([(entry(1, 6), 5)], REFUTED),
        ([(entry(1, 6), 5), (entry(1, 5), 5)], PROVEN),  # one damaged file among good ones
        ([(entry(0, 5), 5)], OPEN),  # every server gives empty files some constant
        ([(entry(1, None), 5)], OPEN),
    ],
)
def test_a_call_s_files_prove_or_refute_the_rule_together(pairs: list[tuple[FileEntry, int]], trust: TagTrust) -> None:
    # Sabotage: learn from the first pair alone.
    tags = TagRule()
    learn_from_sent(pairs, tags)
    assert tags.trust is trust
