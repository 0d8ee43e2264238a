"""Bring one file from the EM to disk: request, decode, write, verify, put in place.

Knows nothing of the other files of a transfer, but for a shared listing that it may ask to be made anew. Must not
import engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from emasync.config import MIB
from emasync.disk import SMALL, BufferedFileWriter, FileWriter, Saved, WriteTarget, exists, open_writer
from emasync.errors import EMError, IntegrityError
from emasync.http.pipeline import RequestStats
from emasync.http.response import FileContent
from emasync.model import Direction, FileEntry, Outcome, OutcomeState, Verified, safe
from emasync.transfer.context import TransferRun
from emasync.transfer.events import Confirmed, Progress, Retrying, Started
from emasync.transfer.planning.plan import DownlinkItem, prefix
from emasync.transfer.state.transfer_journal import FileResult
from emasync.transfer.verification import TagState, probe_tags
from emasync.wire import requests
from emasync.wire.downlink import ResponseMetadata, verify

_BATCH = MIB // 2  # bytes that are handed to the file threads at a time; a file has two such buffers
_TRIES = 3  # against as many listings: as often as the retry table lets a response contradict its own checksum
_RECYCLED_BLOCK = 4 * 1024 * 1024
"""Blocks up to this size are to come from memory that was used before. glibc takes fresh pages for each block of more
than 128 KiB, as every piece off a socket is, until it has seen a larger one freed; then it keeps twice that much. Their
first touch was a fifth of the processor time of a large downlink."""


class ChunkBuffer:
    """Gathers chunks of any size into batches of `size` bytes; with 0 every chunk passes as it is.

    Two buffers take turns: one is filled while the other is written and hashed. Both are kept, for fresh memory costs
    more than a copy.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        if size:
            bytes(_RECYCLED_BLOCK)  # never touched; freed at once, which is what tells glibc
        self._filling = memoryview(bytearray(size))
        self._resting: memoryview | None = None
        self._filled = 0

    def add(self, data: bytes) -> Iterator[bytes | memoryview]:
        """Take `data`; yields the batches that it fills. A batch is valid until the next but one is asked for."""
        if not self._size:
            yield data
            return
        left = memoryview(data)
        while left:
            taken = min(self._size - self._filled, len(left))
            self._filling[self._filled : self._filled + taken] = left[:taken]
            self._filled += taken
            left = left[taken:]
            if self._filled == self._size:
                full = self._filling
                self._filling = self._resting if self._resting is not None else memoryview(bytearray(self._size))
                self._resting, self._filled = full, 0
                yield full

    def remainder(self) -> memoryview:
        """The rest, which does not fill a batch; perhaps empty."""
        return self._filling[: self._filled]


@dataclass(frozen=True, slots=True)
class _ReceivedFile:
    """A whole file, verified against what its response claims, not yet in place."""

    writer: FileWriter | BufferedFileWriter
    facts: ResponseMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlacedFile:
    """A file under its final name; `listed_tag` is of the listing that it was compared with."""

    saved: Saved
    verified: Verified
    listed_tag: int | None


class FileDownlink:
    """Brings single files of one transfer to the folder `into`; all workers share it."""

    def __init__(self, run: TransferRun, *, into: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._context = run.context
        self._options = run.options
        self._into = into
        self._clock = clock

    async def run(self, item: DownlinkItem, stats: RequestStats) -> FileResult:
        """Bring `item` to disk under its final name; errors of the server and of the disk become a failed Outcome.

        Cancellation removes the temporary file before it propagates.
        """
        own = RequestStats(parent=stats)
        began = self._clock()
        placed: _PlacedFile | None = None
        state, reason, error = OutcomeState.DONE, None, None
        try:
            await self._check_overwrite(item)
            placed = await self._download(item, own)
        except (EMError, OSError) as failure:
            if isinstance(failure, FileExistsError) and self._options.overwrite == "skip":
                state, reason = OutcomeState.SKIPPED, "a file of this name is there"
            else:
                state, error = OutcomeState.FAILED, failure
        outcome = Outcome(
            path=item.remote,
            place=prefix(self._into) + item.local_path,
            direction=Direction.DOWNLINK,
            state=state,
            bytes=placed.saved.size if placed else 0,
            sha256=placed.saved.sha256 if placed else None,
            verified=placed.verified if placed else Verified.NONE,
            attempts=own.requests,
            seconds=self._clock() - began,
            busy_seconds=own.busy_s,
            reason=reason,
            error=error,
        )
        if placed is None:
            return FileResult(outcome=outcome)
        saved = placed.saved
        return FileResult(outcome=outcome, tag=saved.tag, listed_tag=placed.listed_tag, facts=saved.facts)

    async def _check_overwrite(self, item: DownlinkItem) -> None:
        """FileExistsError if a file is there and may not be replaced: nothing is requested then."""
        if self._options.overwrite != "replace" and await exists(self._context.threads, self._into, item.local_path):
            local_path = safe(prefix(self._into) + item.local_path)
            raise FileExistsError(f"{local_path} exists; overwrite='replace' or 'skip' decides what to do with it")

    async def _download(self, item: DownlinkItem, stats: RequestStats) -> _PlacedFile:
        """Receive the file until it is also what a listing shows, a fresh one if need be; then put it in place."""
        entry = item.entry
        for tries_left in reversed(range(_TRIES)):
            async with AsyncExitStack() as temporary:
                received: _ReceivedFile | None = None
                try:
                    received = await self._receive(item, entry, temporary, stats)
                    verified = self._verify(received, entry)
                except IntegrityError as error:
                    fresh = await self._entry_again(item, entry, error)
                    agreed = await self._settle_mismatch(received, entry, fresh, stats) if received else None
                    if agreed is None:
                        if not tries_left or (received is None and fresh == entry):
                            raise self._with_advice(error) from None
                        self._options.notify(
                            Retrying(direction=Direction.DOWNLINK, paths=(item.remote,), reason=str(error))
                        )
                        entry = fresh
                        continue
                    verified, entry = agreed, fresh
                assert received is not None
                writer = received.writer
                await writer.commit()
                self._options.notify(Confirmed(direction=Direction.DOWNLINK, path=item.remote, verified=verified))
                saved = Saved(size=writer.size, sha256=writer.sha256, tag=writer.tag, facts=writer.facts)
                return _PlacedFile(saved=saved, verified=verified, listed_tag=entry.content_tag if entry else None)
        raise AssertionError("the last round returns or raises")

    async def _receive(
        self, item: DownlinkItem, entry: FileEntry | None, temporary: AsyncExitStack, stats: RequestStats
    ) -> _ReceivedFile:
        """One whole response in a temporary file, which lives as long as `temporary`; each attempt has a new one."""
        size = entry.size if entry else None
        request = requests.downlink(self._context.volume, item.remote)
        async for attempt in self._context.pipeline.attempts(request, stats=stats, raise_shortage=True):
            async with attempt as response:
                await temporary.aclose()  # the temporary file of an attempt that failed
                self._options.notify(
                    Started(direction=Direction.DOWNLINK, path=item.remote, size=size, attempt=attempt.number)
                )
                writer = await self._open_writer(item, size, temporary)
                content = FileContent(response, self._context.settings.limits, expected_size=size)
                try:
                    await self._write(content, writer, item, size)
                finally:
                    stats.add(bytes_transferred=content.size)
                self._check_claims(content.facts, writer)
        return _ReceivedFile(writer, content.facts)

    async def _open_writer(
        self, item: DownlinkItem, size: int | None, temporary: AsyncExitStack
    ) -> FileWriter | BufferedFileWriter:
        """A small file waits in memory until it is verified: `FileContent` lets it come no larger than was listed."""
        target = WriteTarget(
            root=self._into,
            path=item.local_path,
            overwrite=self._options.overwrite,
            durable=self._context.settings.durable,
            root_guard=self._run.root_guard,
            unchanged=item.unchanged,
        )
        if size is not None and size <= SMALL:
            return BufferedFileWriter(self._context.threads, target)
        writer = await temporary.enter_async_context(open_writer(self._context.threads, target))
        if size:
            await writer.check_space(size)
        return writer

    async def _write(
        self, content: FileContent, writer: FileWriter | BufferedFileWriter, item: DownlinkItem, size: int | None
    ) -> None:
        buffer = ChunkBuffer(_BATCH if isinstance(writer, FileWriter) else 0)
        observed = self._options.observed
        while data := await content.receive():
            await self._context.down.take(len(data))
            for batch in buffer.add(data):
                await writer.write(batch)
            if observed:
                self._options.notify(
                    Progress(direction=Direction.DOWNLINK, path=item.remote, bytes=content.size, size=size)
                )
        if remainder := buffer.remainder():
            await writer.write(remainder)
        await writer.finish()

    async def _entry_again(self, item: DownlinkItem, entry: FileEntry | None, error: IntegrityError) -> FileEntry:
        """The file's entry in a listing made now, for it may have changed since; `entry` where that listing is silent.

        Raises `error` where nothing can be compared: nothing was listed before, or the file is no longer there.
        """
        if entry is None or self._options.unverified:
            raise error
        tree = await self._run.listing.fresh()
        fresh = tree.get(item.remote) if tree.is_known(item.remote) else entry
        if fresh is None:
            raise error
        return fresh

    async def _settle_mismatch(
        self, received: _ReceivedFile, entry: FileEntry | None, fresh: FileEntry, stats: RequestStats
    ) -> Verified | None:
        """How the bytes that `entry` contradicts are verified all the same; None if the file is to be received again.

        Either `fresh`, listed after they were received, agrees with them. Or their own SHA-256 verifies them, and this
        server's tags are not confirmed: the evidence that they follow another rule takes several files, each listed
        alike before and after it was read.
        """
        try:
            return self._verify(received, fresh)
        except IntegrityError:
            pass
        tags = self._context.tags
        if received.facts.sha256 is None or fresh != entry or fresh.size != received.writer.size:
            return None
        tags.mismatch(fresh.path)
        if tags.state is TagState.UNKNOWN:
            with suppress(EMError):
                others = [other for other in await self._run.listing.fresh() if other.path != fresh.path]
                await probe_tags(self._context.files.with_stats(stats), tags, others, relist=self._run.listing.fresh)
        return None if tags.confirmed else Verified.SHA256

    def _with_advice(self, error: IntegrityError) -> IntegrityError:
        """`error` of a file that was received as often as is sensible, with advice where the tags are in doubt."""
        if self._context.tags.confirmed or not self._options.by_content:
            return error
        advice = (
            "whether this server's content tags follow the known rule is not known; verify='size' does without them"
        )
        return IntegrityError(f"{error}; {advice}", call=error.call, expected=error.expected, actual=error.actual)

    def _check_claims(self, facts: ResponseMetadata, writer: FileWriter | BufferedFileWriter) -> None:
        """Compare what was written with what the response itself claims; IntegrityError if they differ."""
        if self._options.unverified:
            return
        if self._options.by_size:
            facts = ResponseMetadata(filename=facts.filename, size=facts.size)
        verify(facts, size=writer.size, sha256=writer.sha256, listed_size=None, listed_tag=None, tag=None)

    def _verify(self, received: _ReceivedFile, entry: FileEntry | None) -> Verified:
        """How well what was received is verified by its response and by `entry`; IntegrityError where they differ."""
        if self._options.unverified:
            return Verified.NONE
        writer, tags = received.writer, self._context.tags
        by_content = self._options.by_content
        size = entry.size if entry else None
        if by_content and entry and size == writer.size and size and entry.content_tag == writer.tag:
            tags.match()  # confirms the rule even where the response claims nothing
        return verify(
            received.facts if by_content else ResponseMetadata(size=received.facts.size),
            size=writer.size,
            sha256=writer.sha256,
            listed_size=size,
            listed_tag=entry.content_tag if entry else None,
            tag=writer.tag if by_content and not tags.incompatible else None,
        )
