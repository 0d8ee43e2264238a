"""One transfer's use of its journal: results as rows, rows of earlier runs by path, and a journal that may be lost.

Without a journal file nothing is remembered, and nothing costs time. Must not import sqlite, http or disk.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from emasync.model import Direction, Outcome, RemotePath, safe
from emasync.transfer.state.journal import Journal, open_journal
from emasync.transfer.state.schema import FileFacts, Intent, Key, Row, Settled

T = TypeVar("T")
_ROWS_AT_ONCE = 1000  # the rows of a hundred thousand files, all at once, would be a hundred megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """The outcome of a file, and what only the journal needs: `tag` of the bytes moved, `listed_tag` as the EM lists
    it, and the `facts` of the final local file of a downlink. `remember` is off for a file that needs no new row."""

    outcome: Outcome
    tag: int | None = None
    listed_tag: int | None = None
    facts: FileFacts | None = None
    remember: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class IntendedFile:
    """A file that is about to be moved: with the `facts` of an uplink's source, or the listed `size` of a downlink."""

    remote: RemotePath
    local_path: str
    facts: FileFacts | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionalJournal:
    """A journal without which a transfer continues, where the disk refuses it; a note says so. A journal that another
    run holds, or that is damaged, is an error all the same."""

    path: Path


class TransferJournal:
    """The journal of one transfer; with `journal` None it remembers nothing.

    With `on_lost` an OSError of the journal ends the journal, not the transfer: `on_lost` gets the error, once, and
    from then on nothing is remembered.
    """

    def __init__(
        self,
        journal: Journal | None,
        *,
        scope: str,
        direction: Direction,
        on_lost: Callable[[OSError], None] | None = None,
    ) -> None:
        self._journal = journal
        self._on_lost = on_lost
        self._scope = scope
        self._direction = direction

    async def lookup(self, files: Iterable[tuple[RemotePath, str]]) -> dict[RemotePath, Row]:
        """The rows that earlier runs wrote of these files (remote path, local path)."""
        if self._journal is None:
            return {}
        known: dict[RemotePath, Row] = {}
        with self._in_use() as journal:
            for batch in _batches(files):
                rows = await journal.lookup([self._key(remote, local_path) for remote, local_path in batch])
                known.update((key.remote, row) for key, row in rows.items())
        return known

    async def record_intents(self, files: Iterable[IntendedFile]) -> None:
        """Record what will be moved, before anything is."""
        if self._journal is None:
            return
        with self._in_use() as journal:
            for batch in _batches(files):
                await journal.record_intents(
                    Intent(key=self._key(file.remote, file.local_path), facts=file.facts, size=file.size)
                    for file in batch
                )

    async def record_sent(self, files: Iterable[tuple[RemotePath, str]], *, call_id: str) -> None:
        """Record that a request with these files (remote path, local path) is about to leave."""
        if self._journal is None:
            return
        with self._in_use() as journal:
            await journal.record_sent([self._key(remote, local_path) for remote, local_path in files], call_id=call_id)

    async def record_results(self, results: Sequence[FileResult]) -> None:
        """Record how files ended; returns when that is durable."""
        if self._journal is None:
            return
        with self._in_use() as journal:
            for batch in _batches(result for result in results if result.remember):
                await journal.record_outcomes([self._row(result) for result in batch])

    @contextmanager
    def _in_use(self) -> Generator[Journal]:
        assert self._journal is not None
        try:
            yield self._journal
        except OSError as error:
            if self._on_lost is None:
                raise
            if self._journal is not None:  # several tasks may have waited for it
                self._journal = None
                self._on_lost(error)

    def _row(self, result: FileResult) -> Settled:
        outcome = result.outcome
        return Settled(
            key=self._key(outcome.path, outcome.place),
            state=outcome.state,
            facts=result.facts,
            sha256=outcome.sha256,
            tag=result.tag,
            listed_tag=result.listed_tag,
            verified=outcome.verified,
            attempts=outcome.attempts,
            error=safe(outcome.error) if outcome.error is not None else None,
        )

    def _key(self, remote: RemotePath, local_path: str) -> Key:
        path = os.path.abspath(local_path)  # noqa: PTH100 - Path.absolute() keeps "..", resolve() follows links
        return Key(scope=self._scope, direction=self._direction, remote=remote, local=path)


@asynccontextmanager
async def open_transfer_journal(
    asked: str | Path | OptionalJournal | None, *, scope: str, direction: Direction, on_lost: Callable[[OSError], None]
) -> AsyncIterator[TransferJournal]:
    """The journal that was asked for. A path must be usable; an OptionalJournal may be lost (`on_lost`)."""
    async with AsyncExitStack() as stack:
        journal = None
        if isinstance(asked, OptionalJournal):
            try:
                journal = await stack.enter_async_context(open_journal(asked.path))
            except BlockingIOError:
                raise  # another run is moving these files
            except OSError as error:
                on_lost(error)
        elif asked is not None:
            journal = await stack.enter_async_context(open_journal(Path(asked)))
        optional = on_lost if isinstance(asked, OptionalJournal) else None
        yield TransferJournal(journal, scope=scope, direction=direction, on_lost=optional)


def journal_lost(error: OSError) -> str:
    """The note for a user whose transfer continues without a journal."""
    where = f" ({safe(error.filename)})" if error.filename else ""
    return f"no journal is kept, an interrupted run cannot be resumed: {safe(error.strerror or error)}{where}"


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(islice(source, _ROWS_AT_ONCE)):
        yield batch
