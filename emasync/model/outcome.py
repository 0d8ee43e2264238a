"""`Outcome`: the result of one file of a transfer. `SyncDecision`: what a sync will do with one file.

Also the enums and literals that both use. Must not import anything but paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from emasync.model.paths import RemotePath

Overwrite = Literal["replace", "skip", "error"]
"""What to do when the target exists: replace it, leave it and report `skipped`, or report `failed`."""

Verify = Literal["none", "size", "content"]
"""How much is verified before a file counts as done; `content` (the default) uses checksums wherever there are any."""


class Direction(StrEnum):
    """The direction of a transfer: uplink is to the EM, downlink from it.

    >>> [outcome.direction.value for outcome in (await em.downlink("results/a.txt")).outcomes]
    ['downlink']
    """

    UPLINK = "uplink"
    DOWNLINK = "downlink"


class OutcomeState(StrEnum):
    """`done`: at its target, and verified as far as `Outcome.verified` says. `skipped`: left as it was on purpose.
    `failed`: not at its target. `unknown`: it was sent, and no listing could tell whether it arrived.

    >>> report = await em.downlink(["results/a.txt", "missing.txt"])
    >>> {outcome.path: outcome.state.value for outcome in report.outcomes}
    {'missing.txt': 'failed', 'results/a.txt': 'done'}
    """

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNKNOWN = "unknown"


class OutcomeAction(StrEnum):
    """What the outcome is of: `transfer` of the file's content, or `delete` of the file at the target of a sync.

    >>> Path("empty").mkdir()
    >>> report = await em.sync_up("empty", "results", delete=True, allow_empty_source=True)
    >>> sorted((outcome.path, outcome.action.value) for outcome in report.done)
    [('results/a.txt', 'delete'), ('results/b.txt', 'delete')]
    """

    TRANSFER = "transfer"
    DELETE = "delete"


class Verified(StrEnum):
    """How a `done` file was verified, weakest first.

    >>> [outcome.verified.value for outcome in (await em.downlink("results/a.txt")).outcomes]
    ['sha256']
    """

    NONE = "none"
    COUNT = "count"  # the server counted as many files as were sent
    SIZE = "size"  # the size is the listed or announced one
    TAG = "tag"  # the listing's content tag is that of the local bytes
    SHA256 = "sha256"  # the envelope's SHA-256 is that of the bytes on disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one file. `path` is on the EM, `local` (as text: `place`) on this machine. `bytes` are the payload
    bytes of a done file; `sha256` is hex, of the transferred bytes, where it was computed; `busy_seconds` is the time
    spent waiting for the EM's lock; `reason` says why a file was skipped or is unknown; `error` is an EMError, or an
    OSError of the local disk; `action` distinguishes a sync's deletions from transfers.

    >>> outcome = (await em.downlink("results/a.txt", into="out")).outcomes[0]
    >>> outcome.path, outcome.state.value, outcome.bytes, outcome.attempts, outcome.error
    ('results/a.txt', 'done', 6, 1, None)
    >>> outcome.local.name
    'a.txt'
    """

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
    action: OutcomeAction = OutcomeAction.TRANSFER

    @property
    def local(self) -> Path:
        """The file on this machine: the one that was sent, or where it was saved."""
        return Path(self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSummary:
    """What a sync with deletions is about to do, shown to the user who must agree to it.

    `side` is where files would be deleted: "local" (a sync down) or "remote" (a sync up). `delete_files` and
    `delete_bytes` are what would be deleted there, `copy_files` and `copy_bytes` what would be copied, `source_files`
    and `target_files` (with their bytes) what the two sides hold after filtering; `source_excluded` is the number of
    files of the source that the filters leave out.

    >>> async def confirm(summary: SyncSummary) -> bool:
    ...     print(summary.delete_files, "files would be deleted on the side", summary.side)
    ...     return True
    >>> Path("local").mkdir()
    >>> size = Path("local/a.txt").write_text("hello")
    >>> report = await em.sync_up("local", "results", delete=True, confirm=confirm)
    1 files would be deleted on the side remote
    """

    side: Literal["local", "remote"]
    delete_files: int
    delete_bytes: int
    copy_files: int
    copy_bytes: int
    source_files: int
    source_bytes: int
    target_files: int
    target_bytes: int
    source_excluded: int = 0

    @property
    def empties(self) -> bool:
        """Whether the source is empty, so that all files of the target would be deleted."""
        return self.delete_files > 0 and self.source_files == 0


SyncAction = Literal["copy", "keep", "delete", "conflict"]


class SyncReason(StrEnum):
    """Why files are copied or kept, where program code asks; `SyncDecision.reason` may also be any other text."""

    NEW = "new"
    """Only the source has the file."""
    SIZE_DIFFERS = "size differs"
    CONTENT_DIFFERS = "content differs"
    SAME_CONTENT = "same content"
    """The content tags are equal."""
    CHANGED_SINCE = "same size, changed since moved"
    UNCHANGED_SINCE = "same size, unchanged since moved"
    UNKNOWN_CONTENT = "same size, content unknown"
    """Nothing tells the two files apart."""
    NO_SIZE = "the EM lists no size"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncDecision:
    """What a sync does with one file, and why. `path` is below the synced folder on both sides. `delete` is of the file
    at the target; `conflict` needs a decision of the user. `bytes` is what a copy transfers (0 where no size is
    listed). `compared` is False where the two sides could not be compared: the EM's listing does not give the file, or
    files of equal size could not be distinguished.

    >>> report = await em.sync_down("results", "out", dry_run=True)
    >>> [(decision.path, decision.action, decision.bytes) for decision in report.plan]
    [('a.txt', 'copy', 6), ('b.txt', 'copy', 12)]
    """

    path: RemotePath
    action: SyncAction
    reason: str
    bytes: int = 0
    compared: bool = True
