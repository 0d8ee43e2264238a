"""Uploads many files to the EM: sends rounds of requests, and confirms by listings which files arrived.

`uplink_state` decides what is listed and sent again; this module does it. Knows nothing of how one request is sent.
Must not import engine or http.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

import anyio

from emasync.disk import digest_file
from emasync.errors import AuthError, BusyError, EMError, IntegrityError
from emasync.model import Direction, FileTree, Outcome, OutcomeState, Verified, safe
from emasync.transfer.context import TransferRun
from emasync.transfer.events import Confirmed, Retrying
from emasync.transfer.planning.packing import pack_again
from emasync.transfer.planning.plan import UplinkCall, UplinkItem
from emasync.transfer.state.transfer_journal import FileResult
from emasync.transfer.tracker import failed_outcome
from emasync.transfer.uplink_request import RequestResult, UplinkRequestSender, halves
from emasync.transfer.uplink_state import PendingConfirmation, UplinkState
from emasync.transfer.verification import probe_tags
from emasync.transfer.worker_pool import WorkerPool, drain

# Seconds before each listing that looks for missing files: a listing may not show at once what has arrived.
_LISTING_DELAYS_S = (0.0, 0.5, 2.0, 5.0)
_RECORD_BATCH = 1000  # files recorded at once; the result of one file takes about a kilobyte of memory


class Uplink:
    """Sends the requests of one transfer's plan; used for one transfer only."""

    def __init__(
        self,
        run: TransferRun,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._run = run
        self._context = run.context
        self._options = run.options
        self._tracker = run.tracker
        self._clock = clock
        self._sleep = sleep
        self._pool = WorkerPool()
        run.stats.sleep = self._pool.sleep
        self._sender = UplinkRequestSender(run, clock=clock)
        self._state = UplinkState(by_content=run.options.by_content, tags=run.context.tags, now_s=clock())
        self._listing_lock = anyio.Lock()
        self._fatal_error: Exception | None = None

    async def run(self, calls: deque[UplinkCall]) -> None:
        """Send `calls` and record one result for each of their files. Empties `calls` on the way, to free memory."""
        waiting = calls
        while waiting:
            workers = min(self._options.workers, len(waiting))
            await self._pool.run(drain(waiting), self._send_call, workers=workers)
            await self._confirm_by_listing(last=True)
            waiting = deque(pack_again(self._state.take_unsent(), limits=self._context.settings.limits))

    async def _send_call(self, call: UplinkCall) -> None:
        if self._fatal_error is not None:  # wrong password, EM stays locked: each further request would fail as well
            await self._fail([(item, self._fatal_error) for item in call.items])
            return
        files = [(item.remote, item.local_path) for item in call.items]
        await self._run.journal.record_sent(files, call_id=secrets.token_hex(8))
        result = await self._send_request(call)
        if result.split:
            for half in halves(call):
                await self._send_call(half)
            return
        self._state.pending.extend(result.sent)
        self._state.add_unsent(result.unsent)
        for _, error in result.failed:
            if isinstance(error, AuthError | BusyError):
                self._fatal_error = error
        await self._fail(result.failed)
        due = self._state.due(self._clock()) and not self._listing_lock.locked()
        if self._state.full or due:
            await self._confirm_by_listing(last=False)

    async def _send_request(self, call: UplinkCall) -> RequestResult:
        """Send `call`. If the process cannot open more files (EMFILE), fewer requests run from then on, and the next
        round sends the files that were not sent. A file fails if it cannot be opened while its request runs alone."""
        open_files = self._run.open_files
        async with open_files.slot() as slot:
            result = await self._sender.send(call, stats=self._run.stats)
            if result.short is None:
                open_files.on_success()
                return result
            lowered = open_files.on_shortage(slot)
        return result if lowered or await open_files.wait() else result.without_short()

    async def _confirm_by_listing(self, *, last: bool) -> None:
        """List the volume and record the files that arrived. `last` means that all requests of the round are over:
        files that are still missing are then sent again in the next round, or recorded as lost."""
        async with self._listing_lock:
            if not last and not (self._state.full or self._state.due(self._clock())):
                return  # another worker listed the volume while this one waited for the lock
            if self._options.unverified:
                counted = self._state.take_acknowledged()  # only lost responses need a listing
                await self._record_arrived([(file, Verified.COUNT, None) for file in counted])
            for delay in _LISTING_DELAYS_S if last else _LISTING_DELAYS_S[:1]:
                if not self._state.pending:
                    return
                if delay and not self._state.may_appear:
                    break
                await self._sleep(delay)
                if not await self._list_and_compare(settled=last and delay == _LISTING_DELAYS_S[-1]):
                    return
            if last:
                await self._handle_missing()
            self._state.raise_pending_limit()

    async def _list_and_compare(self, *, settled: bool) -> bool:
        """Compare the pending files with a new listing; False if the listing failed. `settled`: the files were sent so
        long ago that a listing must show them."""
        began_s = self._clock()
        sent = self._state.take_pending()
        try:
            tree = await self._run.files.list(only=[file.item.remote for file in sent])
        except EMError as error:
            await self._give_up(sent, error)
            return False
        self._state.listing_ended(began_s=began_s, ended_s=self._clock())
        await self._learn_tags(sent, tree, settled=settled)
        while sent:  # in batches: recording a batch frees its memory
            arrived: list[tuple[PendingConfirmation, Verified, int | None]] = []
            for _ in range(min(_RECORD_BATCH, len(sent))):
                file = await self._with_tag(sent.popleft())
                verdict = self._state.compare(file, tree)
                if verdict.arrived:
                    entry = tree.get(file.item.remote)
                    arrived.append((file, verdict.verified, entry.content_tag if entry else None))
            self._note()
            await self._record_arrived(arrived)
        return True

    async def _learn_tags(self, sent: Iterable[PendingConfirmation], tree: FileTree, *, settled: bool) -> None:
        samples = self._state.learn_tags(sent, tree, now_s=self._clock(), settled=settled, lag_s=sum(_LISTING_DELAYS_S))
        if samples is not None:
            files, relist = self._run.files, self._run.files.list if samples.conclusive else None
            with suppress(EMError):
                await probe_tags(files, self._context.tags, samples.entries, sent=samples.sent, relist=relist)
        self._state.note_incompatible_tags()
        self._note()

    def _note(self) -> None:
        for text in self._state.take_notes():
            self._tracker.note(text)

    async def _with_tag(self, file: PendingConfirmation) -> PendingConfirmation:
        """`file` with the content tag of the local file. It is computed here if the request failed before it read the
        whole file."""
        if file.tag is not None:
            return file
        try:
            digest = await self._context.threads.run(digest_file, file.item.local_path)
        except (OSError, EMError):
            return file  # the local file changed or vanished: the next attempt to send it reports that
        return replace(file, tag=digest.tag, sha256=digest.sha256)

    async def _handle_missing(self) -> None:
        again, lost = self._state.take_missing()
        for file in lost:
            await self._record_lost(file)
        if again:
            paths = tuple(file.item.remote for file in again)
            reason = again[0].mismatch_reason
            self._options.notify(Retrying(direction=Direction.UPLINK, paths=paths, reason=reason))

    async def _record_arrived(self, files: Sequence[tuple[PendingConfirmation, Verified, int | None]]) -> None:
        """Record files that arrived. With each file come the proof of its arrival and the listing's content tag."""
        for file, verified, _ in files if self._options.observed else ():
            self._options.notify(Confirmed(direction=Direction.UPLINK, path=file.item.remote, verified=verified))
        results = [
            FileResult(
                outcome=self._outcome(file, OutcomeState.DONE, verified=verified), tag=file.tag, listed_tag=listed_tag
            )
            for file, verified, listed_tag in files
        ]
        await self._tracker.record(results)

    async def _record_lost(self, file: PendingConfirmation) -> None:
        """Record a file that is not sent again, though no listing confirms it: FAILED if the server counted it and a
        listing shows that it is missing or differs, else UNKNOWN."""
        if file.acknowledged and file.listed:
            times, reason = self._tracker.times_sent(file.item.remote), file.mismatch_reason
            error = IntegrityError(f"{safe(file.item.remote)}: sent {times} times, but {reason}")
            outcome = self._outcome(file, OutcomeState.FAILED, error=error)
        else:
            outcome = self._outcome(file, OutcomeState.UNKNOWN, reason=f"sent, but {file.mismatch_reason}")
        await self._tracker.record([FileResult(outcome=outcome, tag=file.tag)])

    async def _give_up(self, sent: Iterable[PendingConfirmation], error: EMError) -> None:
        """Record the `sent` files as UNKNOWN because the volume cannot be listed; no more files are sent."""
        self._fatal_error = self._fatal_error or error
        reason = f"sent, but the volume could not be listed ({error}); run the same call again to find out"
        outcomes = [self._outcome(file, OutcomeState.UNKNOWN, reason=reason) for file in sent]
        await self._tracker.record([FileResult(outcome=outcome) for outcome in outcomes])

    async def _fail(self, files: Sequence[tuple[UplinkItem, Exception]]) -> None:
        outcomes = [
            failed_outcome(item, Direction.UPLINK, error, attempts=self._tracker.times_sent(item.remote))
            for item, error in files
        ]
        await self._tracker.record([FileResult(outcome=outcome) for outcome in outcomes])

    def _outcome(
        self,
        file: PendingConfirmation,
        state: OutcomeState,
        *,
        verified: Verified = Verified.NONE,
        error: Exception | None = None,
        reason: str | None = None,
    ) -> Outcome:
        return Outcome(
            path=file.item.remote,
            place=file.item.local_path,
            direction=Direction.UPLINK,
            state=state,
            bytes=file.item.fingerprint.size if state is OutcomeState.DONE else 0,
            sha256=file.sha256,
            verified=verified,
            attempts=self._tracker.times_sent(file.item.remote),
            seconds=file.seconds,
            busy_seconds=file.busy_s,
            reason=reason,
            error=error,
        )
