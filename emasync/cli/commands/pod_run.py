"""``emasync pod run``: start a pod; with ``--wait`` or ``--capture`` follow it to its end.

``--capture`` wraps the pod's command so that its output lands in the volume, then downloads that. It needs /bin/sh in
the image and the volume at /data in the pod, as the vendor's client document has it.
"""

from __future__ import annotations

import re
import secrets
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import click
from anyio import to_thread

from emasync.api.pods import PodWatch
from emasync.cli.commands.pod import Interval, print_awaited, remove_run, save_run, status_fields, status_text
from emasync.cli.exit_codes import ExitCode
from emasync.cli.options import GlobalOptions, declare, with_global_options, with_options
from emasync.cli.runner import CommandContext, run_on_em
from emasync.errors import AuthError, EMError, ProtocolError, UnknownOutcomeError
from emasync.model import Node, PodPhase, PodRun, PodStatus, RemotePath, safe


class Moment(click.ParamType[datetime]):
    """An ISO 8601 time with its offset; a naive one is refused, with what it may have meant."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            example = datetime.now(UTC).replace(microsecond=0).isoformat()
            self.fail(f"{value!r} is no ISO 8601 time; write one like {example}", param, ctx)
        if moment.tzinfo is None:
            here, utc = moment.astimezone().isoformat(), moment.replace(tzinfo=UTC).isoformat()
            self.fail(f"{value!r} has no time zone; write {utc} for UTC, or {here} for the time here", param, ctx)
        return moment


class Pair(click.ParamType[tuple[str, str]]):
    """``NAME=VALUE``."""

    name = "name=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, text = str(value).partition("=")
        if not (name and equals):
            self.fail(f"{value!r} is no NAME=VALUE", param, ctx)
        return name, text


_NODES = click.Choice([node.value for node in Node], case_sensitive=False)
_PORT = click.IntRange(1, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRunOptions:
    """The options of ``pod run``, as given. `max_duration` is in minutes."""

    node: str = declare("--node", type=_NODES, default="FPGA", show_default=True, help="the processor to run it on")
    max_duration: int = declare(
        "--max-duration", type=click.IntRange(1), default=1, show_default=True, metavar="MIN", help="then it is stopped"
    )
    command: str | None = declare("--command", metavar="COMMAND", help="run this instead of the image's own command")
    args: tuple[str, ...] = declare(
        "--arg", "args", multiple=True, metavar="A", help="an argument; may be given again (later EMs, or --capture)"
    )
    envs: tuple[tuple[str, str], ...] = declare(
        "--env", "envs", type=Pair(), multiple=True, help="an environment variable; may be given again (later EMs)"
    )
    ports: tuple[int, ...] = declare(
        "--port", "ports", type=_PORT, multiple=True, help="a port to open; may be given again (later EMs)"
    )
    at: datetime | None = declare(  # noqa: RUF009 - a dataclass field
        "--at", type=Moment(), metavar="TIME", help="start then: ISO 8601 with an offset (2026-01-05T10:00+00:00)"
    )
    replace: bool = declare("--replace", is_flag=True, help="stop a pod of yours that is running")
    wait: bool = declare("--wait", is_flag=True, help="follow it to its end, and end as it ends")
    interval: float = declare("--interval", type=Interval(), default="2s", show_default=True, help="between two looks")
    capture: bool = declare(
        "--capture", is_flag=True, help="bring down what --command prints, and its exit code; waits"
    )
    into: Path | None = declare(  # noqa: RUF009
        "--into",
        type=click.Path(file_okay=False, path_type=Path),
        help="with --capture: where to [./IMAGE-capture-...]",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Capture:
    """Where the command's output goes: a folder of the volume, and the local directory for its download."""

    folder: str
    into: Path


@click.command("run")
@click.argument("image")
@with_global_options
@with_options(PodRunOptions, name="pod")
def pod_run(options: GlobalOptions, *, image: str, pod: PodRunOptions) -> None:
    """Have the EM run IMAGE as your pod. Your pod before it is stopped, which needs --replace while it runs.

    With --wait exit code 21 is a pod that cannot start, 22 one that ended badly, 12 one that vanished or whose end
    cannot be told from that of the pod before it. Ctrl-C leaves the pod running: `emasync pod wait` waits for it.

    \b
    emasync pod run echo-test --node GPU --max-duration 5 --wait
    emasync pod run echo-test --command 'python3 /data/job.py' --capture --into out
    """
    if pod.capture and not pod.command:
        raise click.UsageError("--capture wraps a command: give --command (that of the image is not known here)")
    if pod.into is not None and not pod.capture:
        raise click.UsageError("--into is where --capture puts what it brings down: add --capture")
    capture = None
    if pod.capture:
        run_id = secrets.token_hex(4)
        into = pod.into or Path(f"{_file_name(image)}-capture-{run_id}")
        capture = _Capture(folder=f"emasync-capture-{run_id}", into=into)
    run_on_em(options, partial(_run, image=image, pod=pod, capture=capture))


async def _run(context: CommandContext, *, image: str, pod: PodRunOptions, capture: _Capture | None) -> ExitCode:
    before = None if pod.replace else await _check_no_pod_runs(context)
    context.resume = "emasync pod status"  # the run may have been scheduled
    run = await _schedule(context, image, pod, capture, before)
    if pod.wait or capture is not None:
        return await _wait(context, run, capture, interval_s=pod.interval)
    when = pod.at and pod.at.isoformat()
    text = f"scheduled {image} on {pod.node}{f' at {when}' if when else ''}, for at most {pod.max_duration} min"
    fields = {"image": image, "node": pod.node, "max_duration": pod.max_duration, "at": when}
    context.output.result("scheduled", text, **fields, run=run.as_dict())
    context.output.info("scheduled says nothing of success; next: emasync pod wait")
    return ExitCode.DONE


async def _check_no_pod_runs(context: CommandContext) -> PodStatus:
    """The pod's status; ValueError where a run would stop a running pod, EMError where the status is unavailable."""
    try:
        before = await context.em.pods.status()
    except AuthError:
        raise
    except EMError:
        context.output.info(
            "the status of your pod is not known, and a run stops a pod that is running; --replace runs it anyway"
        )
        raise
    if _is_live(before):
        running = f"a pod of {context.em.username} is {status_text(before)}"
        raise ValueError(f"{running}; running another would stop it: wait for it (emasync pod wait), or add --replace")
    return before


async def _schedule(
    context: CommandContext, image: str, pod: PodRunOptions, capture: _Capture | None, before: PodStatus | None
) -> PodRun:
    command, args = pod.command, pod.args
    if capture is not None:
        command, args = wrapped(command or "", args=args, folder=capture.folder), ()
    try:
        run = await context.em.pods.run(
            image,
            node=Node(pod.node),
            max_duration=pod.max_duration,
            command=command,
            scheduled_time=pod.at,
            args=args or None,
            envs=dict(pod.envs) or None,
            ports=pod.ports or None,
            before=before,
        )
    except UnknownOutcomeError:
        if (possible_run := context.em.pods.last_run) is not None:
            await save_run(context, possible_run)
        raise
    await save_run(context, run)
    if pod.replace:
        _print_replaced(context, run.before)
    return run


def _print_replaced(context: CommandContext, before: PodStatus | None) -> None:
    if before is None:
        context.output.info("the status before the run is not known; if a pod of yours was running, it is stopped")
    elif _is_live(before):
        context.output.info(f"a pod of {context.em.username} was {status_text(before)}; it is stopped")


def _is_live(status: PodStatus) -> bool:
    """Whether a pod runs or may still start."""
    return status.phase in (PodPhase.WAITING, PodPhase.RUNNING) and not status.dead_end


async def _wait(context: CommandContext, run: PodRun, capture: _Capture | None, *, interval_s: float) -> ExitCode:
    """Follow `run` to its end, and download what was captured. Raises what `PodWatch.result` raises of the end."""
    download = f"emasync down {capture.folder}/" if capture is not None else None
    context.resume = "emasync pod wait" + (f" && {download}" if download else "")
    context.output.info(f"scheduled {run.image} on {run.node}; Ctrl-C leaves it running on the EM")
    print_awaited(context.output, run)
    watch = context.em.pods.watch(run, interval=interval_s)
    try:
        final = await _follow(context, watch, print_end=capture is None)
    except UnknownOutcomeError:
        _print_captured_remains(context, download)
        raise
    if not watch.doubtful:
        await remove_run(context, run)
    if capture is not None and final is not None and final.phase is PodPhase.TERMINATED:
        return await _end_captured(context, capture, watch)
    if final is not None and not final.dead_end:
        _print_captured_remains(context, download)
    watch.result()
    return ExitCode.DONE


def _print_captured_remains(context: CommandContext, download: str | None) -> None:
    if download is not None:
        context.output.info(f"the command's output may be on the EM; next: {download}")


async def _follow(context: CommandContext, watch: PodWatch, *, print_end: bool) -> PodStatus | None:
    """Print every change, and return the last status. On stdout: all changes as JSON, as text the end only."""
    final = None
    try:
        async for status in watch:
            final = status
            if context.output.as_json:
                context.output.result("pod", "", **status_fields(status))
            context.output.info(status_text(status))
    except UnknownOutcomeError:
        raise
    except BaseException:
        context.output.info("the pod is no longer followed; it goes on running on the EM")
        raise
    if final is not None and print_end and not context.output.as_json:
        context.output.result("pod", status_text(final))
    return final


async def _end_captured(context: CommandContext, capture: _Capture, watch: PodWatch) -> ExitCode:
    try:
        captured = await download_captured(context, capture.folder, into=capture.into)
    except (EMError, OSError):
        context.output.info(f"the command's output is still on the EM; next: emasync down {capture.folder}/")
        raise
    if captured is None:
        watch.result()
        context.output.error("nothing was captured: --capture needs /bin/sh in the image, and the volume at /data")
        return ExitCode.POD_FAILED
    print_captured(context, captured)
    watch.result()
    if captured.exit_code != 0:
        end = "without an exit code" if captured.exit_code is None else f"with exit code {captured.exit_code}"
        context.output.error(f"the command ended {end}")
        return ExitCode.POD_FAILED
    return ExitCode.DONE


def _file_name(image: str) -> str:
    """The name of `image` as a part of a local directory's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", image.rpartition("/")[2]).lstrip(".-") or "pod"


_SHOWN = 64 * 1024  # bytes of each stream; the files have all of it
_CLEAN_UP_S = 20.0
_STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """The captured output. `exit_code` is None where the command was stopped before it wrote one; `cut`: the files hold
    more than these texts."""

    folder: Path
    stdout: str
    stderr: str
    exit_code: int | None
    cut: bool


def wrapped(command: str, *, args: Sequence[str] = (), folder: str) -> str:
    """`command` with `args`, run so that its streams and exit code land in `folder` of the volume.

    It runs in a shell of its own, so that an ``exit`` or a syntax error in it is captured like anything else; the exit
    code is the command's.
    """
    inner = " ".join([command, *map(shlex.quote, args)])
    directory = shlex.quote(f"/data/{folder}")
    script = (
        f"mkdir -p {directory} || exit 126; "
        f"/bin/sh -c {shlex.quote(inner)} >{directory}/stdout 2>{directory}/stderr; "
        f"code=$?; echo $code >{directory}/exit; exit $code"
    )
    return f"/bin/sh -c {shlex.quote(script)}"


async def download_captured(context: CommandContext, folder: str, *, into: Path) -> Captured | None:
    """Download the captured files into `into`, then remove them from the EM; None if there are none.

    Raises the first error of a file; then nothing is removed.
    """
    tree = await context.em.files.list()
    if not tree.is_folder(folder):
        if not tree.is_known(folder):
            raise ProtocolError(f"the EM's listing does not tell whether {folder} is there")
        return None
    report = await context.em.downlink([f"{folder}/"], into=into)
    report.raise_for_failures()
    await _remove_captured(context, folder)
    return await to_thread.run_sync(_read_captured, into, {outcome.path.name for outcome in report.outcomes})


def print_captured(context: CommandContext, captured: Captured) -> None:
    """The pod's stdout on stdout, its stderr on stderr; in JSON both in one line."""
    if context.output.as_json:
        context.output.result(
            "capture",
            "",
            folder=str(captured.folder),
            exit_code=captured.exit_code,
            stdout=captured.stdout,
            stderr=captured.stderr,
            cut=captured.cut,
        )
    elif captured.stdout:
        context.output.result("capture", captured.stdout.removesuffix("\n").split("\n"))
    if captured.stderr and not context.output.as_json:
        for line in captured.stderr.removesuffix("\n").split("\n"):
            print(safe(line, limit=2000), file=sys.stderr, flush=True)
    rest = ", the rest too" if captured.cut else ""
    context.output.info(f"captured in {captured.folder}{rest}")


async def _remove_captured(context: CommandContext, folder: str) -> None:
    with anyio.move_on_after(_CLEAN_UP_S) as scope:
        try:
            await context.em.files.delete(RemotePath(folder))
        except EMError as error:
            context.output.info(f"could not delete {folder} from the volume: {safe(error)}; next: emasync rm {folder}/")
    if scope.cancelled_caught:
        context.output.info(f"gave up deleting {folder} from the volume; next: emasync rm {folder}/")


def _read_captured(folder: Path, names: Collection[str]) -> Captured:
    # Only files of this download: an `exit` of an earlier run in the same directory is not this run's.
    texts = {name: _beginning(folder / name) if name in names else ("", False) for name in (*_STREAMS, "exit")}
    code = texts["exit"][0].strip()
    return Captured(
        folder=folder,
        stdout=texts["stdout"][0],
        stderr=texts["stderr"][0],
        exit_code=int(code) if code.isascii() and code.isdigit() else None,
        cut=any(texts[name][1] for name in _STREAMS),
    )


def _beginning(file: Path) -> tuple[str, bool]:
    """The start of a file as text, and whether the file is longer."""
    with file.open("rb") as opened:
        data = opened.read(_SHOWN + 1)
    return data[:_SHOWN].decode("utf-8", "replace"), len(data) > _SHOWN
