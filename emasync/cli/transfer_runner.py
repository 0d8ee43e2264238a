"""Run a transfer for a command: job record, progress, results, summary, exit code.

Owns the order of these steps, also when an error or a signal ends the transfer.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import anyio

from emasync.cli.exit_codes import ExitCode, exit_code
from emasync.cli.job_store import JobStore, Record, State, is_resumed, job_id, resume_command, why_not_resumable
from emasync.cli.output import Report, outcome_fields, size
from emasync.cli.progress import Follower, progress
from emasync.cli.runner import CommandContext
from emasync.cli.settings import resolve_settings
from emasync.cli.summary import report_code, tell_report
from emasync.cli.transfer_options import CommandLine, TransferFlags, command_line
from emasync.model import SyncSummary, TransferReport
from emasync.transfer.events import Event, Noted, OnEvent, Retrying
from emasync.transfer.state.transfer_journal import OptionalJournal, journal_lost
from emasync.transfer.transfer import Transfer

T = TypeVar("T")


class Begin(Protocol):
    """Makes the Transfer; it begins when it is entered."""

    def __call__(self, *, on_event: OnEvent, journal: Path | OptionalJournal | None, **more: Any) -> Transfer: ...


async def move(
    at: CommandContext,
    wishes: TransferFlags,
    begin: Begin,
    *,
    title: str,
    confirm: Callable[[SyncSummary], Awaitable[bool]] | None = None,
) -> ExitCode:
    """Run the transfer that `begin` makes to its end, and tell how it went. `confirm` is the question of a sync that
    deletes; nothing is drawn while it waits for its answer.

    What makes the whole of it impossible is raised. However it ends, its record says so; unless all of it is done the
    journal is kept, and the same command (or ``jobs resume``) goes on from there.
    """
    job = _begin_job(at, wishes)
    with ExitStack() as stack:
        stack.enter_context(job)
        file = Report(wishes.report) if wishes.report is not None else None
        if file is not None:
            stack.callback(file.close)
        asked = at.asked
        with progress(asked.progress, title, quiet=asked.quiet, as_json=asked.json) as follower:
            asking = {} if confirm is None else {"confirm": _undrawn(follower, confirm)}
            transfer = begin(on_event=_listener(at, follower), journal=job.journal, **asking)
            report = await _while_ticking(follower, lambda: _settled(at, transfer, file))
        code = job.code = report_code(report)
        tell_report(at.out, report, verbose=asked.verbose > 0)
    if code is not ExitCode.DONE and at.resume is not None:
        at.out.warn(f"what is done is kept; try the rest again with: {at.resume}")
    return code


def _undrawn(
    follower: Follower, confirm: Callable[[SyncSummary], Awaitable[bool]]
) -> Callable[[SyncSummary], Awaitable[bool]]:
    async def asked(summary: SyncSummary) -> bool:
        with follower.paused():
            return await confirm(summary)

    return asked


async def _settled(at: CommandContext, transfer: Transfer, file: Report | None) -> TransferReport:
    async with transfer:
        async for outcome in transfer:
            if file is not None:
                file.add(outcome)
            if at.out.as_json:
                at.out.result("file", "", **outcome_fields(outcome))
    return transfer.report


def _listener(at: CommandContext, follower: Follower) -> OnEvent:
    def take(event: Event) -> None:
        follower.take(event)
        if isinstance(event, Noted):
            at.out.say(f"note: {event.text}")
        elif isinstance(event, Retrying) and at.asked.verbose:
            at.out.say(f"again: {len(event.paths)} files, {event.reason}")

    return take


async def _while_ticking(follower: Follower, work: Callable[[], Awaitable[T]]) -> T:
    failed: Exception | None = None
    done: list[T] = []

    async def tick() -> None:
        while True:
            follower.tick()
            await anyio.sleep(follower.every_s)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        try:
            done.append(await work())
        except Exception as error:  # noqa: BLE001 - raised below: the task group would wrap it
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return done[0]


@dataclass(slots=True)
class _Job:
    """A context manager: the record of this run, from its begin to its end. Without a log nothing is kept.

    A state folder that cannot be used costs the record and the journal, and one line that says so; under ``jobs
    resume``, which is nothing without them, it is an error. At its end `CommandContext.resume` is set if there is
    something to go on with.
    """

    at: CommandContext
    log: JobStore | None = None
    record: Record | None = None
    required: bool = False
    code: ExitCode | None = None

    @property
    def journal(self) -> Path | OptionalJournal | None:
        if self.log is None or self.record is None:
            return None
        path = self.log.journal(self.record.id)
        return path if self.required else OptionalJournal(path=path)

    def __enter__(self) -> _Job:
        if self.log is not None and self.record is not None:
            try:
                self.record = self.log.begin(self.record)
            except OSError as error:
                if self.required:
                    raise
                self.at.out.warn(journal_lost(error))
                self.log = None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.log is None or self.record is None or isinstance(error, BlockingIOError):  # another run's record
            return
        code, state = self.code, _state(self.code, error)
        if code is None:
            code = exit_code(error) if isinstance(error, Exception) else ExitCode.INTERRUPTED
        try:
            self.log.end(self.record, state, code=int(code))
        except OSError as failure:  # what was moved was moved
            self.at.out.warn(f"how this job ended could not be recorded: {failure}")
        if state != "done" and why_not_resumable(self.log, self.record) is None:
            self.at.resume = resume_command(self.record)


def _state(code: ExitCode | None, error: BaseException | None) -> State:
    if code is not None:
        return "done" if code is ExitCode.DONE else "failed"
    stopped = isinstance(error, BrokenPipeError) or not isinstance(error, Exception)
    return "interrupted" if stopped else "failed"


def _begin_job(at: CommandContext, wishes: TransferFlags) -> _Job:
    folder = at.em.settings.state_dir
    if wishes.no_job or folder is None:
        return _Job(at)
    record = new_record(at, command_line())
    return _Job(at, log=JobStore(folder / "jobs"), record=record, required=is_resumed())


def new_record(at: CommandContext, line: CommandLine) -> Record:
    """The record of a command that is about to run here."""
    volume, cwd = resolve_settings(at.asked).get("volume"), os.getcwd()  # noqa: PTH109 - a string is wanted
    scope = (at.em.url, at.em.username, volume or "")
    return Record(
        id=job_id(line.words, identity=line.identity, cwd=cwd, scope=scope),
        words=line.words,
        flags=line.flags,
        arguments=line.arguments,
        cwd=cwd,
        url=at.em.url,
        username=at.em.username,
        volume=volume,
        started=0.0,
    )


async def uplink_all(
    at: CommandContext, sources: Sequence[str], dest: str, *, exclude: Sequence[str] = ()
) -> TransferReport:
    """Send `sources` to the folder `dest`; every file arrives, or the first one's own error is raised."""
    with progress(at.asked.progress, "uplink", quiet=at.out.quiet, as_json=at.out.as_json) as follower:
        report = await _followed(at, sources, dest, exclude=exclude, follower=follower)
    report.raise_for_failures()
    at.out.say(f"sent {len(report.done)} files, {size(report.bytes)}, to {dest or 'the root of the volume'}")
    return report


async def _followed(
    at: CommandContext, sources: Sequence[str], dest: str, *, exclude: Sequence[str], follower: Follower
) -> TransferReport:
    report, failed = TransferReport(), None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_tick, follower)
        try:
            report = await at.em.uplink(sources, dest, exclude=exclude, on_event=follower.take)
        except Exception as error:  # noqa: BLE001 - raised below: the task group would wrap it
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return report


async def _tick(follower: Follower) -> None:
    while True:
        follower.tick()
        await anyio.sleep(follower.every_s)
