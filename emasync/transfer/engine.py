"""From a request to its outcomes: scan or list, plan, run the pool, settle everything exactly once.

Owns: the order of these steps for uplinks and downlinks. May import everything in this room and below.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from emasync.caller import Account
from emasync.errors import AuthError, BusyError
from emasync.model import Direction, FileTree, Outcome, OutcomeState
from emasync.transfer.events import Noted, Planned, Settled
from emasync.transfer.fetch import Fetch
from emasync.transfer.filters import Filters
from emasync.transfer.link import Link, Options
from emasync.transfer.listings import SharedListing
from emasync.transfer.packing import plan_uplink
from emasync.transfer.plan import DownlinkItem, Found, Refused, UplinkPlan
from emasync.transfer.pool import run_pool
from emasync.transfer.selection import plan_downlink
from emasync.transfer.sources import scan
from emasync.transfer.transfer import Transfer
from emasync.transfer.uplink import Uplink

_SPARE_ERRORS = 15  # beside a tenth of the calls: what a whole transfer may fail and send again

Settle = Callable[[Outcome], Awaitable[None]]


def uplink(link: Link, sources: str | Path | Sequence[str | Path], *, dest: str, options: Options) -> Transfer:
    """The Transfer behind `Client.uplink`."""
    wanted = [sources] if isinstance(sources, str | Path) else list(sources)

    async def work(settle: Settle, account: Account) -> None:
        told = _telling(settle, options)
        filters = Filters(include=tuple(options.include), exclude=tuple(options.exclude))
        found = await link.threads.run(lambda: scan(wanted, filters=filters))
        plan = plan_uplink(
            found.found, dest=dest, refused=found.refused, notes=found.notes, limits=link.settings.limits
        )
        if options.overwrite != "replace":
            plan = await _spared(link, options, plan, told, account)
        for note in plan.notes:
            options.tell(Noted(text=note))
        options.tell(_planned(Direction.UPLINK, plan.files, plan.bytes, len(plan.calls), plan.refused))
        for refused in plan.refused:
            await told(_refused(refused, Direction.UPLINK, refused.local or Path()))
        account.error_budget = _error_budget(len(plan.calls))
        await Uplink(link, options, settle=told, account=account).run(plan.calls)

    return Transfer(work)


def downlink(link: Link, paths: str | Sequence[str], *, into: str | Path, options: Options) -> Transfer:
    """The Transfer behind `Client.downlink`."""
    wanted = [paths] if isinstance(paths, str) else list(paths)
    root = Path(into)

    async def work(settle: Settle, account: Account) -> None:
        told = _telling(settle, options)
        listing = SharedListing(lambda: link.files.list(account=account))
        plan = plan_downlink(
            wanted, await listing.fresh(), order=options.order, include=options.include, exclude=options.exclude
        )
        for note in plan.notes:
            options.tell(Noted(text=note))
        options.tell(_planned(Direction.DOWNLINK, plan.files, plan.bytes, plan.files, plan.refused))
        for refused in plan.refused:
            await told(_refused(refused, Direction.DOWNLINK, root / (refused.local or "")))
        account.error_budget = _error_budget(plan.files)
        await fetch_all(link, options, plan.items, into=root, listing=listing, settle=told, account=account)

    return Transfer(work)


async def fetch_all(
    link: Link,
    options: Options,
    items: Sequence[DownlinkItem],
    *,
    into: Path,
    listing: SharedListing,
    settle: Settle,
    account: Account,
) -> None:
    """Bring `items` down with a pool of workers; once the EM is out of reach for good, the rest fail at once."""
    fetch = Fetch(link, options, into=into, relist=listing.fresh)
    over: Exception | None = None

    async def one(item: DownlinkItem) -> None:
        nonlocal over
        if over is not None:
            outcome = Outcome(
                path=item.remote,
                local=into / item.local,
                direction=Direction.DOWNLINK,
                state=OutcomeState.FAILED,
                error=over,
            )
        else:
            outcome = await fetch.run(item, account)
            if isinstance(outcome.error, AuthError | BusyError):
                over = outcome.error
        await settle(outcome)

    await run_pool(items, one, workers=max(1, min(options.workers, len(items))))


async def _spared(link: Link, options: Options, plan: UplinkPlan, settle: Settle, account: Account) -> UplinkPlan:
    """`plan` without the files that are on the EM already; they are settled as skipped, or failed if that is asked."""
    tree: FileTree = await link.files.list(account=account)
    spared, free = [], []
    for item in plan.items:
        (spared if item.remote in tree else free).append(item)
    for item in spared:
        skip = options.overwrite == "skip"
        error = (
            None if skip else FileExistsError(f"{item.remote} is on the EM already; overwrite='replace' replaces it")
        )
        await settle(
            Outcome(
                path=item.remote,
                local=item.local,
                direction=Direction.UPLINK,
                state=OutcomeState.SKIPPED if skip else OutcomeState.FAILED,
                reason="a file of this name is on the EM" if skip else None,
                error=error,
            )
        )
    found = (Found(local=item.local, relative=item.remote, fingerprint=item.fingerprint) for item in free)
    kept = plan_uplink(found, limits=link.settings.limits)
    return UplinkPlan(calls=kept.calls, refused=plan.refused, notes=plan.notes)


def _telling(settle: Settle, options: Options) -> Settle:
    async def told(outcome: Outcome) -> None:
        options.tell(Settled(outcome=outcome))
        await settle(outcome)

    return told


def _planned(direction: Direction, files: int, size: int, calls: int, refused: Iterable[Refused]) -> Planned:
    return Planned(direction=direction, files=files, bytes=size, calls=calls, refused=sum(1 for _ in refused))


def _refused(refused: Refused, direction: Direction, local: Path) -> Outcome:
    return Outcome(
        path=refused.remote, local=local, direction=direction, state=OutcomeState.FAILED, error=refused.error
    )


def _error_budget(calls: int) -> float:
    return math.ceil(calls * 0.1) + _SPARE_ERRORS
