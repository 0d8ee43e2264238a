"""The exit codes, and which error or signal ends the process with which code.

The signals are SIGINT, SIGTERM, and SIGHUP unless nohup ignores it. Must not import anything of emasync but its errors,
so that ``emasync simulator`` can use it without a client. How an error is printed is decided in `output`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from enum import IntEnum
from typing import NoReturn

from emasync import errors


class ExitCode(IntEnum):
    """What a script can act on. Of several items: see `code_of_items`."""

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
    HUNG_UP = 129
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


def code_of_items(failures: Iterable[BaseException], *, items: int, unknown: bool = False) -> ExitCode:
    """The code of a command that was asked for so many `items`, of which these failed.

    UNKNOWN if what became of any of them is not known; the failures' own code if all items failed with the same one;
    PARTIAL if some failed, or all of them in different ways; else DONE. Items that are skipped did not fail.
    """
    codes = [exit_code(error) for error in failures]
    if unknown or ExitCode.UNKNOWN in codes:
        return ExitCode.UNKNOWN
    if not codes:
        return ExitCode.DONE
    return codes[0] if len(codes) >= items and len(set(codes)) == 1 else ExitCode.PARTIAL


_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.HUNG_UP,
}


class StoppedError(KeyboardInterrupt):
    """SIGTERM or SIGHUP where no event loop listens for it. `code` is what to end with."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code.name.lower())
        self.code = code


def ending_signals() -> dict[signal.Signals, ExitCode]:
    """The signals that end this process, with its exit code. A SIGHUP that was ignored when it began stays ignored."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return {number: code for number, code in _CODES.items() if not (ignored and number is signal.SIGHUP)}


def raise_on_signals() -> None:
    """From here on SIGTERM and SIGHUP raise `StoppedError`, as SIGINT raises KeyboardInterrupt: before an event loop
    listens for them, and again when it no longer does (asyncio leaves them to the system, which kills at once)."""
    for number in ending_signals():
        if number is not signal.SIGINT:
            signal.signal(number, _raise)


def _raise(number: int, frame: object) -> NoReturn:
    raise StoppedError(_CODES[signal.Signals(number)])
