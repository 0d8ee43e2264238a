"""One file down: request, decode, save, verify, put in place.

Owns: the way of a single downlink and its Outcome. May import link, plan, disk, endpoints and below.
Knows nothing of the other files, but for one shared listing it may ask to be made anew.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from emasync.api.files import Content
from emasync.config import MIB
from emasync.disk import SMALL, BufferedFileWriter, FileWriter, RootGuard, Saved, WriteTarget, exists, open_writer
from emasync.errors import EMError, IntegrityError
from emasync.http import Response
from emasync.http.pipeline import RequestStats
from emasync.model import Direction, FileEntry, FileTree, Outcome, OutcomeState, Verified, safe
from emasync.transfer.chunk_buffer import ChunkBuffer
from emasync.transfer.context import TransferContext
from emasync.transfer.events import Confirmed, Progress, Retrying, Started
from emasync.transfer.options import TransferOptions
from emasync.transfer.planning.plan import DownlinkItem, prefix
from emasync.transfer.state.transfer_journal import FileResult
from emasync.transfer.tag_probe import probe_tags
from emasync.transfer.verification import TagState
from emasync.wire import requests
from emasync.wire.downlink import ResponseMetadata, verify

_BATCH = MIB // 2  # what goes to the file threads at a time; a file has two such buffers
_TRIES = 3  # against as many listings: as often as the retry table lets an answer contradict its own checksum


@dataclass(slots=True)
class _ReceivedFile:
    """What one answer brought: a whole file, verified against what the answer itself claims, not yet in place."""

    save: FileWriter | BufferedFileWriter
    facts: ResponseMetadata


class FileDownlink:
    """Brings files below `into`. `relist` gives a listing made after it is called."""

    def __init__(
        self,
        link: TransferContext,
        options: TransferOptions,
        *,
        into: Path,
        pin: RootGuard,
        relist: Callable[[], Awaitable[FileTree]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._options = options
        self._into = into
        self._pin = pin
        self._before = prefix(into)
        self._relist = relist
        self._clock = clock

    async def run(self, item: DownlinkItem, account: RequestStats) -> FileResult:
        """The end of one file; errors of the server and of the disk become a failed Outcome.

        Cancellation removes the temporary file, and returns when that is done.
        """
        mine = RequestStats(parent=account)
        began = self._clock()
        place = self._before + item.local_path
        state, reason, error, saved, how = OutcomeState.DONE, None, None, None, Verified.NONE
        listed_tag: int | None = None
        try:
            if self._options.overwrite != "replace" and await self._there(item):
                if self._options.overwrite == "error":
                    text = f"{safe(place)} exists; overwrite='replace' or 'skip' decides what to do with it"
                    raise FileExistsError(text)
                state, reason = OutcomeState.SKIPPED, "a file of this name is there"
            else:
                saved, how, listed_tag = await self._fetch(item, mine)
        except (EMError, OSError) as failure:
            if isinstance(failure, FileExistsError) and self._options.overwrite == "skip":  # it appeared meanwhile
                state, reason = OutcomeState.SKIPPED, "a file of this name is there"
            else:
                state, error = OutcomeState.FAILED, failure
        outcome = Outcome(
            path=item.remote,
            place=place,
            direction=Direction.DOWNLINK,
            state=state,
            bytes=saved.size if saved else 0,
            sha256=saved.sha256 if saved else None,
            verified=how,
            attempts=mine.requests,
            seconds=self._clock() - began,
            busy_seconds=mine.busy_s,
            reason=reason,
            error=error,
        )
        if saved is None:
            return FileResult(outcome=outcome)
        return FileResult(outcome=outcome, tag=saved.tag, listed_tag=listed_tag, facts=saved.facts)

    async def _there(self, item: DownlinkItem) -> bool:
        return await exists(self._link.threads, self._into, item.local_path)

    async def _fetch(self, item: DownlinkItem, account: RequestStats) -> tuple[Saved, Verified, int | None]:
        """Fetch until what came is also what a listing shows, a fresh one if need be; then put it in place.

        Also the tag of the listing that the bytes were compared with.
        """
        entry = item.entry
        for remaining in reversed(range(_TRIES)):
            async with AsyncExitStack() as kept:
                landed: _ReceivedFile | None = None
                try:
                    landed = await self._receive(item, entry, kept, account)
                    how = self._verify(landed, entry)
                except IntegrityError as error:
                    fresh = await self._entry_again(item, entry, error)
                    agreed = await self._settle_mismatch(landed, entry, fresh, account) if landed is not None else None
                    if agreed is None:
                        if not remaining or (landed is None and fresh == entry):
                            raise self._with_advice(error) from None
                        self._options.notify(
                            Retrying(direction=Direction.DOWNLINK, paths=(item.remote,), reason=str(error))
                        )
                        entry = fresh
                        continue
                    how, entry = agreed, fresh
                assert landed is not None
                save = landed.save
                await save.commit()
                self._options.notify(Confirmed(direction=Direction.DOWNLINK, path=item.remote, verified=how))
                saved = Saved(size=save.size, sha256=save.sha256, tag=save.tag, facts=save.facts)
                return saved, how, entry.content_tag if entry else None
        raise AssertionError("the last round returns or raises")

    async def _entry_again(self, item: DownlinkItem, entry: FileEntry | None, error: IntegrityError) -> FileEntry:
        """What a listing made now says of the file: it may have changed since the one before. Where that does not tell,
        what was known stays. `error` where nothing can be compared: nothing was known, or it is no longer there."""
        if entry is None or self._options.verify == "none":
            raise error
        tree = await self._relist()
        fresh = tree.get(item.remote) if tree.is_known(item.remote) else entry
        if fresh is None:
            raise error
        return fresh

    async def _settle_mismatch(
        self, landed: _ReceivedFile, entry: FileEntry | None, fresh: FileEntry, account: RequestStats
    ) -> Verified | None:
        """How the bytes that `entry` contradicts are proved all the same, or None: they are to be fetched again.

        The listing made after them (`fresh`) shows them. Or their own SHA-256 proves them, and this server's tags are
        not confirmed: that they follow another rule takes evidence of several files, each listed alike before and
        after.
        """
        try:
            return self._verify(landed, fresh)
        except IntegrityError:
            pass
        tags = self._link.tags
        if landed.facts.sha256 is None or fresh != entry or fresh.size != landed.save.size:
            return None
        tags.mismatch(fresh.path)
        if tags.state is TagState.UNKNOWN:
            with suppress(EMError):
                others = [one for one in await self._relist() if one.path != fresh.path]
                await probe_tags(self._link, others, account=account, relist=self._relist)
        return None if tags.confirmed else Verified.SHA256

    def _with_advice(self, error: IntegrityError) -> IntegrityError:
        """`error` of a file that was fetched as often as is sensible; it says what to do where tags are in doubt."""
        if self._link.tags.confirmed or self._options.verify != "content":
            return error
        advice = (
            "whether this server's content tags follow the known rule is not known; verify='size' does without them"
        )
        return IntegrityError(f"{error}; {advice}", call=error.call, expected=error.expected, actual=error.actual)

    async def _receive(
        self, item: DownlinkItem, entry: FileEntry | None, kept: AsyncExitStack, account: RequestStats
    ) -> _ReceivedFile:
        """One whole answer on disk under a temporary name, which lives as long as `kept`; a new one per attempt."""
        attempt = 0

        async def read(reply: Response) -> _ReceivedFile:
            nonlocal attempt
            attempt += 1
            await kept.aclose()  # the temporary file of an attempt that failed
            size = entry.size if entry else None
            self._tell_started(item, size, attempt)
            save = await self._begin(item, size, kept)
            content = Content(reply, self._link.settings.limits, expected_size=size)
            await self._store(content, save, item, size, account)
            await save.finish()
            if self._options.verify != "none":
                self._check_claims(content, save)
            return _ReceivedFile(save, content.facts)

        call = requests.downlink(self._link.volume, item.remote)
        return await self._link.caller.run(call, read, account=account, raise_shortage=True)

    async def _begin(
        self, item: DownlinkItem, size: int | None, kept: AsyncExitStack
    ) -> FileWriter | BufferedFileWriter:
        """A small file waits in memory until it is verified: `Content` lets it come no larger than was listed."""
        target = WriteTarget(
            root=self._into,
            path=item.local_path,
            overwrite=self._options.overwrite,
            durable=self._link.settings.durable,
            root_guard=self._pin,
            unchanged=item.unchanged,
        )
        if size is not None and size <= SMALL:
            return BufferedFileWriter(self._link.threads, target)
        save = await kept.enter_async_context(open_writer(self._link.threads, target))
        if size:
            await save.check_space(size)
        return save

    async def _store(
        self,
        content: Content,
        save: FileWriter | BufferedFileWriter,
        item: DownlinkItem,
        size: int | None,
        account: RequestStats,
    ) -> None:
        batches = ChunkBuffer(_BATCH if isinstance(save, FileWriter) else 0)
        while data := await content.receive():
            account.charge(moved=len(data))
            await self._link.down.take(len(data))
            for batch in batches.add(data):
                await save.write(batch)
            self._options.notify(
                Progress(direction=Direction.DOWNLINK, path=item.remote, bytes=content.size, size=size)
            )
        if remainder := batches.remainder():
            await save.write(remainder)

    def _tell_started(self, item: DownlinkItem, size: int | None, attempt: int) -> None:
        self._options.notify(Started(direction=Direction.DOWNLINK, path=item.remote, size=size, attempt=attempt))

    def _check_claims(self, content: Content, save: FileWriter | BufferedFileWriter) -> None:
        facts = content.facts
        if self._options.verify == "size":
            facts = ResponseMetadata(filename=facts.filename, size=facts.size)
        verify(facts, size=save.size, sha256=save.sha256, listed_size=None, listed_tag=None, tag=None)

    def _verify(self, landed: _ReceivedFile, entry: FileEntry | None) -> Verified:
        """How well what landed is proved, the listing taken in; IntegrityError if that says otherwise."""
        if self._options.verify == "none":
            return Verified.NONE
        save, tags = landed.save, self._link.tags
        by_content = self._options.verify == "content"
        size = entry.size if entry else None
        if by_content and entry and size == save.size and size and entry.content_tag == save.tag:
            tags.match()  # proves the rule even where nothing else vouches for it
        return verify(
            landed.facts if by_content else ResponseMetadata(size=landed.facts.size),
            size=save.size,
            sha256=save.sha256,
            listed_size=size,
            listed_tag=entry.content_tag if entry else None,
            tag=save.tag if by_content and not tags.incompatible else None,
        )
