"""`Outcome` and `TransferReport`: what became of each file, and of all.

Owns: the four ends a file can have, and the sums. Imports errors and paths. Knows nothing of how it was moved.
"""

from __future__ import annotations

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
    """The end of one file. `path` is on the EM, `local` on this machine; `bytes` are payload bytes that stayed;
    `sha256` is hex, of the bytes moved, where it was computed; `busy_seconds` is time spent waiting for the EM's lock;
    `reason` says why a file was skipped or is unknown; `error` is an EMError, or the OSError of the local disk."""

    path: RemotePath
    local: Path
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """All outcomes of one transfer, every requested file exactly once, in the order they settled.

    `seconds` is wall time, `requests` counts what was sent to the EM, `busy_seconds` is wall time during which the
    transfer could do nothing but wait for the EM.
    """

    outcomes: tuple[Outcome, ...] = ()
    seconds: float = 0.0
    requests: int = 0
    busy_seconds: float = 0.0

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

    def raise_for_failures(self) -> None:
        """Raise the first failed (else unknown) file's own error, with a note for every other one; nothing if `ok`."""
        bad: Sequence[Outcome] = (*self.failed, *self.unknown)
        if not bad:
            return
        error = bad[0].error or EMError(f"{bad[0].path}: {bad[0].reason or bad[0].state}")
        for other in bad[1:]:
            error.add_note(f"also {other.state}: {other.path}: {other.error or other.reason}")
        raise error
