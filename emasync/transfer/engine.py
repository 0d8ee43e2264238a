"""From a request to its outcomes: scan or list, plan, run the pool, settle everything exactly once.

Owns: the order of these steps for uplinks and downlinks. May import everything in this room and below.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Generator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import anyio

from emasync.disk import RootGuard
from emasync.errors import AuthError, BusyError, ProtocolError, TimedOutError
from emasync.http.pipeline import RequestStats
from emasync.model import Direction, FileTree, Glob, Outcome, OutcomeState, RemotePath, Verified, safe
from emasync.transfer.context import Options, TransferContext
from emasync.transfer.downlink import FileDownlink
from emasync.transfer.events import EventCallback, Noted, Planned
from emasync.transfer.ledger import FileResult, Item, Ledger, OptionalJournal, journal_lost
from emasync.transfer.open_files import Places
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
from emasync.transfer.resumption import resume_downlink, resume_uplink, sent_before
from emasync.transfer.shared_listing import SharedListing
from emasync.transfer.state.journal import open_journal
from emasync.transfer.tracker import ResultTracker
from emasync.transfer.transfer import Results, Transfer
from emasync.transfer.uplink import Uplink
from emasync.transfer.worker_pool import WorkerPool

_SPARE_ERRORS = 15  # beside a tenth of the calls: what a whole transfer may fail and send again
_FALL_BACK = (
    "this server's content tags follow another rule than the known one: files that come without a checksum are "
    "verified by size only"
)

Job = Callable[["TransferRun"], Awaitable[None]]


class TransferRun:
    """One transfer under way: everything its steps share."""

    def __init__(
        self,
        link: TransferContext,
        options: Options,
        results: Results,
        *,
        roster: ResultTracker,
        ledger: Ledger,
        account: RequestStats,
    ) -> None:
        self.link = link
        self.options = options
        self.results = results
        self.roster = roster
        self.ledger = ledger
        self.account = account
        self.pin = RootGuard()  # the destination of a downlink
        self.planned = False  # from here on every file is expected by the roster: nothing can be forgotten
        self.places = Places(roster.note, make_room=link.pipeline.close_idle_connections)
        self.listing = SharedListing(lambda: link.files.list(account=account))

    async def send(self, plan: UplinkPlan) -> None:
        """Carry out an uplink plan; what an earlier run has done is not done again."""
        self.roster.expect(plan.items)
        await self.refuse(plan, Direction.UPLINK)
        resumed = await resume_uplink(
            self.link,
            plan,
            roster=self.roster,
            ledger=self.ledger,
            listing=self.listing,
            by_size=self.options.verify == "size",
        )
        calls = deque(resumed)
        self._announce(Direction.UPLINK, UplinkPlan(calls=resumed, refused=plan.refused), calls=len(calls))
        await self.ledger.intend(
            Item(remote=item.remote, place=item.place, facts=item.fingerprint) for call in calls for item in call.items
        )
        self.account.error_budget = _error_budget(len(calls))
        uplink = Uplink(
            self.link,
            self.options,
            roster=self.roster,
            ledger=self.ledger,
            account=self.account,
            places=self.places,
        )
        await uplink.run(calls)

    async def fetch(self, plan: DownlinkPlan, *, into: Path) -> None:
        """Carry out a downlink plan with a pool; once the EM is out of reach for good, the rest fail at once."""
        before = prefix(into)
        self.roster.expect(plan.items, below=before)
        await self.refuse(plan, Direction.DOWNLINK, into=into)
        by_size = self.options.verify == "size"
        items = await resume_downlink(
            self.link, plan, into=into, roster=self.roster, ledger=self.ledger, by_size=by_size
        )
        self._announce(Direction.DOWNLINK, DownlinkPlan(items=items, refused=plan.refused), calls=len(items))
        await self.ledger.intend(
            Item(remote=item.remote, place=before + item.place, size=item.entry.size if item.entry else None)
            for item in items
        )
        self.account.error_budget = _error_budget(len(items))
        fetch = FileDownlink(self.link, self.options, into=into, pin=self.pin, relist=self.listing.fresh)
        over: Exception | None = None
        told_fall_back = self.options.verify != "content"

        async def one(item: DownlinkItem) -> None:
            nonlocal over, told_fall_back
            if over is not None:
                ending = FileResult(outcome=_failed(item, into, over))
            else:
                ending = await self._fetched(fetch, item)
                if isinstance(ending.outcome.error, AuthError | BusyError):
                    over = ending.outcome.error
            if not told_fall_back and self.link.tags.incompatible and ending.outcome.verified is Verified.SIZE:
                told_fall_back = True
                self.roster.note(_FALL_BACK)
            await self.roster.settle([ending])

        pool = WorkerPool()
        self.account.sleep = pool.sleep
        await pool.run(items, one, workers=max(1, min(self.options.workers, len(items))))

    async def _fetched(self, fetch: FileDownlink, item: DownlinkItem) -> FileResult:
        """The end of one file, which waits and is tried again where no more files can be opened."""
        mine = RequestStats(parent=self.account)
        try:
            ending = await self.places.run(lambda: fetch.run(item, mine), shortage=lambda one: one.outcome.error)
        finally:
            self.roster.moved(item.remote, mine.bytes_transferred)
        if mine.requests == ending.outcome.attempts:
            return ending
        return replace(ending, outcome=replace(ending.outcome, attempts=mine.requests))

    async def refuse(self, plan: UplinkPlan | DownlinkPlan, direction: Direction, *, into: Path = Path()) -> None:
        """Settle what the plan refuses and pass on its notes; the rest of what was asked for is expected by now."""
        self.planned = True
        for note in plan.notes:
            self.roster.note(note)
        await self.roster.refuse(_refused(one, direction, into) for one in plan.refused)

    def _announce(self, direction: Direction, left: UplinkPlan | DownlinkPlan, *, calls: int) -> None:
        refused = len(left.refused)
        self.options.tell(
            Planned(direction=direction, files=left.files, bytes=left.bytes, calls=calls, refused=refused)
        )


def transfer(link: TransferContext, options: Options, direction: Direction, job: Job) -> Transfer:
    """A Transfer that runs `job` with a journal, a deadline and the limiter's events, as `options` say."""

    async def work(results: Results, account: RequestStats) -> None:
        with link.running.one(), _heard(options) as heard, link.limiter.listen(heard.tell):
            await _run(link, heard, direction, job, results, account)

    return Transfer(work, busy_clock=lambda: link.limiter.busy_s)


@contextmanager
def _heard(options: Options) -> Generator[Options]:
    """`options` whose `on_event` never raises: what the caller's own raises cancels the block, and is raised by it."""
    if options.on_event is None:
        yield options
        return
    ear = EventCallback(options.on_event)
    with ear.scope:
        yield replace(options, on_event=ear.hear)
    if ear.failure is not None:
        raise ear.failure


async def _run(
    link: TransferContext, options: Options, direction: Direction, job: Job, results: Results, account: RequestStats
) -> None:
    def journal_is_lost(error: OSError) -> None:
        text = journal_lost(error)
        results.notes.append(text)
        options.tell(Noted(text=text))

    async with _ledger(link, options, direction, on_lost=journal_is_lost) as ledger:
        roster = ResultTracker(results, direction=direction, options=options, ledger=ledger)
        run = TransferRun(link, options, results, roster=roster, ledger=ledger, account=account)
        with anyio.move_on_after(options.deadline_s) as scope:
            await job(run)
        if scope.cancelled_caught:
            reached = TimedOutError(f"the deadline of {options.deadline_s:g} s is over", phase="deadline")
            if not run.planned:
                raise reached  # what was asked for is not known yet: a report without it would look good
            await roster.abandon(reached)


def uplink(
    link: TransferContext, sources: str | Path | Glob | Sequence[str | Path | Glob], *, dest: str, options: Options
) -> Transfer:
    """The Transfer behind `Client.uplink`."""

    async def job(run: TransferRun) -> None:
        await run.send(await _wanted(run, await uplink_plan(link, sources, dest=dest, options=options)))

    return transfer(link, options, Direction.UPLINK, job)


def downlink(
    link: TransferContext, paths: str | Glob | Sequence[str | Glob], *, into: str | Path, options: Options
) -> Transfer:
    """The Transfer behind `Client.downlink`."""

    async def job(run: TransferRun) -> None:
        await run.fetch(downlink_plan(paths, await run.listing.fresh(), options=options), into=Path(into))

    return transfer(link, options, Direction.DOWNLINK, job)


def apply(link: TransferContext, plan: UplinkPlan | DownlinkPlan, *, into: str | Path, options: Options) -> Transfer:
    """The Transfer behind `Client.apply`."""

    async def job(run: TransferRun) -> None:
        if isinstance(plan, DownlinkPlan):
            await run.fetch(plan, into=Path(into))
        else:
            await run.send(await _wanted(run, plan))

    direction = Direction.DOWNLINK if isinstance(plan, DownlinkPlan) else Direction.UPLINK
    return transfer(link, options, direction, job)


async def uplink_plan(
    link: TransferContext, sources: str | Path | Glob | Sequence[str | Path | Glob], *, dest: str, options: Options
) -> UplinkPlan:
    """Scan the disk and pack what is there. ValueError for a destination with ``..``."""
    check_no_parent(RemotePath(dest))
    wanted = [sources] if isinstance(sources, str | Path | Glob) else list(sources)
    filters = Filters(include=tuple(options.include), exclude=tuple(options.exclude))
    return plan_scan(link, await link.threads.run(lambda: scan(wanted, filters=filters)), dest=dest)


def plan_scan(
    link: TransferContext, found: Scan, *, dest: str, only: Container[RemotePath] | None = None
) -> UplinkPlan:
    """The calls that bring what was found (or, of it, `only` these files) to the folder `dest`."""
    limits = link.settings.limits
    return plan_uplink(
        found.found if only is None else found.found.within(only),
        dest=dest,
        refused=found.refused,
        notes=found.notes,
        limits=limits,
        target_bytes=limits.uplink_target,
    )


def downlink_plan(paths: str | Glob | Sequence[str | Glob], tree: FileTree, *, options: Options) -> DownlinkPlan:
    """Select in a listing."""
    wanted = [paths] if isinstance(paths, str | Glob) else list(paths)
    return plan_downlink(wanted, tree, order=options.order, include=options.include, exclude=options.exclude)


async def _wanted(run: TransferRun, plan: UplinkPlan) -> UplinkPlan:
    """`plan`; where nothing is to be replaced, without the files that are on the EM already: they are settled as
    skipped, or failed if that is asked."""
    if run.options.overwrite == "replace":
        return plan
    tree = await run.listing.fresh()
    ours = await sent_before(run.link, plan, tree, ledger=run.ledger)
    there = [item for item in plan.items if item.remote in tree and item.remote not in ours]
    await run.roster.refuse(_there(item, skip=run.options.overwrite == "skip") for item in there)
    unknown = [item for item in plan.items if not tree.is_known(item.remote)]
    await run.roster.refuse(_perhaps_there(item, tree) for item in unknown)
    drain = {item.remote for item in (*there, *unknown)}
    free = (item for item in plan.items if item.remote not in drain)
    return repacked(free, plan, run.link)


def repacked(items: Iterable[UplinkItem], plan: UplinkPlan, link: TransferContext) -> UplinkPlan:
    """`plan` with only `items` of its files, packed anew; what it refuses and notes stays."""
    calls = pack_again(items, limits=link.settings.limits)
    return UplinkPlan(calls=calls, refused=plan.refused, notes=plan.notes)


@asynccontextmanager
async def _ledger(
    link: TransferContext, options: Options, direction: Direction, *, on_lost: Callable[[OSError], None]
) -> AsyncIterator[Ledger]:
    """What remembers this transfer. A journal that is asked for must be there; one that is optional may be lost."""
    async with AsyncExitStack() as stack:
        journal, asked = None, options.journal
        if isinstance(asked, OptionalJournal):
            try:
                journal = await stack.enter_async_context(open_journal(asked.path))
            except BlockingIOError:
                raise  # another run moves these files just now
            except OSError as error:
                on_lost(error)
        elif asked is not None:
            journal = await stack.enter_async_context(open_journal(asked))
        optional = on_lost if isinstance(asked, OptionalJournal) else None
        yield Ledger(journal, scope=link.scope, direction=direction, on_lost=optional)


def _there(item: UplinkItem, *, skip: bool) -> Outcome:
    text = f"{safe(item.remote)} is on the EM already; overwrite='replace' replaces it"
    error = None if skip else FileExistsError(text)
    return Outcome(
        path=item.remote,
        place=item.place,
        direction=Direction.UPLINK,
        state=OutcomeState.SKIPPED if skip else OutcomeState.FAILED,
        reason="a file of this name is on the EM" if skip else None,
        error=error,
    )


def _perhaps_there(item: UplinkItem, tree: FileTree) -> Outcome:
    folder = safe(tree.unknown_above(item.remote) or "the volume")
    text = (
        f"{safe(item.remote)}: the listing does not give the contents of {folder}, so there may be a file of this name"
    )
    return Outcome(
        path=item.remote,
        place=item.place,
        direction=Direction.UPLINK,
        state=OutcomeState.FAILED,
        error=ProtocolError(f"{text}; overwrite='replace' sends it in any case"),
    )


def _refused(refused: RejectedFile, direction: Direction, into: Path) -> Outcome:
    place = str(into / (refused.local or ""))
    return Outcome(
        path=refused.remote, place=place, direction=direction, state=OutcomeState.FAILED, error=refused.error
    )


def _failed(item: DownlinkItem, into: Path, error: Exception) -> Outcome:
    return Outcome(
        path=item.remote,
        place=prefix(into) + item.place,
        direction=Direction.DOWNLINK,
        state=OutcomeState.FAILED,
        error=error,
    )


def _error_budget(calls: int) -> float:
    return math.ceil(calls * 0.1) + _SPARE_ERRORS
