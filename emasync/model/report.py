"""`TransferReport`: the outcomes of all files of a transfer, their sums, and advice that follows from them.

The one module of model that imports errors. Knows nothing of how a transfer is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emasync.errors import EMError
from emasync.model.outcome import Outcome, OutcomeAction, OutcomeState, SyncDecision
from emasync.model.result_store import Outcomes
from emasync.model.text import safe

_MIN_ADVICE_S = 5.0
_SMALL_REQUEST = 64 * 1024  # bytes per request; with fewer the request itself is most of the cost


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TransferReport:
    """All outcomes of one transfer, every requested file exactly once, in the order in which they ended.

    `seconds` is wall time, `requests` counts what was sent to the EM, `busy_seconds` is wall time during which the
    transfer only waited for the EM. `resent_bytes` are payload bytes of files that are done, beyond once;
    `failed_bytes` those that were moved for files that are not. `plan` is that of a sync, with a reason for each
    file; `notes` are remarks for the user. Outcomes are packed (`Outcomes`): iterate over them, or keep the few you
    need, and the others take little memory.

    >>> report = await em.downlink(["results/a.txt", "missing.txt"])
    >>> report.ok, report.bytes, [outcome.path for outcome in report.failed]
    (False, 6, ['missing.txt'])
    >>> report.raise_for_failures()
    Traceback (most recent call last):
    NotFoundError: ...
    """

    outcomes: Sequence[Outcome] = ()
    seconds: float = 0.0
    requests: int = 0
    busy_seconds: float = 0.0
    resent_bytes: int = 0
    failed_bytes: int = 0
    plan: Sequence[SyncDecision] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.outcomes, Outcomes):
            object.__setattr__(self, "outcomes", Outcomes(self.outcomes))

    def __repr__(self) -> str:
        # short on purpose: `asyncio.run` makes the repr of its result, which took longer than some syncs
        counts = {state: len(self._with_state(state)) for state in OutcomeState}
        files = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no files"
        return f"<TransferReport: {files}, {self.bytes} bytes in {self.seconds:.3g} s>"

    def _with_state(self, state: OutcomeState) -> Outcomes:
        assert isinstance(self.outcomes, Outcomes)
        return self.outcomes.of(state)

    @property
    def done(self) -> Sequence[Outcome]:
        """Files that are at their target, verified."""
        return self._with_state(OutcomeState.DONE)

    @property
    def skipped(self) -> Sequence[Outcome]:
        """Files that were left as they were on purpose; each has its reason."""
        return self._with_state(OutcomeState.SKIPPED)

    @property
    def failed(self) -> Sequence[Outcome]:
        """Files that are not at their target; each has its error."""
        return self._with_state(OutcomeState.FAILED)

    @property
    def unknown(self) -> Sequence[Outcome]:
        """Files that were sent, and of which no listing could tell whether they arrived."""
        return self._with_state(OutcomeState.UNKNOWN)

    @property
    def deleted(self) -> Sequence[Outcome]:
        """Files that a sync removed from its target: from the EM (`Outcome.direction` is uplink) or from here. They are
        among the `done`."""
        return [outcome for outcome in self.done if outcome.action is OutcomeAction.DELETE]

    @property
    def ok(self) -> bool:
        """Whether nothing failed and nothing is unknown."""
        return not self.failed and not self.unknown

    @property
    def bytes(self) -> int:
        """Payload bytes of all `done` files."""
        return self._with_state(OutcomeState.DONE).bytes

    @property
    def wasted_bytes(self) -> int:
        """Payload bytes that were transferred in vain: `resent_bytes` and `failed_bytes`."""
        return self.resent_bytes + self.failed_bytes

    @property
    def throughput(self) -> float:
        """Payload bytes a second, of files that are done; 0 for a transfer that took no time."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def advice(self) -> str | None:
        """One line on what took most of the time; None for a transfer that is short or ran well."""
        if self.seconds < _MIN_ADVICE_S or not self.outcomes:
            return None
        if self.busy_seconds > 0.5 * self.seconds:
            share = self.busy_seconds / self.seconds
            return f"{share:.0%} of the time went into waiting for the EM: somebody else is using it"
        if self.wasted_bytes > 0.2 * max(self.bytes, 1):
            return f"{self.wasted_bytes} bytes were moved in vain: the link, or the EM, breaks off often"
        if self.requests and self.bytes / self.requests < _SMALL_REQUEST:
            return (
                f"{self.requests} calls moved little each: fewer, larger files or folders would take the EM's lock less"
            )
        return None

    def raise_for_failures(self) -> None:
        """Raise the first failed (else unknown) file's own error, with a note for every other one; nothing if `ok`."""
        failures: Sequence[Outcome] = (*self.failed, *self.unknown)
        if not failures:
            return
        error = failures[0].error or EMError(f"{safe(failures[0].path)}: {failures[0].reason or failures[0].state}")
        for other in failures[1:]:
            error.add_note(f"also {other.state}: {safe(other.path)}: {other.error or other.reason}")
        raise error
