"""What a listing proves about a file that was sent, as one table."""

from __future__ import annotations

import pytest

from emasync.model import FileEntry, FileTree, RemotePath, Verified, Verify
from emasync.transfer.verification import SentFile, TagCompatibility, TagState, Verdict, verify_sent

UNKNOWN, CONFIRMED, INCOMPATIBLE = TagState.UNKNOWN, TagState.CONFIRMED, TagState.INCOMPATIBLE
NO = None
PATH = RemotePath("d/a")


def tags_of(state: TagState) -> TagCompatibility:
    tags = TagCompatibility()
    if state is CONFIRMED:
        tags.match()
    elif state is INCOMPATIBLE:
        tags.mismatch("x")
        tags.mismatch("y")
    return tags


def entry(size: int | None, tag: int | None = None) -> FileEntry:
    return FileEntry(path=PATH, size=size, content_tag=tag)


def verdict(
    listed: FileEntry | None,
    state: TagState,
    *,
    verify: Verify = "content",
    counted: bool = True,
    tag: int | None = 7,
    resent: bool = False,
    unknown_folders: tuple[str, ...] = (),
) -> Verdict:
    tree = FileTree([] if listed is None else [listed], folders=["d"], unknown_folders=unknown_folders)
    tags = tags_of(state)
    sent = SentFile(path=PATH, size=10, tag=tag, acknowledged=counted, resent=resent)
    return verify_sent(sent, tree, tags=tags, by_content=verify == "content")


# Sent: 10 bytes with tag 7. `how` None: not arrived.
# fmt: off
ROWS: list[tuple[FileEntry | None, TagState, Verify, bool, Verified | None]] = [
    # listed          state         verify     counted  how
    (None,            CONFIRMED,    "content", True,    NO),
    (None,            UNKNOWN,      "none",    True,    NO),
    (entry(9, 7),     CONFIRMED,    "content", True,    NO),
    (entry(9, 7),     CONFIRMED,    "size",    True,    NO),
    (entry(10, 7),    CONFIRMED,    "content", True,    Verified.TAG),
    (entry(10, 7),    UNKNOWN,      "content", True,    Verified.TAG),
    (entry(10, 7),    INCOMPATIBLE, "content", True,    Verified.TAG),
    (entry(None, 7),  CONFIRMED,    "content", True,    Verified.TAG),
    (entry(10, 8),    CONFIRMED,    "content", True,    NO),
    (entry(10, 8),    UNKNOWN,      "content", True,    NO),
    (entry(10, 8),    INCOMPATIBLE, "content", True,    Verified.SIZE),
    (entry(10, 8),    CONFIRMED,    "size",    True,    Verified.SIZE),
    (entry(10),       CONFIRMED,    "content", True,    Verified.SIZE),
    (entry(None),     CONFIRMED,    "content", True,    Verified.COUNT),
    (entry(None, 8),  INCOMPATIBLE, "content", True,    Verified.COUNT),
    # after a lost answer: only a tag tells this file from an older one of the same size
    (entry(10, 7),    CONFIRMED,    "content", False,   Verified.TAG),
    (entry(10, 7),    CONFIRMED,    "size",    False,   Verified.TAG),
    (entry(10, 8),    CONFIRMED,    "size",    False,   NO),
    (entry(10),       CONFIRMED,    "content", False,   NO),
    (entry(10, 8),    INCOMPATIBLE, "content", False,   NO),
    (entry(None),     UNKNOWN,      "none",    False,   NO),
]
# fmt: on


@pytest.mark.parametrize(("listed", "state", "verify", "counted", "how"), ROWS)
def test_a_sent_file_is_judged_by_what_is_listed(
    listed: FileEntry | None, state: TagState, verify: Verify, counted: bool, how: Verified | None
) -> None:
    # Sabotage: drop `or not file.acknowledged`, or `if not file.acknowledged`: an old file of that size
    # passes for the lost one.
    found = verdict(listed, state, verify=verify, counted=counted)
    assert found.arrived is (how is not None)
    assert found.listed
    if how is not None:
        assert found.verified is how
    else:
        assert found.mismatch_reason


# Sabotage: leave `resent` out of `_compare_tags`: sent for ever; or `acknowledged`: an older file passes for
# the lost one.
@pytest.mark.parametrize(
    ("state", "counted", "how"),
    [
        (UNKNOWN, True, Verified.SIZE),
        (UNKNOWN, False, NO),
        (CONFIRMED, True, NO),
        (INCOMPATIBLE, True, Verified.SIZE),
    ],
)
def test_a_file_that_was_sent_again_is_there_by_size_while_the_rule_is_unknown(
    state: TagState, counted: bool, how: Verified | None
) -> None:
    found = verdict(entry(10, 8), state, counted=counted, resent=True)
    assert (found.verified if found.arrived else None) == how


def test_where_the_sent_bytes_tag_is_not_known_the_size_has_to_do() -> None:
    found = verdict(entry(10, 8), CONFIRMED, tag=None)
    assert (found.arrived, found.verified) == (True, Verified.SIZE)


# Sabotage: leave `unknown_above` out of `verify_sent`: what no listing tells of is called missing, and sent again.
@pytest.mark.parametrize("unknown", ["d", ""])
def test_a_folder_whose_contents_are_not_listed_tells_nothing_of_its_files(unknown: str) -> None:
    found = verdict(None, CONFIRMED, unknown_folders=(unknown,))
    assert (found.arrived, found.listed) == (False, False)
    assert (unknown or "the volume") in found.mismatch_reason
