"""`em.files` on a fake transport: what a delete in doubt does, and how a read is verified."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pybase64
import pytest

from emasync.api import Files
from emasync.config import Limits
from emasync.errors import (
    BadRequestError,
    IntegrityError,
    NotFoundError,
    ProtocolError,
    ServerError,
    TargetChangedError,
    TooLargeError,
    UnknownOutcomeError,
    UnreachableError,
)
from emasync.model import FileEntry, RemotePath
from emasync.wire.requests import Volume
from tests.unit.fake_em import FakeEM

DATA = bytes(range(256)) * 3
DELETE, LIST, DOWN = "em/files/delete", "em/files/list", "em/files/downlink"
RESET = UnreachableError("reset", sent=True)
THERE = {"data": [{"type": "file", "name": "a", "size": "1"}]}
GONE: dict[str, object] = {"data": []}


def files(fake: FakeEM) -> Files:
    return Files(fake.pipeline(), Volume(), limits=Limits())


def envelope(data: bytes = DATA, **changed: object) -> bytes:
    facts = {"filename": "a", "content": pybase64.b64encode(data).decode(), "size": len(data)}
    return json.dumps(facts | {"hash": hashlib.sha256(data).hexdigest()} | changed).encode()


def down(*answers: object) -> FakeEM:
    return FakeEM(answers={DOWN: list(answers)}, headers={"Content-Type": "application/json"})


async def test_a_delete_is_one_call() -> None:
    fake = FakeEM()
    await files(fake).delete("a")
    assert fake.sent == ["auth/", DELETE]


@pytest.mark.parametrize("error", [NotFoundError("404", status=404), BadRequestError("400", status=400)])
async def test_a_delete_that_is_refused_raises(error: Exception) -> None:
    fake = FakeEM(answers={DELETE: [error]})
    with pytest.raises(type(error)):
        await files(fake).delete("a")
    assert fake.count(LIST) == 0


async def test_a_delete_in_doubt_is_done_when_the_listing_does_not_show_it() -> None:
    fake = FakeEM(answers={DELETE: [RESET], LIST: [GONE]})
    await files(fake).delete("a")
    assert (fake.count(DELETE), fake.count(LIST)) == (1, 1)


async def test_a_delete_in_doubt_is_repeated_when_it_is_still_listed() -> None:
    fake = FakeEM(answers={DELETE: [RESET, {}], LIST: [THERE]})
    await files(fake).delete("a")
    assert fake.count(DELETE) == 2


async def test_after_a_doubt_a_404_means_deleted() -> None:
    fake = FakeEM(answers={DELETE: [RESET, NotFoundError("404")], LIST: [THERE]})
    await files(fake).delete("a")


async def test_after_a_doubt_a_400_means_deleted_only_if_it_is_gone() -> None:
    # Sabotage: treat a 400 like a 404: the file is there, and the caller is told it is not.
    refused = BadRequestError("400: permission denied", status=400)
    fake = FakeEM(answers={DELETE: [RESET, refused], LIST: [THERE]})
    with pytest.raises(BadRequestError):
        await files(fake).delete("a")
    await files(FakeEM(answers={DELETE: [RESET, refused], LIST: [THERE, GONE]})).delete("a")


@pytest.mark.parametrize("lost", [RESET, ServerError("500", status=500)])
async def test_a_delete_whose_answer_is_always_lost_says_so(lost: Exception) -> None:
    fake = FakeEM(answers={DELETE: [lost], LIST: [THERE]})
    with pytest.raises(UnknownOutcomeError):
        await files(fake).delete("a")
    assert fake.count(DELETE) == 3


async def test_a_folder_that_is_still_listed_was_not_deleted() -> None:
    # Sabotage: look for files alone.
    tree = {"data": [{"type": "directory", "name": "a", "contents": []}]}
    fake = FakeEM(answers={DELETE: [RESET, {}], LIST: [tree]})
    await files(fake).delete("a")
    assert fake.count(DELETE) == 2


def volume(*names: str, folder: str | None = None, size: int = 1) -> dict[str, object]:
    entries = [{"type": "file", "name": name, "size": str(size)} for name in names]
    return {"data": entries if folder is None else [{"type": "directory", "name": folder, "contents": entries}]}


def entry(path: str, size: int = 1) -> FileEntry:
    return FileEntry(path=RemotePath(path), size=size)


# Sabotage: in `delete`, leave out `if not there <= meant`: what a pod has written meanwhile is deleted, too.
@pytest.mark.parametrize(
    ("path", "expected", "listing"),
    [
        ("a", [entry("a")], volume("a", size=2)),
        ("a", [entry("a")], volume("b", folder="a")),
        ("d", [entry("d/a")], volume("a", "b", folder="d")),
        ("d", [], volume("a", folder="d")),
        ("d", [entry("d/a")], volume("d")),
    ],
)
async def test_a_delete_in_doubt_is_not_repeated_on_what_was_written_since(
    path: str, expected: list[FileEntry], listing: dict[str, object]
) -> None:
    fake = FakeEM(answers={DELETE: [RESET, {}], LIST: [listing]})
    with pytest.raises(TargetChangedError, match=f"{path} changed on the EM while it was being deleted; it was kept"):
        await files(fake).delete(path, expected=expected)
    assert fake.count(DELETE) == 1


async def test_a_delete_in_doubt_of_a_folder_whose_contents_are_not_listed_is_unknown() -> None:
    # Sabotage: leave `or tree.unknown_below(path)` out.
    fake = FakeEM(answers={DELETE: [RESET, {}], LIST: [{"data": [{"type": "directory", "name": "d"}]}]})
    with pytest.raises(UnknownOutcomeError):
        await files(fake).delete("d")
    assert fake.count(DELETE) == 1


@pytest.mark.parametrize(
    ("path", "expected", "listing"),
    [
        ("a", [entry("a")], volume("a")),
        ("d", [entry("d/a"), entry("d/b")], volume("a", folder="d")),  # a part of it is gone already
        ("d", [], volume(folder="d")),
    ],
)
async def test_a_delete_in_doubt_is_repeated_while_it_is_what_was_meant(
    path: str, expected: list[FileEntry], listing: dict[str, object]
) -> None:
    # Sabotage: compare `there` with `meant` by `==` alone.
    fake = FakeEM(answers={DELETE: [RESET, {}], LIST: [listing]})
    await files(fake).delete(path, expected=expected)
    assert fake.count(DELETE) == 2


async def test_without_expectation_the_first_listing_after_a_lost_answer_says_what_is_meant() -> None:
    # Sabotage: leave `meant = there if meant is None` out.
    fake = FakeEM(answers={DELETE: [RESET, RESET, {}], LIST: [volume("a"), volume("a", size=2)]})
    with pytest.raises(TargetChangedError):
        await files(fake).delete("a")
    assert fake.count(DELETE) == 2


NO_LISTINGS: list[object] = [
    {},
    {"data": None},
    {"error": "EM_OFFLINE", "message": "link down"},
    {"message": "later"},
    {"data": [{"type": "directory", "name": "d"}]},
]


# Sabotage: in `_gone`, leave out `tree.is_known(path)`, or take an answer without entries for an empty volume.
@pytest.mark.parametrize("listing", NO_LISTINGS)
@pytest.mark.parametrize("then", [None, BadRequestError("400", status=400)])
async def test_a_delete_in_doubt_stays_unknown_where_no_listing_tells(listing: object, then: Exception | None) -> None:
    answers = [RESET] if then is None else [RESET, then]
    fake = FakeEM(answers={DELETE: answers, LIST: [listing] if then is None else [{"data": [{"name": "a"}]}, listing]})
    path = "d/a" if isinstance(listing, dict) and listing.get("data") else "a"
    if then is not None and path == "d/a":
        fake.answers[LIST][0] = {"data": [{"type": "directory", "name": "d", "contents": [{"name": "a"}]}]}
    with pytest.raises(UnknownOutcomeError):
        await files(fake).delete(path)


# Sabotage: read the listing outside of the attempt.
async def test_an_answer_that_is_no_listing_is_asked_for_again_and_then_is_an_error() -> None:
    fake = FakeEM(answers={LIST: [{"error": "EM_OFFLINE"}, {}, {"data": [{"name": "a"}]}]})
    assert "a" in await files(fake).list()
    fake = FakeEM(answers={LIST: [{"data": None, "message": "EM is offline"}]})
    with pytest.raises(ProtocolError, match="no listing") as caught:
        await files(fake).list()
    assert (fake.count(LIST), caught.value.detail) == (3, "EM is offline")


# Sabotage: leave out `expected_size=expected_size` in `read`: a file listed at 100 bytes may take all memory.
async def test_a_read_stops_soon_after_the_size_that_was_listed() -> None:
    small = replace(Limits(), overrun=100)
    fake = down(envelope(bytes(2000)))
    with pytest.raises(IntegrityError, match="runs past"):
        await Files(fake.pipeline(), Volume(), limits=small).read("a", expected_size=100)


async def test_a_file_is_read_and_verified() -> None:
    assert await files(down(envelope())).read("a") == DATA


async def test_a_read_is_tried_three_times_before_wrong_bytes_are_an_error() -> None:
    # Sabotage: skip `FileContent.verify`.
    fake = down(envelope(hash="0" * 64))
    with pytest.raises(IntegrityError):
        await files(fake).read("a")
    assert fake.count(DOWN) == 3


async def test_wrong_bytes_once_are_only_a_second_try() -> None:
    fake = down(envelope(size=5), envelope())
    assert await files(fake).read("a") == DATA
    assert fake.count(DOWN) == 2


async def test_a_stream_gives_the_bytes_and_proves_them_at_the_end() -> None:
    async with files(down(envelope())).stream("a") as chunks:
        parts = [chunk async for chunk in chunks]
    assert (b"".join(parts), all(parts)) == (DATA, True)

    with pytest.raises(IntegrityError):
        async with files(down(envelope(hash="0" * 64))).stream("a") as chunks:
            parts = [chunk async for chunk in chunks]


async def test_a_stream_that_is_left_early_gives_the_connection_back() -> None:
    fake = down(envelope())
    async with files(fake).stream("a") as chunks:
        await anext(chunks)
        assert fake.open_responses == 1
    assert (fake.open_responses, fake.limiter.inside) == (0, 0)


# Sabotage: hand `only` on as it is: other spellings find nothing, and one path is taken letter by letter.
async def test_a_listing_can_be_had_for_some_files_in_any_spelling() -> None:
    listed = {"data": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]}
    tree = await files(FakeEM(answers={LIST: [listed]})).list(only=["/./a"])
    assert [entry.path for entry in tree] == ["a"]
    with pytest.raises(TypeError, match="several paths"):
        await files(FakeEM(answers={LIST: [listed]})).list(only="a")


# Sabotage: leave out the comparison with `read_reply`: a file without end takes all memory.
async def test_a_file_beyond_the_limit_is_not_read_into_memory_unless_its_size_is_named() -> None:
    limits = Limits(read_reply=500)
    fake = down(envelope())
    with pytest.raises(TooLargeError, match=r"files\.stream"):
        await Files(fake.pipeline(), Volume(), limits=limits).read("a")
    assert fake.count(DOWN) == 1
    assert await Files(down(envelope()).pipeline(), Volume(), limits=limits).read("a", expected_size=len(DATA)) == DATA
    assert await Files(down(envelope(DATA[:500])).pipeline(), Volume(), limits=limits).read("a") == DATA[:500]
