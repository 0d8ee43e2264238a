"""Every file of a transfer, exactly once: registered, then recorded in the journal, for `on_event` and for the report.

Knows nothing of requests, and decides nothing about a file. Must not import http, run or engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import anyio

from emasync.errors import EMError
from emasync.model import Direction, Outcome, OutcomeLog, Outcomes, OutcomeState, RemotePath, SyncDecision
from emasync.transfer.events import Noted, OnEvent, Settled
from emasync.transfer.state.transfer_journal import FileResult, TransferJournal


class RegisteredFile(Protocol):
    """An item of a plan: its remote path, and its local path as text."""

    @property
    def remote(self) -> RemotePath: ...
    @property
    def local_path(self) -> str: ...


class ResultTracker:
    """Records the result of each file of one transfer; `Transfer` reads the outcomes from here.

    `journal` is set once it is open. Memory: packed outcomes and what is under way. Registered files are kept as the
    sequence they came in, because a plan of very many files makes its items only when they are asked for.
    """

    def __init__(
        self, *, direction: Direction, on_event: OnEvent | None = None, journal: TransferJournal | None = None
    ) -> None:
        self.outcomes: OutcomeLog = OutcomeLog()
        self.notes: list[str] = []
        self.plan: Sequence[SyncDecision] = ()
        self.resent_bytes: int = 0
        self.failed_bytes: int = 0
        self.journal = journal
        self.direction = direction
        self._on_event = on_event
        self._updated = anyio.Event()
        self._registered: list[tuple[str, Sequence[RegisteredFile]]] = []  # with the folder of their local paths
        self._unregistered: list[range] = []  # of the outcomes: those of files that were never registered
        self._times_sent: dict[RemotePath, int] = {}
        self._moved: dict[RemotePath, int] = {}  # payload bytes, in all attempts, of files without a result

    def register(self, files: Sequence[RegisteredFile], *, directory: str = "") -> None:
        """Expect a result for each of `files`; their local paths begin with `directory`, which is "" or ends in a
        slash. `files` is kept, and may be iterated again."""
        self._registered.append((directory, files))

    @property
    def has_registered(self) -> bool:
        """Whether the plan is known: from here on no file can be forgotten."""
        return bool(self._registered)

    def mark_sent(self, paths: Iterable[RemotePath]) -> None:
        """A request with these files has left: without a result they are unknown from now on, not failed."""
        for path in paths:
            self._times_sent[path] = self._times_sent.get(path, 0) + 1

    def times_sent(self, path: RemotePath) -> int:
        """How many requests with a file that has no result yet have left."""
        return self._times_sent.get(path, 0)

    def add_moved(self, path: RemotePath, size: int) -> None:
        """`size` more payload bytes of a file were moved, whether they stay or not."""
        self._moved[path] = self._moved.get(path, 0) + size

    async def record(self, results: Sequence[FileResult]) -> None:
        """Record how files ended: in the journal first, then for `on_event` and the reader, in this order.

        Cancellation waits for the journal, so that the report says what the journal says.
        """
        if self.journal is not None:
            with anyio.CancelScope(shield=True):
                await self.journal.record_results(results)
        for result in results:
            self._add(result.outcome)

    def record_unregistered(self, outcomes: Iterable[Outcome]) -> None:
        """Record files that were not registered, outside the journal. One of them may have the path of a registered
        file (the second of two files with one target): the registered file still gets a result of its own."""
        begin = len(self.outcomes)
        for outcome in outcomes:  # tens of thousands, when a sync finds nothing to do
            self._add(outcome)
        self._unregistered.append(range(begin, len(self.outcomes)))

    async def fail_remaining(self, error: EMError) -> None:
        """Record a result for every registered file without one: the transfer ends here, because of `error`."""
        recorded = set(self._recorded_paths())
        remaining = {
            file.remote: directory + file.local_path
            for directory, files in self._registered
            for file in files
            if file.remote not in recorded
        }
        await self.record(
            [FileResult(outcome=self._remaining(path, local, error)) for path, local in remaining.items()]
        )

    def note(self, text: str) -> None:
        """Tell the user something about the transfer as a whole."""
        self.notes.append(text)
        if self._on_event is not None:
            self._on_event(Noted(text=text))

    @property
    def ok(self) -> bool:
        """Whether no file so far has failed or is unknown."""
        outcomes = Outcomes(self.outcomes)
        return not outcomes.of(OutcomeState.FAILED) and not outcomes.of(OutcomeState.UNKNOWN)

    def wake_reader(self) -> None:
        """End the wait of `updated`."""
        self._updated.set()

    async def updated(self) -> None:
        """Wait for the next outcome, or for `wake_reader`."""
        if self._updated.is_set():  # not an event on which another reader waits: nobody would set that any more
            self._updated = anyio.Event()
        await self._updated.wait()

    def _add(self, outcome: Outcome) -> None:
        self._times_sent.pop(outcome.path, None)
        moved = self._moved.pop(outcome.path, 0)
        if self._on_event is not None:
            self._on_event(Settled(outcome=outcome))
        if outcome.state is OutcomeState.DONE:
            self.resent_bytes += max(0, moved - outcome.bytes)
        else:
            self.failed_bytes += moved
        self.outcomes.append(outcome)
        self._updated.set()

    def _recorded_paths(self) -> Iterator[RemotePath]:
        """The registered files that have a result."""
        begin, outcomes = 0, self.outcomes
        for unregistered in (*self._unregistered, range(len(outcomes), len(outcomes))):
            yield from map(outcomes.path_at, range(begin, unregistered.start))
            begin = unregistered.stop

    def _remaining(self, path: RemotePath, local_path: str, error: EMError) -> Outcome:
        sent = path in self._times_sent
        return Outcome(
            path=path,
            place=local_path,
            direction=self.direction,
            state=OutcomeState.UNKNOWN if sent else OutcomeState.FAILED,
            reason=f"the request left, its effect was not seen ({error}); run the same call again" if sent else None,
            error=None if sent else error,
        )


def failed_outcome(
    file: RegisteredFile, direction: Direction, error: Exception, *, directory: str = "", attempts: int = 0
) -> Outcome:
    """The outcome of `file`, whose local path begins with `directory`, that `error` ended."""
    return Outcome(
        path=file.remote,
        place=directory + file.local_path,
        direction=direction,
        state=OutcomeState.FAILED,
        attempts=attempts,
        error=error,
    )
