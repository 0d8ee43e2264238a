"""``emasync simulator``: serve a simulated EM on this machine until a signal ends it."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import get_args

import anyio
import click

from emasync.cli.demo_files import IMAGE, process
from emasync.cli.exit_codes import ending_signals
from emasync.model import safe
from emasync.simulator import Generation, Simulator


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8700, show_default=True, help="0 takes a free one")
@click.option("--user", "users", multiple=True, metavar="NAME:PASSWORD", help="may be given again [client1:secret]")
@click.option("--generation", type=click.Choice(get_args(Generation)), default="seed", show_default=True)
@click.option("--exclusive", is_flag=True, help="answer 423 to any call while another runs, as a strict EM does")
@click.option("--hold", type=click.FloatRange(min=0), default=0.0, help="seconds each call keeps the EM")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, help="seconds before each answer")
@click.option("--bandwidth", type=click.FloatRange(min=1), help="bytes a second of each connection")
@click.option("--token-lifetime", type=click.FloatRange(min=1), default=300.0, show_default=True, help="seconds")
@click.option("--pod-start", type=click.FloatRange(min=0), default=2.0, show_default=True, help="seconds")
@click.option("--pod-run", type=click.FloatRange(min=0), default=5.0, show_default=True, help="seconds")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), help="keep volumes here [a temporary folder]")
@click.option("-q", "--quiet", is_flag=True, help="no line per request")
def simulator(  # noqa: PLR0913 - click: one parameter for each flag
    port: int,
    users: tuple[str, ...],
    generation: Generation,
    exclusive: bool,  # noqa: FBT001 - click passes flags by name
    hold: float,
    latency: float,
    bandwidth: float | None,
    token_lifetime: float,
    pod_start: float,
    pod_run: float,
    root: Path | None,
    quiet: bool,  # noqa: FBT001
) -> None:
    """Serve a simulated EM on 127.0.0.1, until Ctrl-C.

    \b
    emasync simulator --port 8700 --user client1:secret --exclusive
    emasync simulator --generation pvc --latency 0.2 --root /tmp/em
    """
    passwords = dict(_user_and_password(text) for text in users or ("client1:secret",))
    server = Simulator(
        users=passwords,
        port=port,
        generation=generation,
        exclusive=exclusive,
        hold=hold,
        latency=latency,
        bandwidth=bandwidth,
        token_lifetime=token_lifetime,
        pod_start=pod_start,
        pod_run=pod_run,
        root=root,
    )
    server.behaviour(IMAGE, partial(process, run_s=pod_run))  # `emasync demo` runs this image here too
    try:
        anyio.run(_serve, server, next(iter(passwords)), quiet)
    except OSError as error:
        raise click.ClickException(_start_error(error, port=port)) from None


def _start_error(error: OSError, *, port: int) -> str:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.filename is not None:
        return f"cannot keep volumes at {safe(error.filename)}: {reason}"
    return f"cannot serve on port {port}: {reason}; try --port 0"


def _user_and_password(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise click.BadParameter("a user is NAME:PASSWORD, for example client1:secret", param_hint="--user")
    return name, password


async def _serve(server: Simulator, user: str, quiet: bool) -> None:  # noqa: FBT001 - anyio.run passes by position
    with anyio.open_signal_receiver(*ending_signals()) as signals:
        async with server, anyio.create_task_group() as tasks:
            volume = f"an EM at {server.url}, volume of {user} at {server.volume(user)}"
            print(f"{volume}\nexport EMASYNC_URL={server.url} EMASYNC_USERNAME={user} EMASYNC_PASSWORD=...", flush=True)
            if not quiet:
                tasks.start_soon(_log, server)
            async for _ in signals:
                break
            tasks.cancel_scope.cancel()


async def _log(server: Simulator) -> None:
    """Print a line per finished request, in the order of their begin; the last ones when it is cancelled."""
    printed = 0
    with contextlib.suppress(OSError):
        try:
            while True:
                await anyio.sleep(0.2)
                printed = _print_requests(server, printed)
        finally:
            _print_requests(server, printed)


def _print_requests(server: Simulator, printed: int) -> int:
    """Print the finished requests after the first `printed` ones; returns how many are printed now."""
    for request in server.requests[printed:]:
        if not (request.status or request.seconds):
            break
        fault = f"  [{request.fault}]" if request.fault else ""
        print(
            f"{request.status or '---'} {request.method:4} {safe(request.path):24} {safe(request.user or '-'):10} "
            f"in {request.bytes_in:>10} out {request.bytes_out:>10} {request.seconds:7.3f} s{fault}",
            file=sys.stderr,
            flush=True,
        )
        printed += 1
    return printed
