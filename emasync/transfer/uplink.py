"""Many files up: rounds of calls, and a listing that says what of them arrived.

Owns: the rounds, when the volume is listed, and each file's end. May import send, verification, pool, plan and below.
Knows nothing of how one call is sent, nor of sources on disk (the plan has them).
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import anyio

from emasync.disk import digest_file
from emasync.errors import AuthError, BusyError, EMError, IntegrityError
from emasync.http.pipeline import RequestStats
from emasync.model import Direction, FileEntry, FileTree, Outcome, OutcomeState, RemotePath, Verified, safe
from emasync.transfer.context import Options, TransferContext
from emasync.transfer.events import Confirmed, Retrying
from emasync.transfer.ledger import FileResult, Ledger
from emasync.transfer.open_files import Places
from emasync.transfer.planning.packing import pack_again
from emasync.transfer.planning.plan import UplinkCall, UplinkItem
from emasync.transfer.tag_compatibility import TagState
from emasync.transfer.tag_probe import probe_tags
from emasync.transfer.tracker import ResultTracker
from emasync.transfer.uplink_request import PendingConfirmation, RequestResult, UplinkRequestSender, halves
from emasync.transfer.verification import Verdict, verify_sent
from emasync.transfer.worker_pool import WorkerPool, drain

_MAX_SENDS = 3  # of one file: what a listing does not show is sent again, and then once more
_MAX_REFUSED = 2  # of these may end in a 500: the server says that it failed, and not only nothing
_LOOKS_S = (0.0, 0.5, 2.0, 5.0)  # before each look at a listing that lacks files: it may lag behind
_MOST_UNSETTLED = 10_000  # files that wait for a listing: it takes the EM's lock, they take memory
_PORTION = 1000  # files settled at a time: with all that says how they ended, one takes a kilobyte
_LIST_EVERY_S = 15.0  # while calls still run, so that outcomes do not all wait for the last one
_LIST_SHARE = 0.1  # of the time, at most: a listing of very many files takes the lock from them for long
_FALL_BACK = "this server's content tags follow another rule than the known one: files are verified by size only"
_NOT_COMPARED = (
    "whether this server's content tags follow the known rule could not be found out: files whose listed tag differs "
    "were sent twice and are verified by size only"
)


class Uplink:
    """One run over the calls of a plan."""

    def __init__(
        self,
        link: TransferContext,
        options: Options,
        *,
        roster: ResultTracker,
        ledger: Ledger,
        account: RequestStats,
        places: Places,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._link = link
        self._options = options
        self._roster = roster
        self._ledger = ledger
        self._account = account
        self._pool = WorkerPool()
        account.sleep = self._pool.sleep
        self._places = places
        self._clock = clock
        self._sleep = sleep
        self._sender = UplinkRequestSender(link, options, roster=roster, clock=clock)
        self._missed: Counter[UplinkItem] = Counter()  # how often a file was not there that was sent
        self._refused: Counter[UplinkItem] = Counter()  # and of these, how often the server said that it had failed
        self._sent: list[PendingConfirmation] = []
        self._again: list[UplinkItem] = []
        self._next_look_s = clock() + _LIST_EVERY_S
        self._look_at = _MOST_UNSETTLED
        self._looking = anyio.Lock()
        self._fatal_error: Exception | None = None
        self._noted: set[str] = set()
        self._unlike: tuple[float, frozenset[RemotePath]] | None = None  # the first listing with no right tag

    async def run(self, calls: deque[UplinkCall]) -> None:
        """Send `calls`, settle each of their files exactly once. Takes `calls` apart: what is settled is forgotten."""
        waiting = calls
        while waiting:
            workers = min(self._options.workers, len(waiting))
            await self._pool.run(drain(waiting), self._one_call, workers=workers)
            await self._confirm_by_listing(last=True)
            waiting = self._repacked()

    async def _one_call(self, call: UplinkCall) -> None:
        if self._fatal_error is not None:  # the password is wrong, the EM stays locked: no use in asking for each file
            await self._fail([(item, self._fatal_error) for item in call.items])
            return
        await self._ledger.sending(_places(call), call_id=secrets.token_hex(8))
        end = await self._send(call)
        if end.split:
            for half in halves(call):
                await self._one_call(half)
            return
        await self._take(end)
        if self._full or (self._due and not self._looking.locked()):
            await self._confirm_by_listing(last=False)

    async def _send(self, call: UplinkCall) -> RequestResult:
        """Send `call`. Where no more files can be opened, what is unsent waits for the next round, and fewer run; a
        file for which none can be opened alone, all waits later, has failed."""
        async with self._places.take() as place:
            end = await self._sender.send(call, account=self._account)
            if end.short is None:
                self._places.passed()
                return end
            narrowed = self._places.narrow(place)
        return end if narrowed or await self._places.wait() else end.without_short()

    @property
    def _full(self) -> bool:
        """Whether so many files wait for a listing that no more calls are to leave before it."""
        return len(self._sent) >= self._look_at

    @property
    def _due(self) -> bool:
        return self._clock() >= self._next_look_s

    async def _take(self, end: RequestResult) -> None:
        self._sent.extend(end.sent)
        self._again.extend(end.unsent)
        for _, error in end.failed:
            if isinstance(error, AuthError | BusyError):
                self._fatal_error = error
        await self._fail(end.failed)

    async def _confirm_by_listing(self, *, last: bool) -> None:
        """Settle what the listing shows to have arrived. After the `last` call, what it does not show goes again."""
        async with self._looking:
            if not last and not (self._full or self._due):
                return  # another worker has just looked
            if self._options.verify == "none":
                await self._accept_acknowledged()
            for delay in _LOOKS_S if last else _LOOKS_S[:1]:
                if not self._sent:
                    return
                if delay and not any(sent.whole for sent in self._sent):
                    break  # of a call that a file broke off: hardly there, and sent again sooner than waited for
                await self._sleep(delay)
                began = self._clock()
                looked, self._sent = deque(self._sent), []
                try:
                    tree = await self._link.files.list(
                        account=self._account, only=[sent.item.remote for sent in looked]
                    )
                except EMError as error:
                    await self._give_up(looked, error)
                    return
                self._next_look_s = next_look_s(began, self._clock())
                await self._judge(looked, tree, settled=last and delay == _LOOKS_S[-1])
            if last:
                missing, self._sent = self._sent, []
                await self._send_again(missing)
            self._look_at = len(self._sent) + _MOST_UNSETTLED  # more, if the listing lags behind

    async def _accept_acknowledged(self) -> None:
        """With verify="none": a file the server counted is done; only lost answers need a listing."""
        counted = [sent for sent in self._sent if sent.receipt]
        self._sent = [sent for sent in self._sent if not sent.receipt]
        await self._done([(sent, Verified.COUNT, None) for sent in counted])

    async def _judge(self, looked: deque[PendingConfirmation], tree: FileTree, *, settled: bool) -> None:
        await self._learn_tags(dict(_tag_samples(looked, tree)), settled=settled)
        if self._link.tags.incompatible:
            self._note_once(_FALL_BACK)
        while looked:  # in portions, each forgotten once it is settled
            done: list[tuple[PendingConfirmation, Verified, int | None]] = []
            for _ in range(min(_PORTION, len(looked))):
                sent = await self._with_tag(looked.popleft())
                verdict = self._verdict(sent, tree)
                if verdict.arrived:
                    entry = tree.get(sent.item.remote)
                    done.append((sent, verdict.how, entry.content_tag if entry else None))
                else:
                    self._sent.append(replace(sent, why=verdict.why, listed=verdict.knows))
            await self._done(done)

    async def _learn_tags(self, samples: dict[FileEntry, int], *, settled: bool) -> None:
        """What the listing teaches of this server's tags. One that is right confirms the rule. Where none is, older
        files of these sizes may still be listed, or there: reading some tells. Only once a listing can lag no more
        (`settled`, or long enough after the first that showed none right) what differs is evidence against the rule."""
        tags = self._link.tags
        if any(entry.content_tag == tag for entry, tag in samples.items()):
            tags.match()
            return
        if not samples or tags.state is not TagState.UNKNOWN or self._options.verify != "content":
            return
        if self._unlike is None:
            self._unlike = (self._clock(), frozenset(entry.path for entry in samples))
        since, first = self._unlike
        conclude = settled or self._clock() - since >= sum(_LOOKS_S)
        entries = [entry for entry in samples if settled or entry.path in first]  # later ones may still lag behind
        sent: dict[str, int] = {entry.path: tag for entry, tag in samples.items()}
        relist = self._relist if conclude else None
        with suppress(EMError):
            await probe_tags(self._link, entries, account=self._account, sent=sent, relist=relist)

    async def _relist(self) -> FileTree:
        return await self._link.files.list(account=self._account)

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._roster.note(text)

    def _verdict(self, sent: PendingConfirmation, tree: FileTree) -> Verdict:
        resent = self._missed[sent.item] > 0
        verdict = verify_sent(
            sent.item.remote,
            tree,
            size=sent.item.fingerprint.size,
            tag=sent.tag,
            counted=sent.receipt,
            tags=self._link.tags,
            verify=self._options.verify,
            resent=resent,
        )
        by_size = verdict.arrived and verdict.how is not Verified.TAG and self._options.verify == "content"
        if by_size and resent and self._link.tags.state is TagState.UNKNOWN:
            self._note_once(_NOT_COMPARED)
        return verdict

    async def _with_tag(self, sent: PendingConfirmation) -> PendingConfirmation:
        """`sent` with the tag of the local file, if the call broke off before it was read."""
        if sent.tag is not None:
            return sent
        try:
            digest = await self._link.threads.run(digest_file, sent.item.place)
        except (OSError, EMError):
            return sent  # changed or gone meanwhile: sending it again will say so
        return replace(sent, tag=digest.tag, sha256=digest.sha256)

    async def _send_again(self, missing: list[PendingConfirmation]) -> None:
        again: list[PendingConfirmation] = []
        for sent in missing:
            if not sent.listed:  # no listing tells: sending it again would not help to know
                await self._lost(sent)
                continue
            # not `sends`: what a busy EM refused, or another file broke off, is no chance that was used
            self._missed[sent.item] += sent.whole
            self._refused[sent.item] += sent.refused
            if self._missed[sent.item] >= _MAX_SENDS or self._refused[sent.item] >= _MAX_REFUSED:
                await self._lost(sent)
            else:
                again.append(sent)
        self._again.extend(sent.item for sent in again)
        if again:
            paths = tuple(sent.item.remote for sent in again)
            self._options.tell(Retrying(direction=Direction.UPLINK, paths=paths, reason=again[0].why))

    def _repacked(self) -> deque[UplinkCall]:
        again, self._again = self._again, []
        return deque(pack_again(again, limits=self._link.settings.limits))

    async def _done(self, files: list[tuple[PendingConfirmation, Verified, int | None]]) -> None:
        """Settle files that arrived: how that is proved, and the tag that the listing shows."""
        for sent, how, _ in files if self._options.on_event is not None else ():
            self._options.tell(Confirmed(direction=Direction.UPLINK, path=sent.item.remote, verified=how))
        endings = [
            FileResult(
                outcome=self._outcome(sent, OutcomeState.DONE, verified=how, moved=sent.item.fingerprint.size),
                tag=sent.tag,
                listed_tag=listed_tag,
            )
            for sent, how, listed_tag in files
        ]
        await self._roster.settle(endings)

    async def _lost(self, sent: PendingConfirmation) -> None:
        """Sent as often as is sensible, and still not there as it should be."""
        if sent.receipt and sent.listed:
            error = IntegrityError(
                f"{safe(sent.item.remote)}: sent {self._roster.sends(sent.item.remote)} times, but {sent.why}"
            )
            outcome = self._outcome(sent, OutcomeState.FAILED, error=error)
        else:
            outcome = self._outcome(sent, OutcomeState.UNKNOWN, reason=f"sent, but {sent.why}")
        await self._roster.settle([FileResult(outcome=outcome, tag=sent.tag)])

    async def _give_up(self, looked: Iterable[PendingConfirmation], error: EMError) -> None:
        """No listing to be had: nothing is known of what was sent."""
        self._fatal_error = self._fatal_error or error
        reason = f"sent, but the volume could not be listed ({error}); run the same call again to find out"
        outcomes = [self._outcome(sent, OutcomeState.UNKNOWN, reason=reason) for sent in looked]
        await self._roster.settle([FileResult(outcome=outcome) for outcome in outcomes])

    async def _fail(self, files: Sequence[tuple[UplinkItem, Exception]]) -> None:
        outcomes = [
            Outcome(
                path=item.remote,
                place=item.place,
                direction=Direction.UPLINK,
                state=OutcomeState.FAILED,
                attempts=self._roster.sends(item.remote),
                error=error,
            )
            for item, error in files
        ]
        await self._roster.settle([FileResult(outcome=outcome) for outcome in outcomes])

    def _outcome(
        self,
        sent: PendingConfirmation,
        state: OutcomeState,
        *,
        verified: Verified = Verified.NONE,
        moved: int = 0,
        error: Exception | None = None,
        reason: str | None = None,
    ) -> Outcome:
        return Outcome(
            path=sent.item.remote,
            place=sent.item.place,
            direction=Direction.UPLINK,
            state=state,
            bytes=moved,
            sha256=sent.sha256,
            verified=verified,
            attempts=self._roster.sends(sent.item.remote),
            seconds=sent.seconds,
            busy_seconds=sent.busy_s,
            reason=reason,
            error=error,
        )


def next_look_s(began_s: float, ended_s: float) -> float:
    """When to list again, on the clock of a listing that began and ended so."""
    return ended_s + max(_LIST_EVERY_S, (ended_s - began_s) * (1 / _LIST_SHARE - 1))


def _tag_samples(looked: Iterable[PendingConfirmation], tree: FileTree) -> Iterator[tuple[FileEntry, int]]:
    """What teaches how this server makes tags: files it says it took, listed with a tag and the size that was sent. One
    without content teaches nothing: it would be right although all others are old."""
    for sent in looked:
        entry = tree.get(sent.item.remote)
        if not sent.receipt or sent.tag is None or entry is None or entry.content_tag is None or not entry.size:
            continue
        if entry.size == sent.item.fingerprint.size:
            yield entry, sent.tag


def _places(call: UplinkCall) -> list[tuple[RemotePath, str]]:
    return [(item.remote, item.place) for item in call.items]
