"""ActiveTransfers one verb: log in, do it, and end with the right code whatever happens.

Owns: the order of an ending: signals, the grace after one, what is printed, the exit code. May import client and this
room.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NoReturn

import anyio
import click

from emasync.cli.exit_codes import ExitCode, exit_code
from emasync.cli.options import GlobalOptions
from emasync.cli.output import Out, discard
from emasync.cli.settings import check_complete, password, resolve_settings, settings_of, tls
from emasync.cli.signals import StoppedError, ending_signals, raise_on_signals
from emasync.client import Client
from emasync.config import Settings
from emasync.errors import EMError

_GRACE_S = 5.0


@dataclass(slots=True)
class CommandContext:
    """What a verb works with. `resume`: the command to print if it is interrupted, set by verbs where there is one."""

    em: Client
    out: Out
    asked: GlobalOptions
    resume: str | None = field(default=None)


Verb = Callable[[CommandContext], Awaitable[ExitCode]]


def run_on_em(asked: GlobalOptions, verb: Verb, *, settings: Settings | None = None) -> NoReturn:
    """Run `verb` with an open Client of the EM that flags, environment and profile name; ends the process."""
    out = Out(as_json=asked.json, quiet=asked.quiet)

    async def opened(client: Client) -> ExitCode:
        async with client as em:
            return await _supervised(CommandContext(em=em, out=out, asked=asked), verb)

    def work() -> ExitCode:  # a prompt for the password inside an event loop would not hear Ctrl-C
        return anyio.run(opened, _client(asked, out, settings or settings_of(asked)))

    finish(out, work)


def finish(out: Out, work: Callable[[], ExitCode]) -> NoReturn:
    """Call `work` and end the process with its code, or with that of what it raises."""
    raise_on_signals()
    try:
        code = work()
    except StoppedError as stopped:
        code = stopped.code
    except BrokenPipeError:
        discard(sys.stdout)
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
        discard(sys.stdout)
        code = code or ExitCode.FAILED
    try:
        sys.stderr.flush()
    except OSError:  # a terminal that was closed: the code is that of the job
        discard(sys.stderr)
    raise SystemExit(int(code))


def start_logging(asked: GlobalOptions) -> None:
    """The library's log to stderr: every request with ``-vv``."""
    logging.basicConfig(level=logging.DEBUG if asked.verbose > 1 else logging.WARNING, stream=sys.stderr)


def _client(asked: GlobalOptions, out: Out, settings: Settings) -> Client:
    start_logging(asked)
    origins = resolve_settings(asked)
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


async def _supervised(at: CommandContext, verb: Verb) -> ExitCode:
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
    raise_on_signals()
    if caught:
        if at.resume is not None:
            at.out.warn(f"what is done is kept; go on with: {at.resume}")
        return caught[0]
    if failed is not None:
        raise failed
    return code


async def _watch_signals(scope: anyio.CancelScope, caught: list[ExitCode], at: CommandContext) -> None:
    codes = ending_signals()
    with anyio.open_signal_receiver(*codes) as signals:
        async for number in signals:
            if caught:
                os._exit(int(caught[0]))
            caught.append(codes[number])
            at.out.say("interrupted: ending what is under way (again: end at once)")
            timer = threading.Timer(_GRACE_S, os._exit, (int(caught[0]),))
            timer.daemon = True
            timer.start()
            scope.cancel()
