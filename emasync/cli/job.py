"""Running one verb: log in, do it, and end with the right code whatever happens.

Owns: signals, the order of an ending, and the map from an error to an exit code. May import client and this room.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NoReturn

import anyio
import click

from emasync.cli.exit_codes import ExitCode, exit_code
from emasync.cli.options import Asked
from emasync.cli.origins import check_complete, find_origins, password, settings_of, tls
from emasync.cli.out import Out
from emasync.client import Client
from emasync.config import Settings
from emasync.errors import EMError

_GRACE_S = 5.0
_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


@dataclass(slots=True)
class At:
    """What a verb works with. `resume`: the command to print if it is interrupted, set by verbs that can be resumed."""

    em: Client
    out: Out
    asked: Asked
    resume: str | None = field(default=None)


Verb = Callable[[At], Awaitable[ExitCode]]


def run_on_em(asked: Asked, verb: Verb, *, settings: Settings | None = None) -> NoReturn:
    """Run `verb` with an open Client of the EM that flags, environment and profile name; ends the process."""
    out = Out(as_json=asked.json, quiet=asked.quiet)

    async def opened(client: Client) -> ExitCode:
        async with client as em:
            return await _supervised(At(em=em, out=out, asked=asked), verb)

    def work() -> ExitCode:  # a prompt for the password inside an event loop would not hear Ctrl-C
        return anyio.run(opened, _client(asked, out, settings or settings_of(asked)))

    finish(out, work)


def finish(out: Out, work: Callable[[], ExitCode]) -> NoReturn:
    """Call `work` and end the process with its code, or with that of what it raises."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = work()
    except _Terminated:
        code = ExitCode.TERMINATED
    except BrokenPipeError:
        _quiet_stdout()
        code = ExitCode.FAILED
    except (KeyboardInterrupt, click.Abort):
        code = ExitCode.INTERRUPTED
    except (EMError, OSError, ValueError, LookupError) as error:
        out.error(error)
        code = exit_code(error)
    try:
        out.exit(code)
        sys.stdout.flush()
    except OSError:  # nobody reads it, or its disk is full: what was not written is not "done"
        _quiet_stdout()
        code = code or ExitCode.FAILED
    raise SystemExit(int(code))


class _Terminated(KeyboardInterrupt):
    """SIGTERM where no event loop listens for it."""


def _terminated(number: int, frame: object) -> NoReturn:
    raise _Terminated


def start_logging(asked: Asked) -> None:
    """The library's log to stderr: every request with ``-vv``."""
    logging.basicConfig(level=logging.DEBUG if asked.verbose > 1 else logging.WARNING, stream=sys.stderr)


def _client(asked: Asked, out: Out, settings: Settings) -> Client:
    start_logging(asked)
    origins = find_origins(asked)
    check_complete(origins)
    if asked.insecure:
        out.warn("warning: --insecure: anybody between you and the EM can read and change everything")
    return Client(
        origins.get("url") or "",
        username=origins.get("username") or "",
        password=password(origins),
        volume=origins.get("volume"),
        settings=settings,
        ssl_context=tls(asked, origins),
    )


async def _supervised(at: At, verb: Verb) -> ExitCode:
    """Run `verb`; the first signal cancels it and gives it five seconds, the second ends the process at once."""
    code, failed = ExitCode.FAILED, None
    async with anyio.create_task_group() as tasks:
        caught: list[ExitCode] = []
        with anyio.CancelScope() as work:  # not the group's own: the watcher goes on until the verb has ended
            tasks.start_soon(_watch_signals, work, caught, at)
            try:
                code = await verb(at)
            except Exception as error:  # noqa: BLE001 - raised below: the task group would wrap it
                failed = error
        tasks.cancel_scope.cancel()
    if caught:
        if at.resume is not None:
            at.out.warn(f"what is done is kept; go on with: {at.resume}")
        return caught[0]
    if failed is not None:
        raise failed
    return code


async def _watch_signals(scope: anyio.CancelScope, caught: list[ExitCode], at: At) -> None:
    with anyio.open_signal_receiver(*_CODES) as signals:
        async for number in signals:
            if caught:
                os._exit(int(caught[0]))
            caught.append(_CODES[number])
            at.out.say("interrupted: ending what is under way (again: end at once)")
            timer = threading.Timer(_GRACE_S, os._exit, (int(caught[0]),))
            timer.daemon = True
            timer.start()
            scope.cancel()


def _quiet_stdout() -> None:
    """Nobody reads stdout any more: let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
