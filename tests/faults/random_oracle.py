"""The oracle of random schedules: what a `History` says against the report of an operation.

Owns: the invariants I1, I2, I3, I9, I10 and I11 as questions to a history. Pure. Of emasync it knows the values of a
report. A finding names its kind and what was seen; no finding is [].
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from emasync import Outcome, OutcomeState, TransferReport
from tests.faults.random_history import History, Listing, Request, Side, Version, below, joined

Way = Literal["uplink", "downlink", "sync_up", "sync_down"]

_UP: Final = ("uplink", "sync_up")
_SYNCS: Final = ("sync_up", "sync_down")
_SAME: Final = ("same content", "unchanged since", "content unknown", "earlier run")
"""Words of a reason by which a skipped file is called the same on both sides."""


class Kind(StrEnum):
    """What kind of promise was broken."""

    WRONG_BYTES = "wrong bytes"
    FALSE_DONE = "called done, the sides were never equal"
    FALSE_SKIP = "called the same, the sides were never equal"
    TAG_RULE = "skipped as content unknown, the sides were never equal"
    JOURNAL = "called unchanged since an earlier run, the sides were never equal"
    NO_OUTCOME = "not exactly one outcome with its reason"
    LOST_CHANGE = "the sides stay different"
    LOST_EDIT = "a local change made after the scan is gone"
    UNPROVED_DELETION = "deleted without an answer that proves it"
    EMPTY_SOURCE = "deleted because of an empty or missing source"
    STALE_DELETION = "deleted on the EM although a listing showed that it had changed"
    FALSE_DELETED = "called deleted without proof"
    OUTSIDE = "changed what the operation has no business with"
    RAISED = "raised what is no error of emasync"
    RESIDUE = "left something behind"


WRONG: Final = frozenset(
    {Kind.WRONG_BYTES, Kind.FALSE_DONE, Kind.FALSE_SKIP, Kind.TAG_RULE, Kind.JOURNAL, Kind.FALSE_DELETED}
)
LOST: Final = frozenset({Kind.NO_OUTCOME, Kind.LOST_CHANGE, Kind.LOST_EDIT})
DELETED: Final = frozenset({Kind.UNPROVED_DELETION, Kind.EMPTY_SOURCE, Kind.STALE_DELETION})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A broken promise. `path` is remote."""

    kind: Kind
    path: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}{f' ({self.text})' if self.text else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is asked of a Client. `prefix` is the remote folder, the local one is always the same. `consent`: an empty
    source may empty the target."""

    way: Way
    prefix: str
    delete: bool = False
    consent: bool = False
    dry_run: bool = False
    max_delete: int | None = None

    @property
    def up(self) -> bool:
        """Whether local files are the source."""
        return self.way in _UP

    @property
    def source(self) -> Side:
        return "local" if self.up else "remote"

    @property
    def target(self) -> Side:
        return "remote" if self.up else "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An operation that ran from the moment `begin` to `end`. `report` None: it raised `error`, or was cancelled."""

    operation: Operation
    begin: int
    end: int
    report: TransferReport | None = None
    error: Exception | None = field(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found, and the deletions on the EM that came to late for any listing to show it (nobody can avoid
    them: the API deletes unconditionally)."""

    findings: list[Finding]
    raced_deletions: int = 0
    deletions: int = 0


def judge(ended: Ended, history: History) -> Verdict:
    """Everything that `history` says against this operation."""
    one = _Judge(ended, history)
    findings = [*one.changes(), *one.ends(), *one.missing(), *one.too_many()]
    return Verdict(findings=findings, raced_deletions=one.raced, deletions=one.deletions)


def differences(operation: Operation, history: History) -> list[Finding]:
    """What still differs between the two sides after an operation that nothing disturbed, by the files as they are."""
    here = history.tree("local", history.now)
    there = {
        path.removeprefix(f"{operation.prefix}/"): data
        for path, data in history.tree("remote", history.now).items()
        if below(path, operation.prefix)
    }
    source, target = (here, there) if operation.up else (there, here)
    found = [
        Finding(kind=Kind.LOST_CHANGE, path=joined(operation.prefix, path), text=_difference(data, target.get(path)))
        for path, data in source.items()
        if target.get(path) != data
    ]
    extra = sorted(set(target) - set(source)) if operation.delete else []
    return found + [
        Finding(kind=Kind.LOST_CHANGE, path=joined(operation.prefix, path), text="only the target has it")
        for path in extra
    ]


def misled(history: History) -> set[str]:
    """Files of which a transfer brought, or took, other bytes than the next listing shows. Two of them are what a
    server with another rule of content tags looks like: no client can tell the difference."""
    found: set[str] = set()
    for request in history.requests:
        after = next((listing for listing in history.listings if listing.made >= request.moment), None)
        for path, data in request.sent.items():
            if after is not None and path in after.files and after.files[path] != data:
                found.add(path)
    return found


class _Judge:
    """One operation and its history."""

    def __init__(self, ended: Ended, history: History) -> None:
        self.raced = 0
        self.deletions = 0
        self._ended, self._operation, self._history = ended, ended.operation, history
        self._begin, self._end = ended.begin, ended.end
        self._requests = [request for request in history.requests if ended.begin < request.moment <= ended.end]
        self._listings = [listing for listing in history.listings if ended.begin < listing.answered <= ended.end]
        later = [request.moment for request in self._requests if not request.endpoint.endswith("list")]
        self._scanned = later[0] if later else self._end
        """The first moment at which the local scan is over for certain: a call that needs it has arrived."""

    def changes(self) -> Iterator[Finding]:
        """What the client changed on disk and on the EM, version by version."""
        for side in ("local", "remote"):
            for path in self._history.paths(side):
                for version in self._history.during(side, path, self._begin, self._end)[1:]:
                    if version.actor == "client":
                        yield from self._change(side, path, version)

    def _change(self, side: Side, path: str, version: Version) -> Iterator[Finding]:
        operation = self._operation
        remote = path if side == "remote" else joined(operation.prefix, path)
        if side != operation.target or not below(remote, operation.prefix) or operation.dry_run:
            yield Finding(kind=Kind.OUTSIDE, path=remote, text=f"{side} file changed by {operation.way}")
            return
        if version.data is None:
            self.deletions += 1
            yield from self._deletion(path, remote, version)
        elif version.data not in self._contents(operation.source, remote, until=version.moment):
            yield Finding(kind=Kind.WRONG_BYTES, path=remote, text=f"{side}: {version.data[:12]!r}")
        if operation.way == "sync_down":
            yield from self._lost_edit(path, remote, version)

    def _contents(self, side: Side, remote: str, *, until: int | None = None) -> set[bytes]:
        end = self._end if until is None else until
        return self._history.contents(side, self._own(side, remote), self._begin, end)

    def _own(self, side: Side, remote: str) -> str:
        """`remote` as that side names it."""
        start = len(self._operation.prefix) + 1 if self._operation.prefix else 0
        return remote if side == "remote" else remote[start:]

    def _lost_edit(self, path: str, remote: str, version: Version) -> Iterator[Finding]:
        before = [one for one in self._history.all_of("local", path) if one.moment < version.moment][-1:]
        if before and before[0].actor == "other" and before[0].moment > self._scanned and before[0].data is not None:
            how = "deleted" if version.data is None else "overwritten"
            yield Finding(kind=Kind.LOST_EDIT, path=remote, text=how)

    def _deletion(self, path: str, remote: str, version: Version) -> Iterator[Finding]:
        operation = self._operation
        if operation.way not in _SYNCS or not operation.delete:
            yield Finding(kind=Kind.UNPROVED_DELETION, path=remote, text="nobody asked for it")
        elif operation.way == "sync_down":
            yield from self._local_deletion(remote, version)
        else:
            yield from self._remote_deletion(path, version)

    def _local_deletion(self, remote: str, version: Version) -> Iterator[Finding]:
        proofs = [
            listing for listing in self._listings if listing.answered < version.moment and listing.proves_absent(remote)
        ]
        prefix = self._operation.prefix
        if not proofs:
            yield Finding(kind=Kind.UNPROVED_DELETION, path=remote, text="here")
        elif not any(one.has_folder(prefix) for one in proofs):
            yield Finding(kind=Kind.EMPTY_SOURCE, path=remote, text="the remote folder does not exist")
        elif not self._operation.consent and all(one.is_empty(prefix) for one in proofs):
            yield Finding(kind=Kind.EMPTY_SOURCE, path=remote, text="the remote folder is empty")

    def _remote_deletion(self, path: str, version: Version) -> Iterator[Finding]:
        here = self._history.during("local", self._own("local", path), self._begin, version.moment)
        if all(one.data is not None for one in here):
            yield Finding(kind=Kind.UNPROVED_DELETION, path=path, text="it is here")
        if not self._operation.consent and not self._ever_a_source():
            yield Finding(kind=Kind.EMPTY_SOURCE, path=path, text="the local folder is empty")
        known = [listing for listing in self._listings if listing.answered < version.moment and path in listing.files]
        if not known:
            yield Finding(kind=Kind.UNPROVED_DELETION, path=path, text="no listing showed it")
            return
        yield from self._stale(path, version, known[0])

    def _ever_a_source(self) -> bool:
        """Whether there was a local file at some moment of the scan."""
        paths = self._history.paths("local")
        return any(self._history.contents("local", path, self._begin, self._scanned) for path in paths)

    def _stale(self, path: str, version: Version, seen: Listing) -> Iterator[Finding]:
        """A file that changed after the listing that the deletion was decided on. Only what changed after the last
        listing, made after the last transfer, is nobody's fault."""
        earlier = [one for one in self._history.all_of("remote", path) if one.moment < version.moment][-1]
        if earlier.data == seen.files[path]:
            return
        last = [listing for listing in self._listings if listing.answered < version.moment][-1]
        moved = [request.moment for request in self._requests if request.endpoint.endswith("uplink")]
        if earlier.moment > last.made and not any(last.made < one < version.moment for one in moved):
            self.raced += 1
        else:
            why = "a listing showed it" if earlier.moment <= last.made else "no listing was made after the transfers"
            yield Finding(kind=Kind.STALE_DELETION, path=path, text=why)

    def ends(self) -> Iterator[Finding]:
        """What the outcomes claim."""
        report, operation = self._ended.report, self._operation
        if report is None:
            return
        doomed = {joined(operation.prefix, one.path) for one in report.plan if one.action == "delete"}
        for outcome in report.outcomes:
            if outcome.state is OutcomeState.DONE and outcome.path in doomed:
                yield from self._called_deleted(outcome)
            elif outcome.state is OutcomeState.DONE:
                yield from self._called_done(outcome)
            elif outcome.state is OutcomeState.SKIPPED:
                yield from self._called_same(outcome)
            if outcome.state is not OutcomeState.DONE and not (outcome.reason or outcome.error):
                yield Finding(kind=Kind.NO_OUTCOME, path=outcome.path, text=f"{outcome.state} without a reason")

    def _ever_equal(self, remote: str) -> bool:
        return bool(self._contents("local", remote) & self._contents("remote", remote))

    def _called_done(self, outcome: Outcome) -> Iterator[Finding]:
        contents = self._contents(self._operation.source, outcome.path)
        if not self._ever_equal(outcome.path):
            yield Finding(kind=Kind.FALSE_DONE, path=outcome.path, text=f"verified={outcome.verified}")
        elif outcome.sha256 not in (None, *(hashlib.sha256(data).hexdigest() for data in contents)):
            yield Finding(kind=Kind.FALSE_DONE, path=outcome.path, text="with the SHA-256 of no version")

    def _called_same(self, outcome: Outcome) -> Iterator[Finding]:
        reason = outcome.reason or ""
        if not (outcome.verified in ("tag", "sha256") or any(words in reason for words in _SAME)):
            return
        if self._ever_equal(outcome.path):
            return
        kind = Kind.FALSE_SKIP
        if "unknown" in reason:
            kind = Kind.TAG_RULE
        elif "earlier" in reason or "since" in reason:
            kind = Kind.JOURNAL
        yield Finding(kind=kind, path=outcome.path, text=reason)

    def _called_deleted(self, outcome: Outcome) -> Iterator[Finding]:
        target, path = self._operation.target, outcome.path
        versions = self._history.during(target, self._own(target, path), self._begin, self._end)
        if all(version.data is not None for version in versions):
            yield Finding(kind=Kind.FALSE_DELETED, path=path, text="it is still there")
        elif target == "remote" and not self._deletion_answered(path):
            yield Finding(kind=Kind.FALSE_DELETED, path=path, text="the answer was lost, and no listing lacks it")

    def _deletion_answered(self, path: str) -> bool:
        """Whether an answer said that `path` is gone: that of the deletion, or a listing. One made before any deletion
        counts too: a client that sees it gone has nothing to delete."""
        asked = [
            request for request in self._requests if request.endpoint.endswith("delete") and request.subject == path
        ]
        if any(_settled(one) for one in asked):
            return True
        return any(listing.proves_absent(path) for listing in self._listings)

    def missing(self) -> Iterator[Finding]:
        """Files without an end, or with two. Only files that were there all the time, in every listing, are missed."""
        report, operation = self._ended.report, self._operation
        if report is None or operation.dry_run:
            return
        times = Counter(str(outcome.path) for outcome in report.outcomes)
        for path, count in times.items():
            if count > 1:
                yield Finding(kind=Kind.NO_OUTCOME, path=path, text=f"{count} outcomes")
        sides: tuple[Side, ...] = ("local", "remote") if operation.way in _SYNCS else (operation.source,)
        for side in sides:
            for path in self._constant(side):
                if not times[path]:
                    yield Finding(kind=Kind.NO_OUTCOME, path=path, text=f"{side}, there all the time")

    def _constant(self, side: Side) -> Iterator[str]:
        for path in self._history.paths(side):
            remote = path if side == "remote" else joined(self._operation.prefix, path)
            versions = self._history.during(side, path, self._begin, self._end)
            if not below(remote, self._operation.prefix) or any(version.data is None for version in versions):
                continue
            listed = all(
                listing.knows(remote) and (side == "local" or remote in listing.files) for listing in self._listings
            )
            if listed:
                yield remote

    def too_many(self) -> Iterator[Finding]:
        """More deletions than were agreed to."""
        allowed = self._operation.max_delete
        if allowed is not None and self.deletions > allowed:
            text = f"{self.deletions} deletions, {allowed} allowed"
            yield Finding(kind=Kind.UNPROVED_DELETION, path=self._operation.prefix, text=text)


def _settled(request: Request) -> bool:
    return request.answer in (200, 400, 404)


def _difference(data: bytes, other: bytes | None) -> str:
    if other is None:
        return "the target lacks it"
    return "same size" if len(other) == len(data) else "other size"
