"""The body of one uplink call: the bytes that a server's parser wants, exactly as many as announced."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from email import message_from_bytes
from pathlib import Path

import pytest

from emasync.disk import FileExecutor, fingerprint
from emasync.errors import SourceChangedError
from emasync.model import RemotePath
from emasync.transfer.limits import BandwidthLimit
from emasync.transfer.planning.plan import UplinkItem
from emasync.transfer.uplink_body import UplinkBody
from emasync.wire.content_tag import content_tag

SIZES = {"empty": 0, "one": 1, "a ü.txt": 70_000, "large": 2_500_000, "small": 10}


@pytest.fixture
async def threads() -> AsyncIterator[FileExecutor]:
    async with FileExecutor(size=2) as running:
        yield running


@pytest.fixture
def items(tmp_path: Path) -> tuple[UplinkItem, ...]:
    found = []
    for number, (name, size) in enumerate(SIZES.items()):
        file = tmp_path / name
        file.write_bytes(bytes([number + 65]) * size)
        found.append(UplinkItem.at(str(file), remote=RemotePath(f"dest/{name}"), fingerprint=fingerprint(file)))
    return tuple(found)


class Told:
    """What a body reports while it is read."""

    def __init__(self) -> None:
        self.progress: list[tuple[int, int]] = []
        self.sent = 0

    def body(self, items: tuple[UplinkItem, ...], threads: FileExecutor) -> UplinkBody:
        return UplinkBody(
            items,
            fields={"dest_path": "dest"},
            threads=threads,
            pace=BandwidthLimit(None),
            on_progress=lambda index, done: self.progress.append((index, done)),
            on_sent=self._count,
        )

    def _count(self) -> None:
        self.sent += 1


async def whole(body: UplinkBody) -> bytes:
    return b"".join([chunk async for chunk in body.chunks()])


async def test_the_body_has_the_announced_length_and_holds_every_file(
    items: tuple[UplinkItem, ...], threads: FileExecutor
) -> None:
    told = Told()
    body = told.body(items, threads)
    data = await whole(body)
    assert len(data) == body.length
    message = message_from_bytes(f"Content-Type: {body.content_type}\r\n\r\n".encode() + data)
    parts = message.get_payload()
    assert isinstance(parts, list)
    payloads = [part.get_payload(decode=True) for part in parts]  # type: ignore[union-attr]
    assert payloads == [b"dest", *(item.local.read_bytes() for item in items)]
    assert told.sent == 1


async def test_digests_of_what_was_read_are_known_afterwards(
    items: tuple[UplinkItem, ...], threads: FileExecutor
) -> None:
    body = Told().body(items, threads)
    await whole(body)
    for index, item in enumerate(items):
        data = item.local.read_bytes()
        assert body.sha256[index] == hashlib.sha256(data).hexdigest()
        assert body.tags[index] == content_tag(data)
    assert body.reading is None


async def test_progress_is_in_bytes_of_each_file_and_ends_at_its_size(
    items: tuple[UplinkItem, ...], threads: FileExecutor
) -> None:
    told = Told()
    await whole(told.body(items, threads))
    last = dict(told.progress)
    assert [last.get(index, 0) for index in range(len(items))] == list(SIZES.values())
    assert told.progress == sorted(told.progress)


async def test_small_pieces_go_out_together_and_no_piece_is_empty_or_huge(
    items: tuple[UplinkItem, ...], threads: FileExecutor
) -> None:
    # Sabotage: yield `waiting` at every file: a hundred tiny files would be two hundred tiny writes.
    body = Told().body(items, threads)
    sizes = [len(chunk) async for chunk in body.chunks()]
    assert min(sizes) > 0
    assert max(sizes) <= 1 << 20
    assert len(sizes) <= 8


async def test_each_attempt_is_a_new_body_with_a_boundary_of_its_own(
    items: tuple[UplinkItem, ...], threads: FileExecutor
) -> None:
    assert Told().body(items, threads).content_type != Told().body(items, threads).content_type


@pytest.mark.parametrize("change", ["grown", "shrunk", "rewritten", "gone"])
async def test_a_file_that_changed_ends_the_body_and_is_named_by_its_index(
    items: tuple[UplinkItem, ...], threads: FileExecutor, change: str
) -> None:
    # Sabotage: leave out `expect=item.fingerprint`.
    file = items[3].local
    if change == "gone":
        file.unlink()
    else:
        file.write_bytes(b"x" * {"grown": 2_500_001, "shrunk": 5, "rewritten": 2_500_000}[change])
    told = Told()
    body = told.body(items, threads)
    with pytest.raises((SourceChangedError, FileNotFoundError)):
        await whole(body)
    assert body.reading == 3
    assert sorted(body.sha256) == [0, 1, 2]
    assert told.sent == 0


@pytest.mark.parametrize("changed", [0, 1, 2])
async def test_a_small_file_that_changed_is_named_among_those_read_with_it(
    items: tuple[UplinkItem, ...], threads: FileExecutor, changed: int
) -> None:
    # Sabotage: name the first file of the batch; or forget the digests of those that were read.
    items[changed].local.write_bytes(b"grown" * 50_000)
    body = Told().body(items, threads)
    with pytest.raises(SourceChangedError):
        await whole(body)
    assert body.reading == changed
    assert sorted(body.sha256) == sorted(body.tags) == list(range(changed))


async def test_small_files_that_follow_each_other_cost_one_hop(
    items: tuple[UplinkItem, ...], threads: FileExecutor
) -> None:
    # Sabotage: a batch for each file: a thousand small files would be a thousand hops to a thread.
    hops: list[object] = []
    start = threads.start
    threads.start = lambda *args: hops.append(args) or start(*args)  # type: ignore[method-assign,func-returns-value]
    await whole(Told().body((items[0], items[1], items[2], items[4]), threads))
    assert len(hops) == 1


async def test_small_files_of_more_than_a_piece_are_read_piece_by_piece(tmp_path: Path, threads: FileExecutor) -> None:
    # Sabotage: never begin a new batch: a call of small files would be in memory as a whole.
    found = []
    for number in range(8):
        file = tmp_path / f"{number}"
        file.write_bytes(bytes([number]) * 300_000)
        found.append(UplinkItem.at(str(file), remote=RemotePath(f"dest/{number}"), fingerprint=fingerprint(file)))
    body = Told().body(tuple(found), threads)
    sizes = [len(chunk) async for chunk in body.chunks()]
    assert max(sizes) <= 1 << 20
    assert sum(sizes) == body.length
    assert sorted(body.tags) == list(range(8))


async def test_a_body_that_is_closed_early_closes_its_file(
    items: tuple[UplinkItem, ...], threads: FileExecutor
) -> None:
    chunks = Told().body(items, threads).chunks()
    await anext(chunks)
    await chunks.aclose()
    opened = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()}
    assert not {str(item.local) for item in items} & opened
