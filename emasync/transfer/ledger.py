"""What a run writes down as it goes, and what an earlier run wrote: the engine's side of the journal.

Owns: turning items and outcomes into journal rows, and nothing at all where no journal was asked for.
May import journal, journal_rows and model.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    local: Path
    facts: FileFacts | None = None
    size: int | None = None


class Ledger:
    """One transfer's view of a journal; `journal` None remembers nothing and costs nothing."""

    def __init__(self, journal: Journal | None, *, scope: str, direction: Direction) -> None:
        self._journal = journal
        self._scope = scope
        self._direction = direction

    async def recall(self, items: Sequence[tuple[RemotePath, Path]]) -> dict[RemotePath, Row]:
        """What is known of these files (remote, local) from earlier runs."""
        if self._journal is None or not items:
            return {}
        rows = await self._journal.lookup([self._key(remote, local) for remote, local in items])
        return {key.remote: row for key, row in rows.items()}

    async def intend(self, items: Iterable[Item]) -> None:
        """Write down what will be moved, before anything is."""
        if self._journal is not None:
            await self._journal.record_intents(
                Intent(key=self._key(item.remote, item.local), facts=item.facts, size=item.size) for item in items
            )

    async def sending(self, items: Iterable[tuple[RemotePath, Path]], *, call_id: str) -> None:
        """Write down that a call with these files is about to leave."""
        if self._journal is not None:
            await self._journal.record_sent([self._key(remote, local) for remote, local in items], call_id=call_id)

    async def settle(self, endings: Sequence[Ending]) -> None:
        """Write down how files ended; returns when that is durable."""
        if self._journal is not None:
            rows = [self._row(ending) for ending in endings if ending.remember]
            await self._journal.record_outcomes(rows)

    def _row(self, ending: Ending) -> Settled:
        outcome = ending.outcome
        return Settled(
            key=self._key(outcome.path, outcome.local),
            state=outcome.state,
            facts=ending.facts,
            sha256=outcome.sha256,
            tag=ending.tag,
            listed_tag=ending.listed_tag,
            verified=outcome.verified,
            attempts=outcome.attempts,
            error=safe(outcome.error) if outcome.error is not None else None,
        )

    def _key(self, remote: RemotePath, local: Path) -> Key:
        path = Path(os.path.abspath(local))  # noqa: PTH100 - Path.absolute() keeps "..", resolve() follows links
        return Key(scope=self._scope, direction=self._direction, remote=remote, local=path)
