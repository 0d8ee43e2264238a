"""The content tag of a large file is computed beside everything else, and lags behind by a few chunks at most."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace

from emasync.disk import FileExecutor, open_reader


async def test_chunks_are_hashed_for_the_tag_in_order_and_few_of_them_wait(
    threads: FileExecutor, tmp_path: Path
) -> None:
    # Sabotage: start a job a chunk: two threads add theirs in any order. Or no `_UNTAGGED`: a slow hash keeps the file.
    chunks = [b"%04d" % number for number in range(12)]
    (tmp_path / "f").write_bytes(b"".join(chunks))
    hashed: list[bytes] = []
    go = threading.Event()

    def held(chunk: bytes) -> None:
        assert go.wait(30)
        hashed.append(chunk)

    async with open_reader(threads, tmp_path / "f", chunk=4) as reader:
        reader._file.tags = SimpleNamespace(update=held, tag=1)  # type: ignore[assignment]
        for _ in range(3):
            await anext(reader)
        fourth = asyncio.ensure_future(anext(reader))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not fourth.done()
        go.set()
        early = [await fourth, reader.tag]  # the last chunks are not in it yet
        assert len([chunk async for chunk in reader]) == 8
        assert [*early, reader.tag] == [chunks[3], None, 1]
    assert hashed == chunks
