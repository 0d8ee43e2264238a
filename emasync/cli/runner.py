"""Run one command: open a client, do the work, and end the process with the right exit code whatever happens.

Decides what a signal does (cancel, five seconds of grace, exit) and the order of the last output. Must not import the
commands.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import anyio
import click

from emasync.cli.exit_codes import ExitCode, StoppedError, ending_signals, exit_code, raise_on_signals
from emasync.cli.options import GlobalOptions
from emasync.cli.output import Output, discard_output
from emasync.cli.settings import check_complete, client_settings, read_password, resolve_settings, ssl_context
from emasync.client import Client
from emasync.config import Settings
from emasync.errors import EMError

_GRACE_S = 5.0


@dataclass(slots=True)
class CommandContext:
    """What a command works with. `resume`: the shell command that continues it, printed when it is interrupted."""

    em: Client
    output: Output
    options: GlobalOptions
    resume: str | None = None


OnlineWork = Callable[[CommandContext], Awaitable[ExitCode]]


def run_on_em(options: GlobalOptions, work: OnlineWork, *, settings: Settings | None = None) -> NoReturn:
    """Run `work` with an open Client of the EM that options, environment and profile name, and end the process."""

    async def opened(client: Client, output: Output) -> ExitCode:
        async with client as em:
            return await _run_until_signal(CommandContext(em=em, output=output, options=options), work)

    def connect(options: GlobalOptions, output: Output) -> ExitCode:
        client = _client(options, output, settings or client_settings(options))  # prompts: Ctrl-C needs no event loop
        return anyio.run(opened, client, output)

    run_local(options, connect)


def run_local(options: GlobalOptions, work: Callable[[GlobalOptions, Output], ExitCode]) -> NoReturn:
    """Call `work`, which has no Client, and end the process with its exit code."""
    output = Output(as_json=options.json, quiet=options.quiet)
    run_and_exit(output, lambda: work(options, output))


def run_and_exit(output: Output, work: Callable[[], ExitCode]) -> NoReturn:
    """Call `work`, and end the process with the exit code that it returns, or with that of its error."""
    raise_on_signals()
    try:
        code = work()
    except StoppedError as stopped:
        code = stopped.code
    except BrokenPipeError:
        discard_output(sys.stdout)
        code = ExitCode.FAILED
    except (KeyboardInterrupt, click.Abort):
        code = ExitCode.INTERRUPTED
    except (EMError, OSError, ValueError, LookupError) as error:
        output.error(error)
        code = exit_code(error)
    try:
        output.exit(code)
        sys.stdout.flush()
    except OSError:  # the reader has gone or the disk is full: results that were not written are not "done"
        discard_output(sys.stdout)
        code = code or ExitCode.FAILED
    try:
        sys.stderr.flush()
    except OSError:  # the terminal was closed: the exit code stays that of the work
        discard_output(sys.stderr)
    raise SystemExit(int(code))


def start_logging(options: GlobalOptions) -> None:
    """Send the library's log to stderr: warnings, with ``-vv`` every request."""
    logging.basicConfig(level=logging.DEBUG if options.verbose > 1 else logging.WARNING, stream=sys.stderr)


@asynccontextmanager
async def background_task(function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> AsyncIterator[None]:
    """Run `function` while the block runs, and cancel it at the block's end.

    An error of the block is raised as it is: it does not pass through the task group, which would wrap it.
    """
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(function, *args)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


def _client(options: GlobalOptions, output: Output, settings: Settings) -> Client:
    start_logging(options)
    resolved = resolve_settings(options)
    check_complete(resolved)
    if options.insecure:
        output.warn("warning: --insecure: anybody between you and the EM can read and change everything")
    return Client(
        resolved.get("url") or "",
        username=resolved.get("username") or "",
        password=read_password(resolved),
        volume=resolved.get("volume"),
        settings=settings,
        ssl_context=ssl_context(options, resolved),
    )


async def _run_until_signal(context: CommandContext, work: OnlineWork) -> ExitCode:
    """Run `work`; the first signal cancels it and gives it five seconds, the second ends the process at once."""
    code, caught = ExitCode.FAILED, list[ExitCode]()
    scope = anyio.CancelScope()  # not the task group's: signals are watched until the work has ended
    async with background_task(_cancel_on_signal, scope, caught, context):
        with scope:
            try:
                code = await work(context)
            except Exception:
                if not caught:  # after a signal only the signal counts
                    raise
    raise_on_signals()
    if not caught:
        return code
    if context.resume is not None:
        context.output.warn(f"what is done is kept; go on with: {context.resume}")
    return caught[0]


async def _cancel_on_signal(scope: anyio.CancelScope, caught: list[ExitCode], context: CommandContext) -> None:
    codes = ending_signals()
    with anyio.open_signal_receiver(*codes) as signals:
        async for number in signals:
            if caught:
                os._exit(int(caught[0]))
            caught.append(codes[number])
            context.output.info("interrupted: ending what is under way (again: end at once)")
            timer = threading.Timer(_GRACE_S, os._exit, (int(caught[0]),))
            timer.daemon = True
            timer.start()
            scope.cancel()
