"""The state of one uplink: which files were sent, which are missing, what is sent again, and when to list the volume.

Pure: no I/O and no event loop; times are passed in as seconds of one clock. `uplink` is the loop around it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from emasync.model import FileEntry, FileTree, RemotePath, Verified
from emasync.transfer.planning.plan import UplinkItem
from emasync.transfer.verification import SentFile, TagCompatibility, TagState, Verdict, verify_sent

_MAX_SENDS = 3  # of one file: what a listing does not show is sent again, and then once more
_MAX_SERVER_ERRORS = 2  # of these may end in a 500: the server says that it failed, and not only nothing
_MAX_PENDING = 10_000  # files that wait for a listing: the listing takes the EM's lock, the files take memory
_LIST_EVERY_S = 15.0  # while requests still run, so that outcomes do not all wait for the last one
_LIST_SHARE = 0.1  # of the time, at most: a listing of very many files takes the lock from uplinks for long
_SIZE_ONLY = "this server's content tags follow another rule than the known one: files are verified by size only"
_NOT_COMPARED = (
    "whether this server's content tags follow the known rule could not be found out: files whose listed tag differs "
    "were sent twice and are verified by size only"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingConfirmation:
    """A file that was sent and that no listing has confirmed yet.

    `acknowledged` is False when the response was lost or did not count all files: the file may have arrived.
    `complete` is False when a file behind it broke the request off; `server_error` is True when the server answered
    500. `mismatch_reason` is what the last listing showed against the file; `listed` is False where that listing does
    not give the contents of the file's folder.
    """

    item: UplinkItem
    acknowledged: bool
    sha256: str | None
    tag: int | None
    complete: bool = True
    server_error: bool = False
    seconds: float = 0.0
    busy_s: float = 0.0
    mismatch_reason: str = ""
    listed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSamples:
    """Sent files whose listed tag differs from that of their bytes: reading some tells whether the rule does.

    `sent` are the tags of the sent bytes by path. `conclusive`: the listing can no longer lag, so a difference counts
    as evidence against the rule.
    """

    entries: Sequence[FileEntry]
    sent: Mapping[str, int]
    conclusive: bool


class UplinkState:
    """What is known of the files of one uplink, which are verified `by_content` or not. `tags` is what the client knows
    of this server's content tags."""

    def __init__(self, *, by_content: bool, tags: TagCompatibility, now_s: float) -> None:
        self.pending: list[PendingConfirmation] = []
        self._by_content = by_content
        self._tags = tags
        self._unsent: list[UplinkItem] = []
        self._misses: Counter[UplinkItem] = Counter()  # how often a listing lacked a file that was sent
        self._server_errors: Counter[UplinkItem] = Counter()  # how many of these requests ended in a 500
        self._pending_limit = _MAX_PENDING
        self._next_listing_s = now_s + _LIST_EVERY_S
        self._first_unlike: tuple[float, frozenset[RemotePath]] | None = None  # the first listing with no right tag
        self._noted: set[str] = set()
        self._notes: list[str] = []

    @property
    def full(self) -> bool:
        """Whether so many files are pending that no more requests are to leave before a listing."""
        return len(self.pending) >= self._pending_limit

    def due(self, now_s: float) -> bool:
        """Whether it is time for a listing while requests still run."""
        return now_s >= self._next_listing_s

    @property
    def may_appear(self) -> bool:
        """Whether waiting for another listing is worth it: files of requests that a file broke off hardly arrived, and
        are sent again sooner than waited for."""
        return any(file.complete for file in self.pending)

    def add_unsent(self, items: Iterable[UplinkItem]) -> None:
        """Have files that did not leave sent in the next round."""
        self._unsent.extend(items)

    def take_unsent(self) -> list[UplinkItem]:
        """The files to send in the next round; afterwards there are none."""
        unsent, self._unsent = self._unsent, []
        return unsent

    def take_pending(self) -> deque[PendingConfirmation]:
        """The files to compare with a listing that begins now; afterwards none is pending."""
        pending, self.pending = deque(self.pending), []
        return pending

    def take_acknowledged(self) -> list[PendingConfirmation]:
        """The pending files that the server counted."""
        acknowledged = [file for file in self.pending if file.acknowledged]
        self.pending = [file for file in self.pending if not file.acknowledged]
        return acknowledged

    def take_notes(self) -> list[str]:
        """What the user should know and was not told yet; each note is given once."""
        notes, self._notes = self._notes, []
        return notes

    def listing_ended(self, *, began_s: float, ended_s: float) -> None:
        """Set when the next listing is due, after one that took from `began_s` to `ended_s`."""
        self._next_listing_s = ended_s + max(_LIST_EVERY_S, (ended_s - began_s) * (1 / _LIST_SHARE - 1))

    def raise_pending_limit(self) -> None:
        """Let as many more files be sent before the next listing, where a listing that lags lacks some."""
        self._pending_limit = len(self.pending) + _MAX_PENDING

    def compare(self, file: PendingConfirmation, tree: FileTree) -> Verdict:
        """Compare a file that was taken with a listing; a file that the listing does not confirm is pending again."""
        resent = self._misses[file.item] > 0
        sent = SentFile(
            path=file.item.remote,
            size=file.item.fingerprint.size,
            tag=file.tag,
            acknowledged=file.acknowledged,
            resent=resent,
        )
        verdict = verify_sent(sent, tree, tags=self._tags, by_content=self._by_content)
        if not verdict.arrived:
            self.pending.append(replace(file, mismatch_reason=verdict.mismatch_reason, listed=verdict.listed))
            return verdict
        by_size = verdict.verified is not Verified.TAG and self._by_content
        if by_size and resent and self._tags.state is TagState.UNKNOWN:
            self._note_once(_NOT_COMPARED)
        return verdict

    def learn_tags(
        self, sent: Iterable[PendingConfirmation], tree: FileTree, *, now_s: float, settled: bool, lag_s: float
    ) -> TagSamples | None:
        """Learn from a listing how this server makes tags; the samples that are to be read if it does not tell.

        One right tag confirms the rule. Without any, older files of these sizes may still be listed, or there. Only
        once a listing can lag no more (`settled`, or `lag_s` after the first listing without a right tag) a difference
        is evidence against the rule.
        """
        samples = dict(_tag_samples(sent, tree))
        if any(entry.content_tag == tag for entry, tag in samples.items()):
            self._tags.match()
            return None
        if not samples or self._tags.state is not TagState.UNKNOWN or not self._by_content:
            return None
        if self._first_unlike is None:
            self._first_unlike = (now_s, frozenset(entry.path for entry in samples))
        since_s, first = self._first_unlike
        return TagSamples(
            entries=[entry for entry in samples if settled or entry.path in first],  # later ones may still lag
            sent={entry.path: tag for entry, tag in samples.items()},
            conclusive=settled or now_s - since_s >= lag_s,
        )

    def note_incompatible_tags(self) -> None:
        """Note, once, that this server's tags cannot be compared, if that is so."""
        if self._tags.incompatible:
            self._note_once(_SIZE_ONLY)

    def take_missing(self) -> tuple[list[PendingConfirmation], list[PendingConfirmation]]:
        """What to do with the files that are pending after the last listing of a round: (sent again, lost).

        A file is lost that was sent as often as is sensible, or of which no listing tells.
        """
        again: list[PendingConfirmation] = []
        lost: list[PendingConfirmation] = []
        for file in self.take_pending():
            if not file.listed:  # sending it again would not help to know
                lost.append(file)
                continue
            # misses, not sends: what a busy EM refused, or another file broke off, is no chance that was used
            self._misses[file.item] += file.complete
            self._server_errors[file.item] += file.server_error
            used_up = self._misses[file.item] >= _MAX_SENDS or self._server_errors[file.item] >= _MAX_SERVER_ERRORS
            (lost if used_up else again).append(file)
        self.add_unsent(file.item for file in again)
        return again, lost

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._notes.append(text)


def _tag_samples(sent: Iterable[PendingConfirmation], tree: FileTree) -> Iterator[tuple[FileEntry, int]]:
    """The files that show how this server makes tags: acknowledged ones, listed with a tag and with the size that was
    sent. An empty file shows nothing: its tag would be right although all others are old."""
    for file in sent:
        entry = tree.get(file.item.remote)
        if not file.acknowledged or file.tag is None or entry is None or entry.content_tag is None or not entry.size:
            continue
        if entry.size == file.item.fingerprint.size:
            yield entry, file.tag
