"""What a run writes down as it goes, and what an earlier run wrote: the engine's side of the journal.

Owns: turning items and outcomes into journal rows, nothing at all where no journal was asked for, and what becomes of a
transfer whose journal cannot be kept.
May import journal, journal_rows and model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from emasync.model import Direction, Outcome, RemotePath, safe
from emasync.transfer.facts import FileFacts
from emasync.transfer.state.journal import Journal
from emasync.transfer.state.schema import Intent, Key, Row, Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """An outcome with what only the journal wants of it: `tag` of the bytes moved, `listed_tag` as the EM shows it, and
    the `facts` of the final local file of a downlink. `remember` is off for what an earlier run has settled."""

    outcome: Outcome
    tag: int | None = None
    listed_tag: int | None = None
    facts: FileFacts | None = None
    remember: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A file about to be moved: `facts` of an uplink's source, or the listed `size` of a downlink."""

    remote: RemotePath
    place: str
    facts: FileFacts | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionalJournal:
    """A journal that a transfer goes on without, where the disk refuses it; a note says so. One that another run holds,
    or that is damaged, is an error all the same."""

    path: Path


T = TypeVar("T")
_PORTION = 1000  # rows at a time: of a hundred thousand files, all rows at once would be a hundred megabytes


class Ledger:
    """One transfer's view of a journal; `journal` None remembers nothing and costs nothing.

    With `on_lost` an OSError of the journal ends it, not the transfer: `on_lost` gets the error, once, and from there
    on nothing is remembered.
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

    async def recall(self, items: Iterable[tuple[RemotePath, str]]) -> dict[RemotePath, Row]:
        """What is known of these files (remote path, local path) from earlier runs."""
        if self._journal is None:
            return {}
        known: dict[RemotePath, Row] = {}
        with self._kept() as journal:
            for some in _portions(items):
                rows = await journal.lookup([self._key(remote, place) for remote, place in some])
                known.update((key.remote, row) for key, row in rows.items())
        return known

    async def intend(self, items: Iterable[Item]) -> None:
        """Write down what will be moved, before anything is."""
        if self._journal is None:
            return
        with self._kept() as journal:
            for some in _portions(items):
                await journal.record_intents(
                    Intent(key=self._key(item.remote, item.place), facts=item.facts, size=item.size) for item in some
                )

    async def sending(self, items: Iterable[tuple[RemotePath, str]], *, call_id: str) -> None:
        """Write down that a call with these files is about to leave."""
        if self._journal is None:
            return
        with self._kept() as journal:
            await journal.record_sent([self._key(remote, place) for remote, place in items], call_id=call_id)

    async def settle(self, endings: Sequence[FileResult]) -> None:
        """Write down how files ended; returns when that is durable."""
        if self._journal is None:
            return
        with self._kept() as journal:
            for some in _portions(ending for ending in endings if ending.remember):
                await journal.record_outcomes([self._row(ending) for ending in some])

    @contextmanager
    def _kept(self) -> Generator[Journal]:
        assert self._journal is not None
        try:
            yield self._journal
        except OSError as error:
            if self._on_lost is None:
                raise
            if self._journal is not None:  # several may have waited for it
                self._journal = None
                self._on_lost(error)

    def _row(self, ending: FileResult) -> Settled:
        outcome = ending.outcome
        return Settled(
            key=self._key(outcome.path, outcome.place),
            state=outcome.state,
            facts=ending.facts,
            sha256=outcome.sha256,
            tag=ending.tag,
            listed_tag=ending.listed_tag,
            verified=outcome.verified,
            attempts=outcome.attempts,
            error=safe(outcome.error) if outcome.error is not None else None,
        )

    def _key(self, remote: RemotePath, place: str) -> Key:
        path = os.path.abspath(place)  # noqa: PTH100 - Path.absolute() keeps "..", resolve() follows links
        return Key(scope=self._scope, direction=self._direction, remote=remote, local=path)


def journal_lost(error: OSError) -> str:
    """The one line for a user whose transfer goes on without a journal."""
    where = f" ({safe(error.filename)})" if error.filename else ""
    return f"no journal is kept, an interrupted run cannot be resumed: {safe(error.strerror or error)}{where}"


def _portions(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while some := list(islice(source, _PORTION)):
        yield some
