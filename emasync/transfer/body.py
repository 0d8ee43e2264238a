"""The body of one uplink call: heads, files and tail, streamed from disk with a length known in advance.

Owns: walking through the files of a call, and remembering what was read of each. May import disk and wire.
Knows nothing of requests; it is a `transport.Body`, made anew for each attempt.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

from emasync.disk import FileThreads, reading
from emasync.transfer.pace import Pace
from emasync.transfer.plan import UplinkItem
from emasync.wire.multipart import Multipart, Part, multipart, new_boundary

_JOIN = 64 * 1024  # small files and heads are handed on together, in pieces of about this


class UplinkBody:
    """`items` go out in order. After the end `sha256` and `tags` hold each file's digests, by index.

    `reading` is the index of the file being read, None between files and after the last: when reading raises
    (SourceChangedError, OSError), it is that file's.
    `on_progress(index, bytes of that file handed on)` is called as pieces are taken.
    """

    def __init__(
        self,
        items: tuple[UplinkItem, ...],
        *,
        fields: Mapping[str, str],
        threads: FileThreads,
        pace: Pace,
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
        for index, item in enumerate(self._items):
            waiting += self._plan.head(index)
            done = 0
            self.reading = index
            async with reading(self._threads, item.local, expect=item.fingerprint, chunk=self._pace.piece) as source:
                async for chunk in source:
                    done += len(chunk)
                    await self._pace.take(len(chunk))
                    if len(waiting) + len(chunk) <= _JOIN:
                        waiting += chunk
                    else:
                        if waiting:
                            yield bytes(waiting)
                            waiting.clear()
                        yield chunk
                    self._on_progress(index, done)
            self.reading = None
            self.sha256[index], self.tags[index] = source.sha256, source.tag
        yield bytes(waiting) + self._plan.tail
        self._on_sent()
