"""Which reads are evidence for or against a server's tag rule: with a fake EM, no sockets and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest

from emasync.api.files import Files, ReadFile
from emasync.errors import AuthError, NotFoundError
from emasync.model import FileEntry, FileTree, RemotePath
from emasync.transfer.verification import TagCompatibility, TagState, probe_tags
from emasync.wire.content_tag import content_tag
from emasync.wire.downlink import ResponseMetadata

A, B = b"content of a", b"content of file b"
SHA = ResponseMetadata(sha256="0" * 64)
NONE = ResponseMetadata()


def entry(name: str, data: bytes, *, tag: int | None = None) -> FileEntry:
    return FileEntry(path=RemotePath(name), size=len(data), content_tag=content_tag(data) if tag is None else tag)


class FakeFiles:
    def __init__(self, bodies: Mapping[str, bytes | Exception], claims: ResponseMetadata) -> None:
        self.bodies, self.claims = bodies, claims
        self.read: list[tuple[str, int | None]] = []

    async def read_with_claims(self, path: str, *, expected_size: int | None) -> ReadFile:
        self.read.append((path, expected_size))
        body = self.bodies[path]
        if isinstance(body, Exception):
            raise body
        return ReadFile(data=body, claims=self.claims)


async def probe(
    bodies: Mapping[str, bytes | Exception],
    before: list[FileEntry],
    after: list[FileEntry] | None,
    *,
    claims: ResponseMetadata = SHA,
    sent: Mapping[str, int] | None = None,
) -> tuple[TagState, FakeFiles]:
    files = FakeFiles(bodies, claims)
    tags = TagCompatibility()

    async def relist() -> FileTree:
        return FileTree(after or ())

    await probe_tags(cast(Files, files), tags, before, sent=sent, relist=None if after is None else relist)
    return tags.state, files


async def test_one_file_with_the_tag_of_its_bytes_confirms_and_no_more_are_read() -> None:
    # Sabotage: `return` left out after the match.
    state, files = await probe({"a": A, "b": B}, [entry("b", B), entry("a", A)], None)
    assert (state, files.read) == (TagState.CONFIRMED, [("a", len(A))])


# Sabotage: `if True` in the place of `if now == entry`: files that a pod rewrites make the rule an incompatible one.
@pytest.mark.parametrize(
    ("after", "state"),
    [
        ([entry("a", A, tag=1), entry("b", B, tag=2)], TagState.INCOMPATIBLE),
        ([entry("a", A, tag=1), entry("b", B, tag=3)], TagState.UNKNOWN),  # rewritten meanwhile
        ([entry("a", A, tag=1)], TagState.UNKNOWN),
        ([entry("a", A, tag=1), entry("b", B)], TagState.CONFIRMED),  # listed now as it was read
        ([], TagState.UNKNOWN),
        (None, TagState.UNKNOWN),
    ],
)
async def test_what_differs_is_evidence_only_where_two_files_are_listed_as_before(
    after: list[FileEntry] | None, state: TagState
) -> None:
    found, _ = await probe({"a": A, "b": B}, [entry("a", A, tag=1), entry("b", B, tag=2)], after)
    assert found is state


# Sabotage: `if True` in the place of the look at `claims.sha256`: bodies that are all spoiled alike refute the rule.
@pytest.mark.parametrize(
    ("sent", "state"),
    [
        (None, TagState.UNKNOWN),
        ({"a": content_tag(A), "b": content_tag(B)}, TagState.INCOMPATIBLE),
        ({"a": content_tag(A), "b": content_tag(A)}, TagState.UNKNOWN),  # not the bytes that were sent
    ],
)
async def test_bytes_without_a_checksum_are_certain_only_if_they_are_those_that_were_sent(
    sent: Mapping[str, int] | None, state: TagState
) -> None:
    listed = [entry("a", A, tag=1), entry("b", B, tag=2)]
    found, _ = await probe({"a": A, "b": B}, listed, listed, claims=NONE, sent=sent)
    assert found is state


async def test_a_file_that_cannot_be_read_tells_nothing_and_the_next_one_is_read() -> None:
    # Sabotage: let the error through.
    state, files = await probe({"a": NotFoundError("gone"), "b": B}, [entry("a", A, tag=1), entry("b", B)], None)
    assert (state, len(files.read)) == (TagState.CONFIRMED, 2)
    with pytest.raises(AuthError):
        await probe({"a": AuthError("no")}, [entry("a", A)], None)


async def test_empty_large_and_untagged_files_are_not_read() -> None:
    # Sabotage: leave `entry.size` out of the choice: an empty file's tag is any server's.
    large = FileEntry(path=RemotePath("l"), size=5 * 1024 * 1024, content_tag=1)
    untagged = FileEntry(path=RemotePath("u"), size=3)
    state, files = await probe({}, [entry("e", b""), large, untagged], [])
    assert (state, files.read) == (TagState.UNKNOWN, [])
