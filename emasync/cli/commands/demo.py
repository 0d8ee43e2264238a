"""``emasync demo``: the main workflow end to end, on an embedded simulator or on the EM of ``EMASYNC_URL``.

The sample files are in `demo_files`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import click

from emasync.cli.demo_files import IMAGE, Samples, make_samples, process
from emasync.cli.display import Display, open_display, print_failure
from emasync.cli.exit_codes import ExitCode, StoppedError, ending_signals, exit_code, raise_on_signals
from emasync.cli.output import size
from emasync.cli.runner import background_task
from emasync.client import Client
from emasync.errors import BadRequestError, EMError, IntegrityError
from emasync.model import PodPhase, TransferReport, safe
from emasync.simulator import Simulator

_CLEAN_UP_S = 20.0


@dataclass(slots=True)
class DemoSummary:
    """The figures of the summary. `em` is the EM's URL, or what stands for it."""

    em: str
    began: float
    requests: int = 0
    busy_s: float = 0.0
    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, report: TransferReport) -> None:
        """A line for one transfer."""
        self.requests += report.requests
        self.busy_s += report.busy_seconds
        rate = size(report.bytes / report.seconds) if report.seconds else "0 B"
        how = ", ".join(sorted({outcome.verified for outcome in report.done}))
        text = f"{len(report.done)} files, {size(report.bytes)} in {report.seconds:.1f} s ({rate}/s)"
        self.rows.append((name, f"{text}, {report.requests} requests, verified by {how}"))


@click.command()
@click.option("--files", type=click.IntRange(1, 2000), default=60, show_default=True, help="how many to move")
@click.option("--base", default="alpine", show_default=True, help="image on the EM that the demo's image is built FROM")
@click.option("--replace", is_flag=True, help="on a real EM: stop a pod of yours that is running")
def demo(files: int, base: str, replace: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Files up, an image built, a pod run and watched, files down, all verified, all cleaned up.

    Without EMASYNC_URL it brings its own EM (a simulator on 127.0.0.1). With EMASYNC_URL, EMASYNC_USERNAME and
    EMASYNC_PASSWORD it does the same on that EM, in a folder of its own, which it removes at the end.

    \b
    emasync demo
    EMASYNC_URL=https://em.example.com/ EMASYNC_USERNAME=client1 EMASYNC_PASSWORD_FILE=~/.em emasync demo --files 20
    """
    display = open_display()
    raise_on_signals()
    try:
        code = anyio.run(run_demo, display, files, base, replace)
    except BrokenPipeError:
        raise  # the reader of stdout has gone; click ends quietly
    except StoppedError as stopped:
        code = stopped.code
    except KeyboardInterrupt:  # before the demo had begun to listen, or after two others
        code = ExitCode.INTERRUPTED
    except (EMError, OSError, ValueError, LookupError) as error:
        print_failure(safe(error, limit=2000))
        if isinstance(error, BadRequestError):
            for line in error.log_tail[-20:]:
                print_failure(safe(line))
        code = exit_code(error)
    raise SystemExit(int(code))


async def run_demo(display: Display, files: int, base: str, replace: bool) -> ExitCode:  # noqa: FBT001 - as above
    """Run the whole demo, and show its steps on `display`. Ctrl-C, SIGTERM and SIGHUP remove the demo's files from the
    EM before the demo ends; a second signal ends it without that."""
    code = ExitCode.INTERRUPTED
    job, clean_up = anyio.CancelScope(), anyio.CancelScope(shield=True)

    async def stop_on_signal() -> None:
        nonlocal code
        with anyio.open_signal_receiver(*ending_signals()) as signals:
            async for number in signals:
                if job.cancel_called:
                    clean_up.cancel()
                    return
                print_failure("interrupted: cleaning up what the demo has put on the EM")
                code = ExitCode(128 + number)
                job.cancel()

    async with background_task(stop_on_signal):
        with job:
            async with _em(display) as (em, name):
                code = await _job(em, name, display, files=files, base=base, replace=replace, clean_up=clean_up)
    return code


@asynccontextmanager
async def _em(display: Display) -> AsyncIterator[tuple[Client, str]]:
    """A Client of the EM that the environment names, or of an embedded one."""
    if os.environ.get("EMASYNC_URL"):
        async with Client.from_env() as em:
            yield em, em.url
        return
    password = secrets.token_urlsafe(12)
    async with Simulator(users={"client1": password}, latency=0.02, pod_start=0.6, pod_run=1.0) as simulator:
        simulator.behaviour(IMAGE, partial(process, run_s=1.0))
        display.note(f"no EMASYNC_URL is set: using an embedded simulator at {simulator.url}")
        async with Client(simulator.url, username="client1", password=password) as em:
            yield em, "embedded simulator"


async def _job(  # noqa: PLR0913 - what the flags decided, each used once
    em: Client, name: str, display: Display, *, files: int, base: str, replace: bool, clean_up: anyio.CancelScope
) -> ExitCode:
    summary = DemoSummary(em=name, began=time.monotonic())
    folder = f"emasync-demo-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="emasync-demo-") as temporary:
        here = Path(temporary)
        samples = await anyio.to_thread.run_sync(make_samples, here / "up", files, folder, base)
        display.step(f"Log in as {em.username} and list the volume")
        tree = await em.files.list()
        summary.requests += 2
        display.done(f"{len(tree)} files in the volume, {size(tree.total_size)}")
        await _refuse_to_disturb(em, name, replace=replace)
        try:
            await _work(em, display, summary, samples, folder=folder, here=here)
        finally:
            await _clean_up(em, display, folder, scope=clean_up)
    summary.rows.append(
        ("in all", f"{time.monotonic() - summary.began:.1f} s, {summary.busy_s:.1f} s of them waiting for the EM")
    )
    display.table(f"Everything verified on {name}", summary.rows)
    return ExitCode.DONE


async def _refuse_to_disturb(em: Client, name: str, *, replace: bool) -> None:
    status = await em.pods.status()
    if status.phase in (PodPhase.WAITING, PodPhase.RUNNING) and not status.dead_end and not replace:
        raise ValueError(
            f"a pod of {em.username} is {status.phase} on {name}, and the demo would stop it: add --replace"
        )


async def _work(  # noqa: PLR0913 - what the steps before it made, each used once
    em: Client, display: Display, summary: DemoSummary, samples: Samples, *, folder: str, here: Path
) -> None:
    display.step(f"Uplink {samples.count} files ({size(samples.bytes)}) to {folder}/")
    with display.transfer("uplink") as watch:
        report = await em.uplink(f"{samples.root}/", dest=folder, on_event=watch)
    report.raise_for_failures()
    summary.add("uplink", report)
    display.done(summary.rows[-1][1])

    display.step("Build an image on the EM")
    await em.images.build(IMAGE, dockerfile=f"{folder}/Dockerfile", context=folder)
    images = await em.images.list()
    display.done(f"built; images of {em.username}: {', '.join(image.name for image in images)}")

    display.step("Run it as a pod and watch")
    began = time.monotonic()
    pod = em.pods.watch(await em.pods.run(IMAGE, max_duration=1), interval=0.5)
    async for status in pod:
        display.note(
            f"{time.monotonic() - began:5.1f} s  {status.phase}{f': {status.reason}' if status.reason else ''}"
        )
    final = pod.result()
    summary.rows.append(("pod", f"exit code {final.exit_code}, {time.monotonic() - began:.1f} s from run to end"))
    display.done(summary.rows[-1][1])

    display.step("Downlink everything, results included")
    with display.transfer("downlink") as watch:
        report = await em.downlink([f"{folder}/"], into=here / "down", on_event=watch)
    report.raise_for_failures()
    summary.add("downlink", report)
    display.done(summary.rows[-1][1])

    display.step("Compare every byte, and the checksums that the pod computed on the EM")
    checked = await anyio.to_thread.run_sync(samples.check, here / "down")
    if checked.wrong:
        raise IntegrityError(f"{len(checked.wrong)} files differ: {', '.join(checked.wrong[:5])}")
    summary.rows.append(("verified", f"{checked.same} files byte for byte, {checked.results} checksums from the pod"))
    display.done(summary.rows[-1][1])


async def _clean_up(em: Client, display: Display, folder: str, *, scope: anyio.CancelScope) -> None:
    """Remove the demo's folder, also after a failure or Ctrl-C; at most 20 s, or until `scope` is cancelled."""
    scope.deadline = anyio.current_time() + _CLEAN_UP_S
    with scope:
        with contextlib.suppress(BrokenPipeError):  # it is removed also when nobody reads about it
            display.step("Clean up")
        try:
            left = await _remove(em, folder)
        except (EMError, OSError) as error:
            print_failure(f"could not remove {folder}/ from the EM: {safe(error)}")
            return
        display.done(f"{folder}/ is gone; {left} files left in the volume")
    if scope.cancelled_caught:
        print_failure(f"gave up removing {folder}/ from the EM: it may still be there; delete it by hand")


async def _remove(em: Client, folder: str) -> int:
    """Returns how many files are left in the volume."""
    tree = await em.files.list()
    if tree.is_folder(folder):
        await em.files.delete(folder)
        tree = await em.files.list()
    return len(tree)
