"""Which exit code an error ends the process with.

Owns: the table. May import errors. Knows nothing of how errors are shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from emasync import errors


class ExitCode(IntEnum):
    """What a script can act on. Worst wins: where several apply, the one that `worst` names."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    TEMPORARY = 5
    PARTIAL = 6
    INTEGRITY = 7
    TOO_LARGE = 8
    BUSY = 11
    UNKNOWN = 12
    IMAGE = 20
    POD_NOT_STARTED = 21
    POD_FAILED = 22
    INTERRUPTED = 130
    TERMINATED = 143


_TABLE: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], ExitCode], ...] = (
    (errors.BusyError, ExitCode.BUSY),
    (errors.UnknownOutcomeError, ExitCode.UNKNOWN),
    (errors.IntegrityError, ExitCode.INTEGRITY),
    (errors.TooLargeError, ExitCode.TOO_LARGE),
    ((errors.BuildFailedError, errors.ImageLoadError), ExitCode.IMAGE),
    ((errors.AuthError, errors.ForbiddenError), ExitCode.DENIED),
    (errors.NotFoundError, ExitCode.NOT_FOUND),
    ((errors.UnreachableError, errors.TimedOutError, errors.ServerError), ExitCode.TEMPORARY),
    (errors.EMError, ExitCode.FAILED),
    (FileNotFoundError, ExitCode.NOT_FOUND),
    (PermissionError, ExitCode.DENIED),
    ((ValueError, LookupError), ExitCode.USAGE),
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
)


def exit_code(error: BaseException) -> ExitCode:
    """The code of one error."""
    if isinstance(error, errors.PodFailedError) and not isinstance(error, errors.PodVanishedError):
        return ExitCode.POD_NOT_STARTED if error.pod.dead_end else ExitCode.POD_FAILED
    return next((code for kinds, code in _TABLE if isinstance(error, kinds)), ExitCode.FAILED)


def worst(found: Iterable[BaseException]) -> ExitCode:
    """The code of several failed files: their own if they agree on it, otherwise `PARTIAL`."""
    codes = {exit_code(error) for error in found}
    return codes.pop() if len(codes) == 1 else ExitCode.PARTIAL if codes else ExitCode.DONE
