"""`em.files`: single requests for the volume's files: list, delete, read.

Transfers of many files, and files on disk, are in `emasync.transfer`. Must not import disk or transfer.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from emasync.config import Limits
from emasync.errors import (
    BadRequestError,
    EMError,
    NotFoundError,
    TargetChangedError,
    TooLargeError,
    UnknownOutcomeError,
)
from emasync.http.pipeline import RequestPipeline, RequestStats
from emasync.http.response import FileContent
from emasync.model import FileEntry, FileTree, safe
from emasync.wire import requests
from emasync.wire.downlink import ResponseMetadata

_DELETE_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """A whole file in memory: its bytes, and what the response claimed of it. They agree as far as it claimed
    anything; only a claimed SHA-256 makes the bytes certain."""

    data: bytes
    claims: ResponseMetadata


class Files:
    """The files of one volume. Paths are sent as they are given; a leading slash means the volume's root."""

    def __init__(
        self,
        pipeline: RequestPipeline,
        volume: requests.Volume,
        *,
        limits: Limits,
        stats: RequestStats | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._volume = volume
        self._limits = limits
        self._stats = stats

    def with_stats(self, stats: RequestStats) -> Files:
        """The same files, of which every request counts in `stats`, and stops where its error budget is used up.

        >>> from emasync.http.pipeline import RequestStats
        >>> stats = RequestStats()
        >>> tree = await em.files.with_stats(stats).list()
        >>> stats.requests
        1
        """
        return Files(self._pipeline, self._volume, limits=self._limits, stats=stats)

    async def list(self, *, only: Collection[str] | None = None) -> FileTree:
        """Everything in the volume (``em/files/list``); one call, however many files.

        `only`: the paths that matter, in any spelling: memory is then taken for these files alone. TypeError for one
        path alone. An answer that is no listing is asked for again (as after a 500), then it is a ProtocolError. What a
        listing does not say of some folders is in its `unknown_folders`: ask `is_known` before you conclude anything
        from an absence.

        >>> tree = await em.files.list()
        >>> [(entry.path, entry.size) for entry in tree]
        [('results/a.txt', 6), ('results/b.txt', 12)]
        """
        if isinstance(only, str):
            raise TypeError(f"only takes several paths, not {only!r} alone")
        async for attempt in self._pipeline.attempts(requests.list_files(self._volume), stats=self._stats):
            async with attempt as response:
                tree = await response.listing(only=only)
        return tree

    async def delete(  # noqa: C901 - the cases of a lost answer, one after the other
        self,
        path: str,
        *,
        expected: Collection[FileEntry] | None = None,
        relist: Callable[[], Awaitable[FileTree]] | None = None,
    ) -> None:
        """Delete a file, or a folder with all that is in it (``em/files/delete``).

        BadRequestError or NotFoundError when it is not there. When an answer is lost the volume is listed: a path that
        a listing knows to be gone counts as deleted; UnknownOutcomeError where no listing tells. ValueError for the
        root of the volume.

        `expected`: the files that are to go, as a listing showed them (``[entry]``, or all those in the folder). Then a
        deletion whose answer was lost is repeated only while a listing shows nothing else at `path`: TargetChangedError
        where it does, for that was written since. Without it, what the first listing after the loss shows is expected.
        `relist` makes that listing, for callers that have a use for it; without it `list` does.

        >>> await em.files.delete("results/a.txt")
        >>> "results/a.txt" in await em.files.list()
        False
        """
        lost: UnknownOutcomeError | None = None
        meant = None if expected is None else frozenset(expected)
        for _ in range(_DELETE_ROUNDS):
            refused: BadRequestError | None = None
            try:
                await self._pipeline.json(requests.delete(self._volume, path), stats=self._stats)
            except UnknownOutcomeError as error:
                lost = error
            except NotFoundError:
                if lost is None:
                    raise
                return
            except BadRequestError as error:
                if lost is None:
                    raise
                refused = error
            else:
                return
            try:
                tree = await (self.list() if relist is None else relist())
            except EMError:
                break
            if not tree.is_known(path) or tree.unknown_below(path):
                break
            there = frozenset(tree.below(path) if tree.is_folder(path) else filter(None, [tree.get(path)]))
            if not there and not tree.is_folder(path):
                return
            if refused is not None:
                raise refused
            meant = there if meant is None else meant
            if not there <= meant:
                raise TargetChangedError(f"{safe(path)} changed on the EM while it was being deleted; it was kept")
        assert lost is not None
        raise lost

    async def read(self, path: str, *, expected_size: int | None = None) -> bytes:
        """The whole file in memory, verified as far as the server gives size and SHA-256.

        NotFoundError, ForbiddenError (outside the volume), IntegrityError after three tries. For large files there is
        `stream`, or `Client.downlink` to disk. `expected_size` (bytes, from a listing) bounds the answer: an
        IntegrityError as soon as it runs past that by more than 64 KiB. Without it a file of more than
        `Limits.read_reply` bytes is a TooLargeError.

        >>> await em.files.read("results/a.txt")
        b'hello\\n'
        """
        return (await self.read_with_claims(path, expected_size=expected_size)).data

    async def read_with_claims(self, path: str, *, expected_size: int | None = None) -> ReadFile:
        """As `read`, with what the response itself claims of the file.

        >>> file = await em.files.read_with_claims("results/a.txt")
        >>> file.data, file.claims.size
        (b'hello\\n', 6)
        """
        async for attempt in self._pipeline.attempts(requests.downlink(self._volume, path), stats=self._stats):
            async with attempt as response:
                content = FileContent(response, self._limits, expected_size=expected_size)
                chunks: list[bytes] = []
                while chunk := await content.receive():
                    chunks.append(chunk)
                    if expected_size is None and content.size > self._limits.read_reply:
                        raise self._too_large(path)
                data = b"".join(chunks)
                content.verify(hashlib.sha256(data).hexdigest())
        return ReadFile(data=data, claims=content.facts)

    def _too_large(self, path: str) -> TooLargeError:
        return TooLargeError(
            f"{safe(path)} has more than {self._limits.read_reply:,} bytes, too many to read into memory: use "
            "files.stream or Client.downlink, name its size as expected_size, or raise Limits.read_reply"
        )

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """``async with em.files.stream(path) as chunks: async for chunk in chunks: ...``

        Decoded bytes as they arrive, in bounded memory; nothing but the server bounds how many. What was announced is
        verified at the end: the last step raises IntegrityError if size or SHA-256 differ, so nothing is proved before
        the iteration has ended. A break in the middle is raised, not retried; leaving the block early drops the
        connection.

        >>> async with em.files.stream("results/a.txt") as chunks:
        ...     async for chunk in chunks:
        ...         print(chunk)
        b'hello\\n'
        """
        async with (
            self._pipeline.open(requests.downlink(self._volume, path), stats=self._stats) as response,
            aclosing(_verified(FileContent(response, self._limits))) as chunks,
        ):
            yield chunks


async def _verified(content: FileContent) -> AsyncGenerator[bytes, None]:
    digest = hashlib.sha256()
    while chunk := await content.receive():
        digest.update(chunk)
        yield chunk
    content.verify(digest.hexdigest())
