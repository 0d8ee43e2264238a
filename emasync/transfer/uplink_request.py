"""One uplink request of several files: send it, and report what is known of each of the files after it.

Each kind of failure means something else for the files of the request. Whether they arrived is decided by a listing, in
`uplink`, not here. Must not import uplink, run or engine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from emasync.errors import (
    BadRequestError,
    EMError,
    ServerError,
    SourceChangedError,
    TooLargeError,
    UnknownOutcomeError,
    UnsafePathError,
    is_out_of_files,
)
from emasync.http.pipeline import RequestStats
from emasync.model import Direction
from emasync.transfer.context import TransferRun
from emasync.transfer.events import Forwarding, Progress, Started
from emasync.transfer.planning.plan import UplinkCall, UplinkItem
from emasync.transfer.uplink_body import UplinkBody
from emasync.transfer.uplink_state import PendingConfirmation
from emasync.wire import requests
from emasync.wire.responses import UplinkReceipt, uplink_receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestResult:
    """What became of the files of one request.

    `sent` may have arrived and are to be confirmed by a listing; `unsent` did not leave and may be sent in another
    request; `failed` are final. `split`: the request was too large, its files go again in halves. `short`: no more
    files could be opened; for which of the unsent ones, and the error.
    """

    sent: tuple[PendingConfirmation, ...] = ()
    unsent: Sequence[UplinkItem] = ()
    failed: tuple[tuple[UplinkItem, Exception], ...] = ()
    split: bool = False
    short: tuple[Sequence[UplinkItem], Exception] | None = None

    def without_short(self) -> RequestResult:
        """The same result, with the files of `short` failed by its error."""
        if self.short is None:
            return self
        culprits, error = self.short
        unsent = tuple(item for item in self.unsent if item not in culprits)
        return replace(self, unsent=unsent, failed=tuple((item, error) for item in culprits), short=None)


class UplinkRequestSender:
    """Sends the uplink requests of one transfer; several tasks may use it at once."""

    def __init__(self, run: TransferRun, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._context = run.context
        self._options = run.options
        self._tracker = run.tracker
        self._clock = clock
        self._max_files = self._max_bytes = math.inf  # of a request, as far as refusals have shown

    async def send(self, call: UplinkCall, *, stats: RequestStats) -> RequestResult:
        """Send `call` as often as the retry table allows. Errors of the server or of a file become part of the result.

        The tracker is told which files leave. Cancellation drops the connection and closes the files.
        """
        if len(call.items) > 1 and (len(call.items) > self._max_files or call.bytes > self._max_bytes):
            return RequestResult(unsent=call.items, split=True)
        own = RequestStats(parent=stats)
        began = self._clock()
        bodies: list[UplinkBody] = []
        refused = False
        try:
            receipt = await self._request(call, bodies, own)
        except UnknownOutcomeError as error:
            counted, refused = False, isinstance(error.cause, ServerError) and error.cause.status == 500
        except (EMError, OSError) as error:
            return self._failed(call, error, bodies[-1] if bodies else None)
        else:
            counted = receipt.file_count is None or receipt.file_count == len(call.items)
        pending = PendingConfirmation(
            item=call.items[0],
            acknowledged=counted,
            server_error=refused,
            sha256=None,
            tag=None,
            seconds=self._clock() - began,
            busy_s=own.busy_s,
        )
        return RequestResult(sent=_pending(call.items, bodies[-1], pending))

    async def _request(self, call: UplinkCall, bodies: list[UplinkBody], stats: RequestStats) -> UplinkReceipt:
        """The server's receipt. `bodies` gets a fresh body for each sending: the last one knows what was read."""

        def body() -> UplinkBody:
            self._tracker.mark_sent(item.remote for item in call.items)
            bodies.append(self._body(call))
            return bodies[-1]

        attempts = self._context.pipeline.attempts(
            requests.uplink(), body=body, size=call.bytes, stats=stats, raise_shortage=True
        )
        async for attempt in attempts:
            async with attempt as response:
                receipt = uplink_receipt(await response.json())
        return receipt

    def _failed(self, call: UplinkCall, error: Exception, body: UplinkBody | None) -> RequestResult:
        if _too_many(error):
            self._learn(call, error)
            if len(call.items) > 1:
                return RequestResult(unsent=call.items, split=True)
        if body is not None and body.reading is not None and _of_a_file(error):
            culprit = call.items[body.reading]
            earlier, later = call.items[: body.reading], call.items[body.reading + 1 :]
            pending = PendingConfirmation(item=culprit, acknowledged=False, sha256=None, tag=None, complete=False)
            end = RequestResult(
                sent=_pending(earlier, body, pending), unsent=(culprit, *later), short=((culprit,), error)
            )
            return end if is_out_of_files(error) else end.without_short()
        if is_out_of_files(error):
            return RequestResult(unsent=call.items, short=(call.items, error))
        return RequestResult(failed=tuple((item, error) for item in call.items))

    def _learn(self, call: UplinkCall, error: Exception) -> None:
        """Send no more requests as large as `call`; if a single file was refused, the count was not the reason."""
        if isinstance(error, TooLargeError):
            self._max_bytes = min(self._max_bytes, call.bytes - 1)
        elif len(call.items) == 1:
            self._max_files = math.inf
        else:
            self._max_files = min(self._max_files, len(call.items) - 1)

    def _body(self, call: UplinkCall) -> UplinkBody:
        handed: dict[int, int] = {}
        observed = self._options.observed
        for item in call.items if observed else ():
            size, attempt = item.fingerprint.size, self._tracker.times_sent(item.remote)
            self._options.notify(Started(direction=Direction.UPLINK, path=item.remote, size=size, attempt=attempt))

        def progress(index: int, done: int) -> None:
            item = call.items[index]
            self._tracker.add_moved(item.remote, done - handed.get(index, 0))
            handed[index] = done
            if not observed:
                return
            size = item.fingerprint.size
            self._options.notify(Progress(direction=Direction.UPLINK, path=item.remote, bytes=done, size=size))

        def handed_over() -> None:
            self._options.notify(Forwarding(paths=tuple(item.remote for item in call.items), bytes=call.bytes))

        return UplinkBody(
            call.items,
            fields=requests.uplink_fields(self._context.volume, call.dest),
            threads=self._context.threads,
            pace=self._context.up,
            on_progress=progress,
            on_sent=handed_over,
        )


def halves(call: UplinkCall) -> tuple[UplinkCall, UplinkCall]:
    """`call` as two, for a server that takes fewer files or bytes in one."""
    middle = len(call.items) // 2
    first, second = call.items[:middle], call.items[middle:]
    return replace(call, items=first), replace(call, items=second)


def _pending(
    items: Sequence[UplinkItem], body: UplinkBody, common: PendingConfirmation
) -> tuple[PendingConfirmation, ...]:
    """The first files of `body`, as `common` but for what was read of each."""
    return tuple(
        replace(common, item=item, sha256=body.sha256.get(index), tag=body.tags.get(index))
        for index, item in enumerate(items)
    )


def _of_a_file(error: Exception) -> bool:
    """Whether reading a local file raised it, and not the server or the connection."""
    local = isinstance(error, OSError) and not isinstance(error, EMError)
    return local or isinstance(error, SourceChangedError | UnsafePathError)


def _too_many(error: Exception) -> bool:
    """Whether smaller calls may pass: a size limit, or the bare 400 of a limit on the number of parts."""
    if isinstance(error, TooLargeError):
        return True
    return isinstance(error, BadRequestError) and error.status == 400 and error.code is None and not error.fields
