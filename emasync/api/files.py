"""`em.files`: the volume's files, one call at a time.

Owns: listing, deleting, reading one file. May import caller and below. Many files, and files on disk, are
`emasync.transfer`'s.
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
    IntegrityError,
    NotFoundError,
    TargetChangedError,
    TooLargeError,
    UnknownOutcomeError,
)
from emasync.http import Response
from emasync.http.pipeline import RequestPipeline, RequestStats
from emasync.model import FileEntry, FileTree, safe
from emasync.wire import requests
from emasync.wire.downlink import ResponseMetadata, open_decoder, verify

_DELETE_ROUNDS = 3


class Content:
    """The decoded bytes of one downlink, as they arrive. At the end `facts` are the server's claims (size, SHA-256) and
    `size` is what came. It verifies nothing but that the body is whole and well-formed.

    `expected_size` (from a listing) bounds it: IntegrityError once it runs past that by more than the limit.
    Without it, it may be of any size; what is read beside the file's bytes is bounded in any case (`EnvelopeDecoder`).
    """

    def __init__(self, reply: Response, limits: Limits, *, expected_size: int | None = None) -> None:
        self._reply = reply
        self._reader = open_decoder(reply.headers, limits)
        self._bound = None if expected_size is None else expected_size + limits.overrun
        self.size = 0
        self.facts = ResponseMetadata()

    async def receive(self) -> bytes:
        """The next piece of the file, never empty before the end; then empty, and `facts` are known."""
        while chunk := await self._reply.receive():
            if data := self._reader.feed(chunk):
                self.size += len(data)
                self._check_bound()
                return data
        self.facts = self._reader.finish()
        self._reply.check_facts(self.facts)
        return b""

    def _check_bound(self) -> None:
        if self._bound is not None and self.size > self._bound:
            raise IntegrityError(
                f"{self._reply.call} ({self._reply.call.subject}): the answer runs past {self._bound} bytes, "
                "more than the listed size allows",
                expected=f"at most {self._bound}",
                actual=f"more than {self.size}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """A whole file in memory: its bytes, and what the answer claimed of it. They agree, as far as anything is claimed:
    only a claimed SHA-256 makes the bytes certain."""

    data: bytes
    claims: ResponseMetadata


class Files:
    """The files of one volume. Paths are sent as they are given; a leading slash means the volume's root."""

    def __init__(self, caller: RequestPipeline, volume: requests.Volume, *, limits: Limits) -> None:
        self._caller = caller
        self._volume = volume
        self._limits = limits

    async def list(self, *, account: RequestStats | None = None, only: Collection[str] | None = None) -> FileTree:
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
        call = requests.list_files(self._volume)
        return await self._caller.run(call, lambda reply: reply.listing(only=only), account=account)

    async def delete(
        self,
        path: str,
        *,
        expected: Collection[FileEntry] | None = None,
        relist: Callable[[], Awaitable[FileTree]] | None = None,
        account: RequestStats | None = None,
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
                await self._caller.json(requests.delete(self._volume, path), account=account)
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
                tree = await (self.list(account=account) if relist is None else relist())
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

    async def read(self, path: str, *, account: RequestStats | None = None, expected_size: int | None = None) -> bytes:
        """The whole file in memory, verified as far as the server gives size and SHA-256.

        NotFoundError, ForbiddenError (outside the volume), IntegrityError after three tries. For large files there is
        `stream`, or `Client.downlink` to disk. `expected_size` (bytes, from a listing) bounds the answer: an
        IntegrityError as soon as it runs past that by more than 64 KiB. Without it a file of more than
        `Limits.read_reply` bytes is a TooLargeError.

        >>> await em.files.read("results/a.txt")
        b'hello\\n'
        """
        return (await self.read_with_claims(path, account=account, expected_size=expected_size)).data

    async def read_with_claims(
        self, path: str, *, account: RequestStats | None = None, expected_size: int | None = None
    ) -> ReadFile:
        """As `read`, with what the answer itself claims of the file.

        >>> file = await em.files.read_with_claims("results/a.txt")
        >>> file.data, file.claims.size
        (b'hello\\n', 6)
        """

        async def read(reply: Response) -> ReadFile:
            content = Content(reply, self._limits, expected_size=expected_size)
            parts: list[bytes] = []
            while chunk := await content.receive():
                parts.append(chunk)
                if expected_size is None and content.size > self._limits.read_reply:
                    raise self._too_large(path)
            data = b"".join(parts)
            verify_content(content, hashlib.sha256(data).hexdigest())
            return ReadFile(data=data, claims=content.facts)

        return await self._caller.run(requests.downlink(self._volume, path), read, account=account)

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
            self._caller.open(requests.downlink(self._volume, path)) as reply,
            aclosing(_verified(Content(reply, self._limits))) as chunks,
        ):
            yield chunks


async def _verified(content: Content) -> AsyncGenerator[bytes, None]:
    digest = hashlib.sha256()
    while chunk := await content.receive():
        digest.update(chunk)
        yield chunk
    verify_content(content, digest.hexdigest())


def verify_content(content: Content, sha256: str) -> None:
    """Compare what came with what the answer itself announced; IntegrityError if they differ."""
    verify(content.facts, size=content.size, sha256=sha256, listed_size=None, listed_tag=None, tag=None)
