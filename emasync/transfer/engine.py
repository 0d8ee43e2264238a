"""From a request to its results: scan or list, plan, run the workers, record every file exactly once.

Runs uplinks and downlinks; a sync builds on them. Must not import sync.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import anyio

from emasync.errors import AuthError, BusyError, ProtocolError, TimedOutError
from emasync.http.pipeline import RequestStats
from emasync.model import Direction, FileTree, Glob, Outcome, OutcomeState, Overwrite, RemotePath, Verified, safe
from emasync.transfer.context import SharedListing, TransferContext, TransferRun
from emasync.transfer.downlink import FileDownlink
from emasync.transfer.events import EventCallback, Planned
from emasync.transfer.limits import OpenFileLimiter
from emasync.transfer.options import TransferOptions
from emasync.transfer.planning.filters import Filters
from emasync.transfer.planning.packing import pack_again, plan_uplink
from emasync.transfer.planning.plan import (
    DownlinkItem,
    DownlinkPlan,
    RejectedFile,
    UplinkItem,
    UplinkPlan,
    check_no_parent,
    prefix,
)
from emasync.transfer.planning.scan import Scan, scan
from emasync.transfer.planning.selection import plan_downlink
from emasync.transfer.resume import resume_downlink, resume_uplink, sent_before
from emasync.transfer.state.transfer_journal import FileResult, IntendedFile, journal_lost, open_transfer_journal
from emasync.transfer.tracker import ResultTracker, failed_outcome
from emasync.transfer.transfer import Transfer
from emasync.transfer.uplink import Uplink
from emasync.transfer.worker_pool import WorkerPool

_SPARE_ERRORS = 15  # beside a tenth of the requests: what a whole transfer may fail and send again
_SIZE_ONLY = (
    "this server's content tags follow another rule than the known one: files that come without a checksum are "
    "verified by size only"
)

Job = Callable[[TransferRun], Awaitable[None]]


def start_transfer(context: TransferContext, options: TransferOptions, direction: Direction, job: Job) -> Transfer:
    """A Transfer that runs `job` with the journal, the deadline and the event callback of `options`."""
    callback = None
    if options.on_event is not None:
        callback = EventCallback(options.on_event)
        options = replace(options, on_event=callback.emit)

    async def work(tracker: ResultTracker, stats: RequestStats) -> None:
        guard = nullcontext() if callback is None else callback.guard()
        with context.running.track(), guard, context.limiter.listen(options.notify):
            async with _open_run(context, options, tracker, stats) as run:
                await _run_job(run, job)

    tracker = ResultTracker(direction=direction, on_event=options.on_event)
    return Transfer(work, tracker, busy_clock=lambda: context.limiter.busy_s)


async def run_uplink(run: TransferRun, plan: UplinkPlan) -> None:
    """Carry out an uplink plan; what an earlier run has done is not done again."""
    run.tracker.register(plan.items)
    record_rejected(run, plan)
    calls = await resume_uplink(run, plan)
    _announce(run, UplinkPlan(calls=calls, refused=plan.refused), requests=len(calls))
    await run.journal.record_intents(
        IntendedFile(remote=item.remote, local_path=item.local_path, facts=item.fingerprint)
        for call in calls
        for item in call.items
    )
    run.stats.error_budget = _error_budget(len(calls))
    await Uplink(run).run(deque(calls))


async def run_downlink(run: TransferRun, plan: DownlinkPlan, *, into: Path) -> None:
    """Carry out a downlink plan; once the EM is out of reach for good, the remaining files fail at once."""
    directory = prefix(into)
    run.tracker.register(plan.items, directory=directory)
    record_rejected(run, plan, into=into)
    items = await resume_downlink(run, plan, into=into)
    _announce(run, DownlinkPlan(items=items, refused=plan.refused), requests=len(items))
    await run.journal.record_intents(
        IntendedFile(
            remote=item.remote, local_path=directory + item.local_path, size=item.entry.size if item.entry else None
        )
        for item in items
    )
    run.stats.error_budget = _error_budget(len(items))
    workers = max(1, min(run.options.workers, len(items)))
    pool = WorkerPool()
    run.stats.sleep = pool.sleep
    await pool.run(items, _DownlinkWorker(run, into).download, workers=workers)


class _DownlinkWorker:
    """Downloads the files of one transfer, each with its result."""

    def __init__(self, run: TransferRun, into: Path) -> None:
        self._run = run
        self._into = into
        self._files = FileDownlink(run, into=into)
        self._fatal_error: Exception | None = None
        self._size_only_noted = not run.options.by_content

    async def download(self, item: DownlinkItem) -> None:
        """Download `item` and record its result."""
        if self._fatal_error is not None:
            outcome = failed_outcome(item, Direction.DOWNLINK, self._fatal_error, directory=prefix(self._into))
            result = FileResult(outcome=outcome)
        else:
            result = await self._downloaded(item)
            if isinstance(result.outcome.error, AuthError | BusyError):
                self._fatal_error = result.outcome.error
        run, by_size = self._run, result.outcome.verified is Verified.SIZE
        if by_size and not self._size_only_noted and run.context.tags.incompatible:
            self._size_only_noted = True
            run.tracker.note(_SIZE_ONLY)
        await run.tracker.record([result])

    async def _downloaded(self, item: DownlinkItem) -> FileResult:
        """The result of one file, which waits and is tried again where no more files can be opened."""
        run, stats = self._run, RequestStats(parent=self._run.stats)
        try:
            result = await run.open_files.run(
                lambda: self._files.run(item, stats), shortage=lambda result: result.outcome.error
            )
        finally:
            run.tracker.add_moved(item.remote, stats.bytes_transferred)
        if stats.requests == result.outcome.attempts:
            return result
        return replace(result, outcome=replace(result.outcome, attempts=stats.requests))


def record_rejected(run: TransferRun, plan: UplinkPlan | DownlinkPlan, *, into: Path = Path()) -> None:
    """Record what the plan rejects, and pass on its notes."""
    for note in plan.notes:
        run.tracker.note(note)
    run.tracker.record_unregistered(_rejected(file, run.tracker.direction, into) for file in plan.refused)


def _announce(run: TransferRun, plan: UplinkPlan | DownlinkPlan, *, requests: int) -> None:
    direction, rejected = run.tracker.direction, len(plan.refused)
    run.options.notify(
        Planned(direction=direction, files=plan.files, bytes=plan.bytes, calls=requests, refused=rejected)
    )


@asynccontextmanager
async def _open_run(
    context: TransferContext, options: TransferOptions, tracker: ResultTracker, stats: RequestStats
) -> AsyncIterator[TransferRun]:
    async with open_transfer_journal(
        options.journal,
        scope=context.scope,
        direction=tracker.direction,
        on_lost=lambda error: tracker.note(journal_lost(error)),
    ) as journal:
        tracker.journal = journal
        yield TransferRun(
            context=context,
            options=options,
            tracker=tracker,
            journal=journal,
            stats=stats,
            open_files=OpenFileLimiter(tracker.note, make_room=context.pipeline.close_idle_connections),
            listing=SharedListing(context.files.with_stats(stats).list),
        )


async def _run_job(run: TransferRun, job: Job) -> None:
    deadline_s = run.options.deadline_s
    with anyio.move_on_after(deadline_s) as scope:
        await job(run)
    if scope.cancelled_caught:
        reached = TimedOutError(f"the deadline of {deadline_s:g} s is over", phase="deadline")
        if not run.tracker.has_registered:
            raise reached  # what was asked for is not known yet: a report without it would look good
        await run.tracker.fail_remaining(reached)


def uplink(
    context: TransferContext,
    sources: str | Path | Glob | Sequence[str | Path | Glob],
    *,
    dest: str,
    options: TransferOptions,
) -> Transfer:
    """The Transfer behind `Client.uplink`."""

    async def job(run: TransferRun) -> None:
        await run_uplink(
            run, await _without_existing(run, await uplink_plan(context, sources, dest=dest, filters=options.filters))
        )

    return start_transfer(context, options, Direction.UPLINK, job)


def downlink(
    context: TransferContext, paths: str | Glob | Sequence[str | Glob], *, into: str | Path, options: TransferOptions
) -> Transfer:
    """The Transfer behind `Client.downlink`."""

    async def job(run: TransferRun) -> None:
        named = [paths] if isinstance(paths, str | Glob) else list(paths)
        tree = await run.listing.fresh()
        plan = plan_downlink(named, tree, order=options.order, include=options.include, exclude=options.exclude)
        await run_downlink(run, plan, into=Path(into))

    return start_transfer(context, options, Direction.DOWNLINK, job)


def apply(
    context: TransferContext, plan: UplinkPlan | DownlinkPlan, *, into: str | Path, options: TransferOptions
) -> Transfer:
    """The Transfer behind `Client.apply`."""

    async def job(run: TransferRun) -> None:
        if isinstance(plan, DownlinkPlan):
            await run_downlink(run, plan, into=Path(into))
        else:
            await run_uplink(run, await _without_existing(run, plan))

    direction = Direction.DOWNLINK if isinstance(plan, DownlinkPlan) else Direction.UPLINK
    return start_transfer(context, options, direction, job)


async def uplink_plan(
    context: TransferContext, sources: str | Path | Glob | Sequence[str | Path | Glob], *, dest: str, filters: Filters
) -> UplinkPlan:
    """Scan the disk and pack what is there. ValueError for a destination with ``..``."""
    check_no_parent(RemotePath(dest))
    named = [sources] if isinstance(sources, str | Path | Glob) else list(sources)
    return plan_scan(context, await context.threads.run(lambda: scan(named, filters=filters)), dest=dest)


def plan_scan(
    context: TransferContext, scanned: Scan, *, dest: str, only: Container[RemotePath] | None = None
) -> UplinkPlan:
    """The requests that bring the files of a scan (or `only` these of them) to the folder `dest`."""
    limits = context.settings.limits
    return plan_uplink(
        scanned.found if only is None else scanned.found.within(only),
        dest=dest,
        refused=scanned.refused,
        notes=scanned.notes,
        limits=limits,
        target_bytes=limits.uplink_target,
    )


async def _without_existing(run: TransferRun, plan: UplinkPlan) -> UplinkPlan:
    """`plan`; where nothing is to be replaced, without the files that are on the EM already: they are recorded as
    skipped, or as failed if that was asked for."""
    if run.options.overwrite == "replace":
        return plan
    tree = await run.listing.fresh()
    ours = await sent_before(run, plan, tree)
    existing = [item for item in plan.items if item.remote in tree and item.remote not in ours]
    run.tracker.record_unregistered(_existing(item, run.options.overwrite) for item in existing)
    unknown = [item for item in plan.items if not tree.is_known(item.remote)]
    run.tracker.record_unregistered(_perhaps_existing(item, tree) for item in unknown)
    taken = {item.remote for item in (*existing, *unknown)}
    free = (item for item in plan.items if item.remote not in taken)
    calls = pack_again(free, limits=run.context.settings.limits)
    return UplinkPlan(calls=calls, refused=plan.refused, notes=plan.notes)


def _existing(item: UplinkItem, overwrite: Overwrite) -> Outcome:
    if overwrite != "skip":
        error = FileExistsError(f"{safe(item.remote)} is on the EM already; overwrite='replace' replaces it")
        return failed_outcome(item, Direction.UPLINK, error)
    return Outcome(
        path=item.remote,
        place=item.local_path,
        direction=Direction.UPLINK,
        state=OutcomeState.SKIPPED,
        reason="a file of this name is on the EM",
    )


def _perhaps_existing(item: UplinkItem, tree: FileTree) -> Outcome:
    folder = safe(tree.unknown_above(item.remote) or "the volume")
    text = (
        f"{safe(item.remote)}: the listing does not give the contents of {folder}, so there may be a file of this name"
    )
    error = ProtocolError(f"{text}; overwrite='replace' sends it in any case")
    return failed_outcome(item, Direction.UPLINK, error)


def _rejected(file: RejectedFile, direction: Direction, into: Path) -> Outcome:
    local_path = str(into / (file.local or ""))
    return Outcome(path=file.remote, place=local_path, direction=direction, state=OutcomeState.FAILED, error=file.error)


def _error_budget(requests: int) -> float:
    return math.ceil(requests * 0.1) + _SPARE_ERRORS
