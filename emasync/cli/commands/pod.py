"""``emasync pod status``, ``wait`` and ``watch``, the printing of a pod's status, and the handle of the last run.

The handle is a private file for each EM, user and pod in the state directory. A directory that cannot be used costs the
handle and nothing else. The file holds no secret: a PodRun has neither command nor environment.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from anyio import to_thread

from emasync.cli.exit_codes import ExitCode
from emasync.cli.main import LazyGroup
from emasync.cli.options import CommandDecorator, GlobalOptions, Seconds, option, with_global_options
from emasync.cli.output import Output
from emasync.cli.runner import CommandContext, run_on_em
from emasync.errors import NotFoundError, PodFailedError
from emasync.model import PodPhase, PodRun, PodStatus

_COMMANDS = {
    "run": ("pod_run:pod_run", "have the EM run an image; --wait follows it to its end"),
    "status": ("pod:pod_status", "how the pod fares now"),
    "wait": ("pod:pod_wait", "wait for the pod's end; the exit code says how it ended"),
    "watch": ("pod:pod_watch", "print every change until the pod's end"),
}


@click.command("pod", cls=LazyGroup, lazy_commands=_COMMANDS)
def pod() -> None:
    """Run a pod, watch it, wait for it.

    \b
    emasync pod run echo-test --wait
    emasync pod wait --timeout 10m
    """


class Interval(Seconds):
    """A duration greater than zero."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = super().convert(value, param, ctx)
        if not found:
            self.fail("there must be some time between two looks; write 2s", param, ctx)
        return found


with_interval: CommandDecorator = option(
    "--interval", type=Interval(), default="2s", show_default=True, help="between two looks"
)
"""Give a command the option ``--interval``, in seconds."""


def status_text(status: PodStatus) -> str:
    """One line: ``terminated: Error, exit code 3, 12 s``."""
    if status.phase is PodPhase.NONE:
        return "none: the EM shows no pod"
    facts = [status.reason] if status.reason else []
    if status.exit_code is not None:
        facts.append(f"exit code {status.exit_code}")
    if status.started_at and status.finished_at:
        facts.append(f"{(status.finished_at - status.started_at).total_seconds():.0f} s")
    elif status.started_at:
        facts.append(f"since {status.started_at.isoformat()}")
    if status.message:
        facts.append(status.message)
    return f"{status.phase}: {', '.join(facts)}" if facts else str(status.phase)


def status_fields(status: PodStatus) -> dict[str, Any]:
    """The fields of a status in JSON lines; times in ISO 8601."""
    return {
        "phase": str(status.phase),
        "reason": status.reason,
        "message": status.message,
        "started_at": status.started_at and status.started_at.isoformat(),
        "finished_at": status.finished_at and status.finished_at.isoformat(),
        "exit_code": status.exit_code,
        "dead_end": status.dead_end,
        "ended": status.ended,
    }


def print_awaited(output: Output, run: PodRun) -> None:
    """Print which run the command waits for, and which status may still be that of the run before."""
    output.info(f"waiting for the end of {run.description}")
    if run.before is None:
        output.info(
            "what ran before it could not be seen: an end that nothing else came before may be the earlier run's"
        )
    elif run.before.ended:
        output.info(f"the status before it: {status_text(run.before)}; while that stays, it may be the earlier run's")


@click.command("status")
@with_global_options
def pod_status(options: GlobalOptions) -> None:
    """How the pod fares now. The exit code is 0 however it fares; `emasync pod wait` judges.

    \b
    emasync pod status
    emasync pod status --volume pod-a --json | jq -r 'select(.type == "pod").phase'
    """
    run_on_em(options, _status)


async def _status(context: CommandContext) -> ExitCode:
    status = await context.em.pods.status()
    _print_status(context, status)
    return ExitCode.DONE


@click.command("wait")
@with_global_options
@option("--timeout", type=Seconds(), help="give up after this long [never]; the pod goes on")
@with_interval
def pod_wait(options: GlobalOptions, timeout: float | None, interval: float) -> None:
    """Wait for the pod's end, and print how it ended.

    That is the end of the run that `emasync pod run` on this machine asked for last, not of a run before it; without
    such a run, of whatever pod the EM shows. Exit code 0: it succeeded, 3: there is no pod, 5: the timeout came first,
    12: it vanished or cannot be told from the run before it, 21: it cannot start, 22: it ended badly.

    \b
    emasync pod wait
    emasync pod wait --timeout 10m && emasync down results/
    """
    run_on_em(options, partial(_wait, timeout_s=timeout, interval_s=interval))


async def _wait(context: CommandContext, *, timeout_s: float | None, interval_s: float) -> ExitCode:
    context.resume = "emasync pod wait"
    run = await _load_awaited_run(context)
    if run is None and (await context.em.pods.status()).phase is PodPhase.NONE:
        raise NotFoundError("there is no pod to wait for; next: emasync pod run IMAGE")
    if run is None:
        context.output.info("no run of this machine is known: waiting for the end of whatever pod the EM shows")
    watch = context.em.pods.watch(run, interval=interval_s)
    try:
        status = await watch.end(timeout_s=timeout_s)
    except PodFailedError as error:
        _print_status(context, error.pod)
        if not watch.doubtful:
            await remove_run(context, run)
        raise
    _print_status(context, status)
    await remove_run(context, run)
    return ExitCode.DONE


async def _load_awaited_run(context: CommandContext) -> PodRun | None:
    run = await load_run(context)
    if run is not None:
        print_awaited(context.output, run)
    return run


def _print_status(context: CommandContext, status: PodStatus) -> None:
    context.output.result("pod", status_text(status), **status_fields(status))


@click.command("watch")
@with_global_options
@with_interval
def pod_watch(options: GlobalOptions, interval: float) -> None:
    """Print the pod's status now and whenever it changes, until it has ended or can never start.

    That is the pod of the run that `emasync pod run` on this machine asked for last; without such a run, whatever pod
    the EM shows. Where there is no pod it waits for one. Exit code 12: it vanished, or cannot be told from the run
    before it, 21: it cannot start, 22: it ended badly. Ctrl-C leaves the pod alone.

    \b
    emasync pod watch
    emasync pod watch --interval 10s --json
    """
    run_on_em(options, partial(_watch, interval_s=interval))


async def _watch(context: CommandContext, *, interval_s: float) -> ExitCode:
    context.resume = "emasync pod watch"
    run = await _load_awaited_run(context)
    watch = context.em.pods.watch(run, interval=interval_s)
    seen = False
    async for status in watch:
        _print_status(context, status)
        if status.phase is PodPhase.NONE and not seen:
            context.output.info("waiting for one; next: emasync pod run IMAGE")
        seen = seen or status.phase is not PodPhase.NONE
    if not watch.doubtful:
        await remove_run(context, run)
    watch.result()
    return ExitCode.DONE


_LARGEST_HANDLE: Final = 256 * 1024  # bytes; the status before the run is the server's text
_REMEMBERED_S: Final = 7 * 86_400.0


async def save_run(context: CommandContext, run: PodRun) -> None:
    """Write the handle; print one line if that fails."""
    file = _run_file(context, run.pod_name)
    if file is None:
        return
    try:
        await to_thread.run_sync(_write_run, file, run)
    except OSError as error:
        context.output.info(f"the run is not remembered for a later `emasync pod wait`: {error.strerror or error}")


async def load_run(context: CommandContext) -> PodRun | None:
    """The run that was started last from this machine, or None: none is known, it is a week old, or unreadable."""
    file = _run_file(context, context.em.pods.pod_name)
    run = None if file is None else await to_thread.run_sync(_read_run, file)
    if run is None or run.pod_name != context.em.pods.pod_name:
        return None
    age_s = (datetime.now(UTC) - run.asked_at).total_seconds()
    return run if age_s < run.bound_s + _REMEMBERED_S else None


async def remove_run(context: CommandContext, run: PodRun | None) -> None:
    """Remove the handle of `run`, whose end was printed, unless another run was started meanwhile."""
    file = _run_file(context, context.em.pods.pod_name)
    if run is not None and file is not None and await to_thread.run_sync(_read_run, file) == run:
        with contextlib.suppress(OSError):
            await to_thread.run_sync(file.unlink)


def _run_file(context: CommandContext, pod_name: str | None) -> Path | None:
    folder = context.em.settings.state_dir
    scope = json.dumps([context.em.url, context.em.username, pod_name])
    digest = hashlib.sha256(scope.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return None if folder is None else folder / "pods" / f"run-{digest}.json"


def _write_run(file: Path, run: PodRun) -> None:
    """Whole or not at all. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps(run.as_dict())
    if len(text) > _LARGEST_HANDLE:
        raise OSError("the status before the run is too long to be kept")
    fresh = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(text)
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _read_run(file: Path) -> PodRun | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            values: Any = json.loads(opened.read(_LARGEST_HANDLE + 1))
        return PodRun.from_dict(values)
    except (OSError, ValueError, RecursionError):
        return None
