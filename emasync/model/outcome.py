"""`Outcome` and `TransferReport`: what became of each file, and of all.

Owns: the four ends a file can have, and the sums. Imports errors and paths. Knows nothing of how it was moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from emasync.errors import EMError
from emasync.model.paths import RemotePath

Overwrite = Literal["replace", "skip", "error"]
"""What to do when the target exists: replace it, leave it and report `skipped`, or report `failed`."""

Verify = Literal["none", "size", "content"]
"""How much is proved before a file counts as done; `content` (the default) uses checksums wherever there are any."""


_WORTH_ADVICE_S = 5.0
_SMALL_CALL = 64 * 1024  # bytes per request below which the call itself is the cost


class Direction(StrEnum):
    """Seen from the ground, as the EM names it."""

    UPLINK = "uplink"
    DOWNLINK = "downlink"


class OutcomeState(StrEnum):
    """`done`: there and verified as far as `Outcome.verified` says. `skipped`: left alone on purpose. `failed`: not
    there. `unknown`: it was sent, and no listing could tell whether it arrived."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Verified(StrEnum):
    """What stands behind a `done`, weakest first."""

    NONE = "none"
    COUNT = "count"  # the server counted as many files as were sent
    SIZE = "size"  # the size is the listed or announced one
    TAG = "tag"  # the listing's content tag is that of the local bytes
    SHA256 = "sha256"  # the envelope's SHA-256 is that of the bytes on disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one file. `path` is on the EM, `local` (as text: `place`) on this machine; `bytes` are payload bytes
    that stayed; `sha256` is hex, of the bytes moved, where it was computed; `busy_seconds` is time spent waiting for
    the EM's lock; `reason` says why a file was skipped or is unknown; `error` is an EMError, or the OSError of the
    local disk."""

    path: RemotePath
    place: str  # a Path takes half a kilobyte, and there may be a hundred thousand outcomes
    direction: Direction
    state: OutcomeState
    bytes: int = 0
    sha256: str | None = None
    verified: Verified = Verified.NONE
    attempts: int = 0
    seconds: float = 0.0
    busy_seconds: float = 0.0
    reason: str | None = None
    error: Exception | None = None

    @property
    def local(self) -> Path:
        """The file on this machine: what was sent, or where it was saved."""
        return Path(self.place)


SyncAction = Literal["copy", "keep", "delete", "conflict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncDecision:
    """What a sync does with one file, and why. `path` is below the synced folder on both sides. `delete` speaks of the
    target; `conflict`: nothing can be done until a person acts. `bytes` is what a copy has to move (0 where no size is
    listed)."""

    path: RemotePath
    action: SyncAction
    reason: str
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TransferReport:
    """All outcomes of one transfer, every requested file exactly once, in the order they settled.

    `seconds` is wall time, `requests` counts what was sent to the EM, `busy_seconds` is wall time during which the
    transfer could do nothing but wait for the EM, `wasted_bytes` what was moved and had to be moved again. `plan` is a
    sync's, with a reason for each file; `notes` are what a person should know of the whole.
    """

    outcomes: tuple[Outcome, ...] = ()
    seconds: float = 0.0
    requests: int = 0
    busy_seconds: float = 0.0
    wasted_bytes: int = 0
    plan: tuple[SyncDecision, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # short on purpose: `asyncio.run` makes the repr of what it returns, which took longer than some syncs
        counts = Counter(outcome.state for outcome in self.outcomes)
        files = ", ".join(f"{counts[state]} {state}" for state in OutcomeState if counts[state]) or "no files"
        return f"<TransferReport: {files}, {self.bytes} bytes in {self.seconds:.3g} s>"

    def _in(self, state: OutcomeState) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.state is state)

    @property
    def done(self) -> tuple[Outcome, ...]:
        """Files that are there, verified."""
        return self._in(OutcomeState.DONE)

    @property
    def skipped(self) -> tuple[Outcome, ...]:
        """Files left alone on purpose; each has its reason."""
        return self._in(OutcomeState.SKIPPED)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Files that are not there; each has its error."""
        return self._in(OutcomeState.FAILED)

    @property
    def unknown(self) -> tuple[Outcome, ...]:
        """Files that were sent and could not be found out about."""
        return self._in(OutcomeState.UNKNOWN)

    @property
    def ok(self) -> bool:
        """Whether nothing failed and nothing is unknown."""
        return not self.failed and not self.unknown

    @property
    def bytes(self) -> int:
        """Payload bytes of all `done` files."""
        return sum(outcome.bytes for outcome in self.done)

    @property
    def throughput(self) -> float:
        """Payload bytes a second, of files that are done; 0 for a transfer that took no time."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def advice(self) -> str | None:
        """One line on what dominated the transfer, if anything did; None for one that is short or ran well."""
        if self.seconds < _WORTH_ADVICE_S or not self.outcomes:
            return None
        if self.busy_seconds > 0.5 * self.seconds:
            share = self.busy_seconds / self.seconds
            return f"{share:.0%} of the time went into waiting for the EM: somebody else is using it"
        if self.wasted_bytes > 0.2 * max(self.bytes, 1):
            return f"{self.wasted_bytes} bytes had to be moved again: the link, or the EM, breaks off often"
        if self.requests and self.bytes / self.requests < _SMALL_CALL:
            return (
                f"{self.requests} calls moved little each: fewer, larger files or folders would take the EM's lock less"
            )
        return None

    def raise_for_failures(self) -> None:
        """Raise the first failed (else unknown) file's own error, with a note for every other one; nothing if `ok`."""
        bad: Sequence[Outcome] = (*self.failed, *self.unknown)
        if not bad:
            return
        error = bad[0].error or EMError(f"{bad[0].path}: {bad[0].reason or bad[0].state}")
        for other in bad[1:]:
            error.add_note(f"also {other.state}: {other.path}: {other.error or other.reason}")
        raise error
