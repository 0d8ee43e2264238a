"""Every file of a transfer, exactly once: expected, then settled.

Owns: that no file is settled twice and none is forgotten, whatever ends the transfer; how often each has left, and how
many bytes were moved for it.
May import events, ledger, link.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import anyio

from emasync.errors import EMError
from emasync.model import Direction, Outcome, Outcomes, OutcomeState, RemotePath
from emasync.transfer.events import Noted, Settled
from emasync.transfer.ledger import Ending, Ledger
from emasync.transfer.link import Options
from emasync.transfer.transfer import Results


class Expected(Protocol):
    """An item of a plan, or what knows as much of a file: its remote path, and its local one as text."""

    @property
    def remote(self) -> RemotePath: ...
    @property
    def place(self) -> str: ...


class Roster:
    """Hands outcomes to `results`, from which the Transfer is read. Memory: the item of each file still expected."""

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
        self._expected: dict[str, dict[RemotePath, Expected]] = {}  # by what stands before the local paths
        self._sends: dict[RemotePath, int] = {}
        self._moved: dict[RemotePath, int] = {}  # payload bytes, in all attempts, of files that are not settled yet

    def expect(self, files: Iterable[Expected], *, below: str = "") -> None:
        """These will be settled; their local paths begin with `below`."""
        known = {file.remote: file for file in files}
        self._expected.setdefault(below, {}).update(known)  # from a dict, whose size is known: half the room

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

    async def settle(self, endings: Sequence[Ending]) -> None:
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
        """Files that the plan refused: settled, and not remembered."""
        for outcome in outcomes:  # tens of thousands, when a sync finds nothing to do
            self._settled(outcome)

    async def abandon(self, error: EMError) -> None:
        """Settle all that is still expected: the transfer ends here, because of `error`."""
        rest = [(one.remote, below + one.place) for below, files in self._expected.items() for one in files.values()]
        await self.settle([Ending(outcome=self._abandoned(path, place, error)) for path, place in rest])

    def _settled(self, outcome: Outcome) -> None:
        for files in self._expected.values():
            files.pop(outcome.path, None)
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
