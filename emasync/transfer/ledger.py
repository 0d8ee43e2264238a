"""What a run writes down as it goes, and what an earlier run wrote: the engine's side of the journal.

Owns: turning items and outcomes into journal rows, and nothing at all where no journal was asked for.
May import journal, journal_rows and model.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from emasync.model import Direction, Outcome, RemotePath, safe
from emasync.transfer.facts import FileFacts
from emasync.transfer.journal import Journal
from emasync.transfer.journal_rows import Intent, Key, Row, Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
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


T = TypeVar("T")
_PORTION = 1000  # rows at a time: of a hundred thousand files, all rows at once would be a hundred megabytes


class Ledger:
    """One transfer's view of a journal; `journal` None remembers nothing and costs nothing."""

    def __init__(self, journal: Journal | None, *, scope: str, direction: Direction) -> None:
        self._journal = journal
        self._scope = scope
        self._direction = direction

    async def recall(self, items: Iterable[tuple[RemotePath, str]]) -> dict[RemotePath, Row]:
        """What is known of these files (remote path, local path) from earlier runs."""
        if self._journal is None:
            return {}
        known: dict[RemotePath, Row] = {}
        for some in _portions(items):
            rows = await self._journal.lookup([self._key(remote, place) for remote, place in some])
            known.update((key.remote, row) for key, row in rows.items())
        return known

    async def intend(self, items: Iterable[Item]) -> None:
        """Write down what will be moved, before anything is."""
        if self._journal is not None:
            for some in _portions(items):
                await self._journal.record_intents(
                    Intent(key=self._key(item.remote, item.place), facts=item.facts, size=item.size) for item in some
                )

    async def sending(self, items: Iterable[tuple[RemotePath, str]], *, call_id: str) -> None:
        """Write down that a call with these files is about to leave."""
        if self._journal is not None:
            await self._journal.record_sent([self._key(remote, place) for remote, place in items], call_id=call_id)

    async def settle(self, endings: Sequence[Ending]) -> None:
        """Write down how files ended; returns when that is durable."""
        if self._journal is not None:
            for some in _portions(ending for ending in endings if ending.remember):
                await self._journal.record_outcomes([self._row(ending) for ending in some])

    def _row(self, ending: Ending) -> Settled:
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


def _portions(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while some := list(islice(source, _PORTION)):
        yield some
