"""The multipart body of one uplink request, streamed from disk with a length known in advance.

It records the digests of what was read of each file. A new body is made for each sending; it fits `http.Body`. Knows
nothing of requests: must not import http's pipeline.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing

from emasync.disk import ExpectedFile, FileExecutor, SmallFile, open_reader, read_small_files
from emasync.transfer.limits import BandwidthLimit
from emasync.transfer.planning.plan import UplinkItem
from emasync.wire.multipart import Multipart, Part, multipart, new_boundary

_JOIN = 64 * 1024  # small files and part heads are joined to pieces of about this size


class UplinkBody:
    """`items` go out in order. After the end `sha256` and `tags` hold each file's digests, by index.

    `reading` is the index of the large file being read, or of the small one that could not be read, else None: when
    reading raises (SourceChangedError, OSError), it is that file's.
    `on_progress(index, bytes of that file handed on)` is called as pieces are taken.
    """

    def __init__(  # noqa: PLR0913 - the parts of a body and the two callbacks
        self,
        items: Sequence[UplinkItem],
        *,
        fields: Mapping[str, str],
        threads: FileExecutor,
        pace: BandwidthLimit,
        on_progress: Callable[[int, int], None],
        on_sent: Callable[[], None],
    ) -> None:
        parts = [Part(name=item.remote.name, size=item.fingerprint.size) for item in items]
        self._plan: Multipart = multipart(fields, parts, boundary=new_boundary())
        self._items = items
        self._threads = threads
        self._pace = pace
        self._on_progress = on_progress
        self._on_sent = on_sent
        self.reading: int | None = None
        self.sha256: dict[int, str | None] = {}
        self.tags: dict[int, int | None] = {}

    @property
    def content_type(self) -> str:
        return self._plan.content_type

    @property
    def length(self) -> int:
        return self._plan.length

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body in pieces of up to 1 MiB. Closing it early closes the file being read."""
        waiting = bytearray()
        for indexes in self._batches():
            pieces = self._at_once(indexes) if self._small(indexes[0]) else self._in_chunks(indexes[0])
            async with aclosing(pieces):
                async for piece in pieces:
                    if len(waiting) + len(piece) <= _JOIN:
                        waiting += piece
                        continue
                    if waiting:
                        yield bytes(waiting)
                        waiting.clear()
                    yield piece
        yield bytes(waiting) + self._plan.tail
        self._on_sent()

    def _small(self, index: int) -> bool:
        return self._wire_bytes(index) <= self._pace.chunk

    def _wire_bytes(self, index: int) -> int:
        return len(self._plan.head(index)) + self._items[index].fingerprint.size

    def _batches(self) -> Iterator[list[int]]:
        """Files in order: small ones together as long as they make one piece, each larger one alone."""
        batch: list[int] = []
        room = self._pace.chunk
        for index in range(len(self._items)):
            size = self._wire_bytes(index)
            if batch and size > room:
                yield batch
                batch, room = [], self._pace.chunk
            batch.append(index)
            room -= size
        yield batch

    async def _at_once(self, indexes: list[int]) -> AsyncGenerator[bytes, None]:
        """Small files with their heads, read in one hop to a thread."""
        read: list[SmallFile] = []
        items = [self._items[index] for index in indexes]
        sources = [ExpectedFile(path=item.local_path, fingerprint=item.fingerprint) for item in items]
        try:
            await self._threads.run_busy(lambda: read.extend(read_small_files(sources)))
        except Exception:
            self.reading = indexes[len(read)]
            raise
        finally:
            for index, small in zip(indexes, read, strict=False):
                self.sha256[index], self.tags[index] = small.sha256, small.tag
        await self._pace.take(sum(len(small.data) for small in read))
        yield b"".join(
            part for index, small in zip(indexes, read, strict=True) for part in (self._plan.head(index), small.data)
        )
        for index, small in zip(indexes, read, strict=True):
            self._on_progress(index, len(small.data))

    async def _in_chunks(self, index: int) -> AsyncGenerator[bytes, None]:
        """A large file, read a chunk ahead."""
        yield self._plan.head(index)
        item, done = self._items[index], 0
        self.reading = index
        async with open_reader(
            self._threads, item.local_path, expect=item.fingerprint, chunk=self._pace.chunk
        ) as source:
            async for chunk in source:
                done += len(chunk)
                await self._pace.take(len(chunk))
                yield chunk
                self._on_progress(index, done)
        self.reading = None
        self.sha256[index], self.tags[index] = source.sha256, source.tag
