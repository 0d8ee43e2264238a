"""Run a transfer for a command: job record, progress, results, summary, exit code.

Decides the order of these steps, also when an error or a signal ends the transfer. Must not import the commands.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from emasync.cli.exit_codes import ExitCode, exit_code
from emasync.cli.job_store import JobRecord, JobState, JobStore, is_resumed, job_id, resume_command, why_not_resumable
from emasync.cli.output import ReportFile, outcome_fields, print_summary, report_code, size
from emasync.cli.progress import ProgressDisplay, open_progress
from emasync.cli.runner import CommandContext
from emasync.cli.settings import resolve_settings
from emasync.cli.transfer_options import CommandLine, TransferOptions, command_line
from emasync.model import SyncSummary, TransferReport
from emasync.transfer.events import Event, Noted, OnEvent, Retrying
from emasync.transfer.state.transfer_journal import OptionalJournal, journal_lost
from emasync.transfer.transfer import Transfer

Confirm = Callable[[SyncSummary], Awaitable[bool]]


class StartTransfer(Protocol):
    """Makes the Transfer, which begins when its context is entered."""

    def __call__(self, *, on_event: OnEvent, journal: Path | OptionalJournal | None, **more: Any) -> Transfer: ...


async def run_transfer(
    context: CommandContext,
    options: TransferOptions,
    start: StartTransfer,
    *,
    title: str,
    confirm: Confirm | None = None,
) -> ExitCode:
    """Run the transfer that `start` makes, and print its summary. `confirm` asks before a sync deletes; the progress
    display is off the screen meanwhile.

    An error that makes the whole transfer impossible is raised. The job record gets the end in any case; the journal
    is kept until every file is done, and the same command (or ``jobs resume``) continues from it.
    """
    with ExitStack() as stack:
        job = stack.enter_context(_open_job(context, options))
        report_file = ReportFile(options.report) if options.report is not None else None
        if report_file is not None:
            stack.callback(report_file.close)
        async with open_progress(context.options, title) as display:
            more = {} if confirm is None else {"confirm": _with_display_paused(display, confirm)}
            transfer = start(on_event=_event_callback(context, display), journal=job.journal, **more)
            report = await _print_results(context, transfer, report_file)
        code = job.code = report_code(report)
        print_summary(context.output, report, verbose=context.options.verbose > 0)
    if code is not ExitCode.DONE and context.resume is not None:
        context.output.warn(f"what is done is kept; try the rest again with: {context.resume}")
    return code


async def uplink_all(
    context: CommandContext, sources: Sequence[str], dest: str, *, exclude: Sequence[str] = ()
) -> TransferReport:
    """Send `sources` to the folder `dest`. Raises the first error of a file, if there is one."""
    async with open_progress(context.options, "uplink") as display:
        report = await context.em.uplink(sources, dest, exclude=exclude, on_event=display.handle)
    report.raise_for_failures()
    context.output.info(f"sent {len(report.done)} files, {size(report.bytes)}, to {dest or 'the root of the volume'}")
    return report


def _with_display_paused(display: ProgressDisplay, confirm: Confirm) -> Confirm:
    async def paused_confirm(summary: SyncSummary) -> bool:
        with display.paused():
            return await confirm(summary)

    return paused_confirm


async def _print_results(context: CommandContext, transfer: Transfer, report_file: ReportFile | None) -> TransferReport:
    async with transfer:
        async for outcome in transfer:
            if report_file is not None:
                report_file.add(outcome)
            if context.output.as_json:
                context.output.result("file", "", **outcome_fields(outcome))
    return transfer.report


def _event_callback(context: CommandContext, display: ProgressDisplay) -> OnEvent:
    def on_event(event: Event) -> None:
        display.handle(event)
        if isinstance(event, Noted):
            context.output.info(f"note: {event.text}")
        elif isinstance(event, Retrying) and context.options.verbose:
            context.output.info(f"again: {len(event.paths)} files, {event.reason}")

    return on_event


@dataclass(slots=True)
class _Job:
    """A context manager: keeps the record of this run up to date, from its begin to its end. Without a `store` nothing
    is recorded.

    A state directory that cannot be used costs the record and the journal, and prints one warning; under ``jobs
    resume``, which needs them (`required`), it is an error. At the end `CommandContext.resume` is set if there is
    something to resume.
    """

    context: CommandContext
    store: JobStore | None = None
    record: JobRecord | None = None
    required: bool = False
    code: ExitCode | None = None

    @property
    def journal(self) -> Path | OptionalJournal | None:
        if self.store is None or self.record is None:
            return None
        path = self.store.journal(self.record.id)
        return path if self.required else OptionalJournal(path=path)

    def __enter__(self) -> _Job:
        if self.store is not None and self.record is not None:
            try:
                self.record = self.store.begin(self.record)
            except OSError as error:
                if self.required:
                    raise
                self.context.output.warn(journal_lost(error))
                self.store = None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.store is None or self.record is None or isinstance(error, BlockingIOError):  # another run's record
            return
        code, state = self.code, _state(self.code, error)
        if code is None:
            code = exit_code(error) if isinstance(error, Exception) else ExitCode.INTERRUPTED
        try:
            self.store.end(self.record, state, code=int(code))
        except OSError as failure:  # the files that were moved stay moved
            self.context.output.warn(f"the end of this job could not be recorded: {failure}")
        if state != "done" and why_not_resumable(self.store, self.record) is None:
            self.context.resume = resume_command(self.record)


def _state(code: ExitCode | None, error: BaseException | None) -> JobState:
    if code is not None:
        return "done" if code is ExitCode.DONE else "failed"
    stopped = isinstance(error, BrokenPipeError) or not isinstance(error, Exception)
    return "interrupted" if stopped else "failed"


def _open_job(context: CommandContext, options: TransferOptions) -> _Job:
    state_dir = context.em.settings.state_dir
    if options.no_job or state_dir is None:
        return _Job(context)
    record = new_record(context, command_line())
    return _Job(context, store=JobStore(state_dir / "jobs"), record=record, required=is_resumed())


def new_record(context: CommandContext, line: CommandLine) -> JobRecord:
    """The record of a command that is about to run in this process."""
    volume, cwd = resolve_settings(context.options).get("volume"), os.getcwd()  # noqa: PTH109 - a string is wanted
    em = context.em
    return JobRecord(
        id=job_id(line.words, identity=line.identity, cwd=cwd, scope=(em.url, em.username, volume or "")),
        words=line.words,
        flags=line.flags,
        arguments=line.arguments,
        cwd=cwd,
        url=em.url,
        username=em.username,
        volume=volume,
        started=0.0,
    )
