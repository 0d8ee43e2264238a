"""The signals that end a command (SIGINT, SIGTERM, and SIGHUP unless nohup ignores it), and their exit codes.

Imports the exit codes only, so that ``emasync simulator`` can use it without a client.
"""

from __future__ import annotations

import signal
from typing import NoReturn

from emasync.cli.exit_codes import ExitCode

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
