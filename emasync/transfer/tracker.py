"""Every file of a transfer, exactly once: expected, then settled.

Owns: that no file is settled twice and none is forgotten, whatever ends the transfer; how often each has left, and how
many bytes were moved for it.
May import events, ledger, link.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import anyio

from emasync.errors import EMError
from emasync.model import Direction, Outcome, Outcomes, OutcomeState, RemotePath
from emasync.transfer.context import Options
from emasync.transfer.events import Noted, Settled
from emasync.transfer.ledger import FileResult, Ledger
from emasync.transfer.transfer import Results


class Expected(Protocol):
    """An item of a plan, or what knows as much of a file: its remote path, and its local one as text."""

    @property
    def remote(self) -> RemotePath: ...
    @property
    def place(self) -> str: ...


class ResultTracker:
    """Hands outcomes to `results`, from which the Transfer is read. Memory: what is under way; what is expected is kept
    as the sequence it came in, for a plan of very many files makes its items only when they are asked for."""

    def __init__(
        self,
        results: Results,
        *,
        direction: Direction,
        options: Options,
        ledger: Ledger,
    ) -> None:
        self._results = results
        self._direction = direction
        self._options = options
        self._ledger = ledger
        self._expected: list[tuple[str, Sequence[Expected]]] = []  # and what stands before their local paths
        self._unasked: list[range] = []  # of the outcomes: those that `refuse` settled
        self._sends: dict[RemotePath, int] = {}
        self._moved: dict[RemotePath, int] = {}  # payload bytes, in all attempts, of files that are not settled yet

    def expect(self, files: Sequence[Expected], *, below: str = "") -> None:
        """These will be settled; their local paths begin with `below`. `files` is kept, and may be walked again."""
        self._expected.append((below, files))

    def sent(self, paths: Iterable[RemotePath]) -> None:
        """These have left (once more): if nothing more is heard of them, they are unknown, not failed."""
        for path in paths:
            self._sends[path] = self._sends.get(path, 0) + 1

    def sends(self, path: RemotePath) -> int:
        """How often a file that is not settled yet has left."""
        return self._sends.get(path, 0)

    def moved(self, path: RemotePath, size: int) -> None:
        """So many more payload bytes of a file were moved, whether they stay or not."""
        self._moved[path] = self._moved.get(path, 0) + size

    async def settle(self, endings: Sequence[FileResult]) -> None:
        """The ends of some files: into the journal first, then to `on_event` and to the reader, in this order.

        Cancellation waits for the journal: what has ended is told as it ended.
        """
        with anyio.CancelScope(shield=True):
            await self._ledger.settle(endings)
        for ending in endings:
            self._settled(ending.outcome)

    def note(self, text: str) -> None:
        """Something the user should know of the transfer as a whole."""
        self._results.notes.append(text)
        self._options.tell(Noted(text=text))

    @property
    def all_good(self) -> bool:
        """Whether nothing settled so far has failed or is unknown."""
        ends = Outcomes(self._results.outcomes)
        return not ends.of(OutcomeState.FAILED) and not ends.of(OutcomeState.UNKNOWN)

    async def refuse(self, outcomes: Iterable[Outcome]) -> None:
        """Files that are not among those expected: settled, and not remembered. One of them may have the path of an
        expected file (the second of two that go to the same place), which is settled apart."""
        begin = len(self._results.outcomes)
        for outcome in outcomes:  # tens of thousands, when a sync finds nothing to do
            self._settled(outcome)
        self._unasked.append(range(begin, len(self._results.outcomes)))

    async def abandon(self, error: EMError) -> None:
        """Settle all that is still expected: the transfer ends here, because of `error`."""
        settled = set(self._paths_settled())
        rest = {
            one.remote: below + one.place
            for below, files in self._expected
            for one in files
            if one.remote not in settled
        }
        await self.settle([FileResult(outcome=self._abandoned(path, place, error)) for path, place in rest.items()])

    def _paths_settled(self) -> Iterator[RemotePath]:
        """Of the expected files."""
        begin, outcomes = 0, self._results.outcomes
        for unasked in (*self._unasked, range(len(outcomes), len(outcomes))):
            yield from map(outcomes.path_at, range(begin, unasked.start))
            begin = unasked.stop

    def _settled(self, outcome: Outcome) -> None:
        self._sends.pop(outcome.path, None)
        if self._options.on_event is not None:
            self._options.tell(Settled(outcome=outcome))
        self._results.settle(outcome, moved=self._moved.pop(outcome.path, 0))

    def _abandoned(self, path: RemotePath, place: str, error: EMError) -> Outcome:
        gone = path in self._sends
        return Outcome(
            path=path,
            place=place,
            direction=self._direction,
            state=OutcomeState.UNKNOWN if gone else OutcomeState.FAILED,
            reason=f"the request left, its effect was not seen ({error}); run the same call again" if gone else None,
            error=None if gone else error,
        )
