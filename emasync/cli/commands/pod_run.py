"""``emasync pod run``: start a pod; with ``--wait`` or ``--capture`` follow it to its end."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from emasync.api.pods import PodWatch
from emasync.cli import pod_capture
from emasync.cli.commands.pod import status_fields, status_text, tell_awaited, with_interval
from emasync.cli.exit_codes import ExitCode
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.cli.pod_run_store import forget_run, keep_run
from emasync.cli.runner import CommandContext, run_on_em
from emasync.errors import AuthError, EMError, UnknownOutcomeError
from emasync.model import Node, PodPhase, PodRun, PodStatus


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The pod that is asked for. `max_duration` in minutes; `capture` is the folder in the volume, or None."""

    image: str
    node: Node
    max_duration: int
    command: str | None
    args: tuple[str, ...]
    envs: dict[str, str]
    ports: tuple[int, ...]
    at: datetime | None
    replace: bool
    wait: bool
    interval_s: float
    capture: str | None
    into: Path


_NODES = click.Choice([node.value for node in Node], case_sensitive=False)
_PORT = click.IntRange(1, 65535)


@click.command("run")
@click.argument("image")
@with_em
@option("--node", type=_NODES, default="FPGA", show_default=True, help="the processor to run it on")
@option(
    "--max-duration", type=click.IntRange(1), default=1, show_default=True, metavar="MIN", help="then it is stopped"
)
@option("--command", metavar="COMMAND", help="run this instead of the image's own command")
@option("--arg", "args", multiple=True, metavar="A", help="an argument; may be given again (later EMs, or --capture)")
@option("--env", "envs", type=Pair(), multiple=True, help="an environment variable; may be given again (later EMs)")
@option("--port", "ports", type=_PORT, multiple=True, help="a port to open; may be given again (later EMs)")
@option("--at", type=Moment(), metavar="TIME", help="start then: ISO 8601 with an offset (2026-01-05T10:00+00:00)")
@option("--replace", is_flag=True, help="stop a pod of yours that is running")
@option("--wait", is_flag=True, help="follow it to its end, and end as it ends")
@with_interval
@option("--capture", is_flag=True, help="bring down what --command prints, and its exit code; waits")
@option(
    "--into", type=click.Path(file_okay=False, path_type=Path), help="with --capture: where to [./IMAGE-capture-...]"
)
def pod_run(
    asked: GlobalOptions,
    image: str,
    node: str,
    max_duration: int,
    command: str | None,
    args: tuple[str, ...],
    envs: tuple[tuple[str, str], ...],
    ports: tuple[int, ...],
    at: datetime | None,
    replace: bool,  # noqa: FBT001 - click passes flags by name
    wait: bool,  # noqa: FBT001
    interval: float,
    capture: bool,  # noqa: FBT001
    into: Path | None,
) -> None:
    """Have the EM run IMAGE as your pod. Your pod before it is stopped, which needs --replace while it runs.

    With --wait exit code 21 is a pod that cannot start, 22 one that ended badly, 12 one that vanished or whose end
    cannot be told from that of the pod before it. Ctrl-C leaves the pod running: `emasync pod wait` waits for it.

    \b
    emasync pod run echo-test --node GPU --max-duration 5 --wait
    emasync pod run echo-test --command 'python3 /data/job.py' --capture --into out
    """
    if capture and not command:
        raise click.UsageError("--capture wraps a command: give --command (that of the image is not known here)")
    if into is not None and not capture:
        raise click.UsageError("--into is where --capture puts what it brings down: add --capture")
    run_id = secrets.token_hex(4)
    wish = Wish(
        image=image,
        node=Node(node.upper()),
        max_duration=max_duration,
        command=command,
        args=args,
        envs=dict(envs),
        ports=ports,
        at=at,
        replace=replace,
        wait=wait or capture,
        interval_s=interval,
        capture=f"emasync-capture-{run_id}" if capture else None,
        into=into or Path(f"{_file_name(image)}-capture-{run_id}"),
    )
    run_on_em(asked, partial(_run, wish=wish))


async def _run(at: CommandContext, *, wish: Wish) -> ExitCode:
    before = None if wish.replace else await _look_before(at)
    at.resume = "emasync pod status"  # it may have been scheduled
    run = await _schedule(at, wish, before)
    if not wish.wait:
        when = wish.at and wish.at.isoformat()
        text = (
            f"scheduled {wish.image} on {wish.node}{f' at {when}' if when else ''}, for at most {wish.max_duration} min"
        )
        fields = {"image": wish.image, "node": str(wish.node), "max_duration": wish.max_duration, "at": when}
        at.out.result("scheduled", text, **fields, run=run.as_dict())
        at.out.say("scheduled says nothing of success; next: emasync pod wait")
        return ExitCode.DONE
    at.resume = "emasync pod wait" + (f" && emasync down {wish.capture}/" if wish.capture else "")
    at.out.say(f"scheduled {wish.image} on {wish.node}; Ctrl-C leaves it running on the EM")
    tell_awaited(at.out, run)
    watch = at.em.pods.watch(run, interval=wish.interval_s)
    final = await _follow(at, wish, watch)
    if not watch.doubtful:
        await forget_run(at, run)
    if wish.capture is not None and final is not None and final.phase is PodPhase.TERMINATED:
        return await _captured(at, wish.capture, wish.into, watch)
    if wish.capture is not None and final is not None and not final.dead_end:
        at.out.say(f"what the command printed may be on the EM; next: emasync down {wish.capture}/")
    watch.result()
    return ExitCode.DONE


async def _schedule(at: CommandContext, wish: Wish, before: PodStatus | None) -> PodRun:
    command, args = wish.command, wish.args
    if wish.capture is not None:
        command, args = pod_capture.wrapped(command or "", args=args, folder=wish.capture), ()
    try:
        run = await at.em.pods.run(
            wish.image,
            node=wish.node,
            max_duration=wish.max_duration,
            command=command,
            scheduled_time=wish.at,
            args=args or None,
            envs=wish.envs or None,
            ports=wish.ports or None,
            before=before,
        )
    except UnknownOutcomeError:
        if (run_asked_for := at.em.pods.last_run) is not None:
            await keep_run(at, run_asked_for)
        raise
    await keep_run(at, run)
    if wish.replace:
        _tell_replaced(at, run.before)
    return run


async def _look_before(at: CommandContext) -> PodStatus:
    """What runs now; ValueError where another run would stop it, or where that cannot be seen."""
    try:
        before = await at.em.pods.status()
    except AuthError:
        raise
    except EMError:
        at.out.say("it cannot be seen whether a pod of yours runs, which another would stop; --replace runs it anyway")
        raise
    if _is_live(before):
        told = f"a pod of {at.em.username} is {status_text(before)}"
        raise ValueError(f"{told}; running another would stop it: wait for it (emasync pod wait), or add --replace")
    return before


def _tell_replaced(at: CommandContext, before: PodStatus | None) -> None:
    if before is None:
        at.out.say("what ran before could not be seen; if a pod of yours ran, it is stopped")
    elif _is_live(before):
        at.out.say(f"a pod of {at.em.username} was {status_text(before)}; it is stopped")


def _is_live(status: PodStatus) -> bool:
    """Whether a pod runs or is about to; one that can never start is nobody's loss."""
    return status.phase in (PodPhase.WAITING, PodPhase.RUNNING) and not status.dead_end


async def _follow(at: CommandContext, wish: Wish, watch: PodWatch) -> PodStatus | None:
    """Tell every change; the last status. Changes are results in JSON only, where the end is one of them."""
    final = None
    try:
        async for status in watch:
            final = status
            if at.out.as_json:
                at.out.result("pod", "", **status_fields(status))
            at.out.say(status_text(status))
    except UnknownOutcomeError:
        if wish.capture is not None:
            at.out.say(f"what the command printed may be on the EM; next: emasync down {wish.capture}/")
        raise
    except BaseException:
        at.out.say("no longer following it: the pod goes on running on the EM")
        raise
    if final is not None and not at.out.as_json and wish.capture is None:
        at.out.result("pod", status_text(final))
    return final


async def _captured(at: CommandContext, folder: str, into: Path, watch: PodWatch) -> ExitCode:
    try:
        found = await pod_capture.bring_down(at, folder, into=into)
    except (EMError, OSError):
        at.out.say(f"what the command printed is still on the EM; next: emasync down {folder}/")
        raise
    if found is None:
        watch.result()
        at.out.error("nothing was captured: --capture needs /bin/sh in the image, and the volume at /data")
        return ExitCode.POD_FAILED
    pod_capture.show(at, found)
    watch.result()
    if found.exit_code != 0:
        ended = "without an exit code" if found.exit_code is None else f"with exit code {found.exit_code}"
        at.out.error(f"the command ended {ended}")
        return ExitCode.POD_FAILED
    return ExitCode.DONE


def _file_name(image: str) -> str:
    """An image's name as part of a local folder's."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", image.rpartition("/")[2]).lstrip(".-") or "pod"
