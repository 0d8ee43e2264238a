"""What proves a file that was sent, and whether this server's content tags follow the known rule.

Pure, but for `probe_tags`, which reads files of the EM to find that out. The rule itself is in `wire.content_tag`. Must
not import http or disk.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from heapq import nsmallest

from emasync.api.files import Files, ReadFile
from emasync.errors import AuthError, BusyError, EMError
from emasync.model import FileEntry, FileTree, RemotePath, Verified, safe
from emasync.wire.content_tag import content_tag

_FILES_TO_REFUTE = 2  # one file that differs may be damaged, or was rewritten between two calls
_LIFETIME_S = 7 * 86_400.0  # addresses are reused: behind this one may be another server by then

_MAX_PROBED_BYTES = 4 * 1024 * 1024  # bytes of a file that is read only to learn how this server computes tags
_MAX_PROBED_FILES = 4  # smallest first


class TagState(StrEnum):
    """`unknown`: no evidence, or not enough. `confirmed`: a listed tag was that of known bytes (by chance: 1 in 2^64).
    `incompatible`: several files, each read while its entry in the listing did not change, had another tag."""

    UNKNOWN = "unknown"
    CONFIRMED = "confirmed"
    INCOMPATIBLE = "incompatible"


class TagCompatibility:
    """What one client knows of one server's tags. `clock` gives unix seconds: what was learned holds for seven days.

    >>> tags = TagCompatibility()
    >>> tags.mismatch("a.bin")
    >>> tags.state
    <TagState.UNKNOWN: 'unknown'>
    >>> tags.mismatch("b.bin")
    >>> tags.incompatible
    True
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._state = TagState.UNKNOWN
        self._learned_at = 0.0
        self._mismatched: dict[str, float] = {}  # and when

    @property
    def state(self) -> TagState:
        """What is known now."""
        if self._state is not TagState.UNKNOWN and not 0 <= self._clock() - self._learned_at < _LIFETIME_S:
            self._learn(TagState.UNKNOWN)
        return self._state

    @property
    def confirmed(self) -> bool:
        """Whether a tag may stand for the content."""
        return self.state is TagState.CONFIRMED

    @property
    def incompatible(self) -> bool:
        """Whether a tag says nothing of the content here."""
        return self.state is TagState.INCOMPATIBLE

    def match(self) -> None:
        """A listed tag was the tag of known bytes: whatever was thought before, the rule holds."""
        self._learn(TagState.CONFIRMED)

    def mismatch(self, path: str) -> None:
        """The file at `path` was read, its bytes are certain, its entry was the same in a listing before and in one
        after the read, and the listed tag is another one than that of the bytes.

        One file changes nothing: it may have been changed and changed back. A second one makes an unknown rule an
        incompatible one, and a confirmed rule an unknown one, which is to be found out again.
        """
        now = self._clock()
        recent = {known: at for known, at in self._mismatched.items() if 0 <= now - at < _LIFETIME_S}
        self._mismatched = {**recent, path: now}
        if len(self._mismatched) < _FILES_TO_REFUTE:
            return
        if self.state is TagState.CONFIRMED:
            self._learn(TagState.UNKNOWN)
        else:
            self._learn(TagState.INCOMPATIBLE)

    def _learn(self, state: TagState) -> None:
        self._state = state
        self._learned_at = self._clock()
        self._mismatched.clear()


async def probe_tags(
    files: Files,
    tags: TagCompatibility,
    entries: Iterable[FileEntry],
    *,
    sent: Mapping[str, int] | None = None,
    relist: Callable[[], Awaitable[FileTree]] | None = None,
) -> None:
    """Let `tags` learn from the smallest of `entries` (of a listing) that have a tag and are small enough.

    A file whose bytes have the listed tag confirms the rule. A file whose tag differs is evidence against it only if
    its bytes are certain, and a listing that `relist` makes after the read still shows the very same entry; without
    `relist` it is no evidence. Bytes are certain that come with their SHA-256, or have the tag of what was `sent` (by
    path): others may have been damaged, every file in the same way. A file that cannot be read is passed over. Raises
    AuthError and BusyError, and what `relist` raises.
    """
    small = (
        entry for entry in entries if entry.content_tag is not None and entry.size and entry.size <= _MAX_PROBED_BYTES
    )
    mismatched: list[tuple[FileEntry, int]] = []
    for entry in nsmallest(_MAX_PROBED_FILES, small, key=lambda entry: (entry.size or 0, entry.path)):
        read = await _read(files, entry)
        if read is None:
            continue
        tag = content_tag(read.data)
        if tag == entry.content_tag:
            tags.match()
            return
        if read.claims.sha256 is not None or (sent is not None and sent.get(entry.path) == tag):
            mismatched.append((entry, tag))
    if not mismatched or relist is None:
        return
    fresh = await relist()
    for entry, tag in mismatched:
        now = fresh.get(entry.path)
        if now is not None and now.content_tag == tag:
            tags.match()
            return
        if now == entry:
            tags.mismatch(entry.path)


async def _read(files: Files, entry: FileEntry) -> ReadFile | None:
    try:
        return await files.read_with_claims(entry.path, expected_size=entry.size)
    except (AuthError, BusyError):
        raise
    except (EMError, ValueError):  # ValueError: a name that no request can carry
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`arrived`: the listing shows the file as it was sent, `verified` as that says. Otherwise `mismatch_reason` says
    why not; `listed` is False where the listing does not give the contents of the file's folder."""

    arrived: bool
    verified: Verified = Verified.NONE
    mismatch_reason: str = ""
    listed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """A file of `size` bytes and content tag `tag` (None where that was not computed) that was sent to `path`.

    `acknowledged`: the server counted it. `resent`: it was sent again since a listing showed another tag.
    """

    path: RemotePath
    size: int
    tag: int | None
    acknowledged: bool
    resent: bool = False


def verify_sent(file: SentFile, tree: FileTree, *, tags: TagCompatibility, by_content: bool) -> Verdict:
    """Whether `tree` shows the file that was sent.

    While it is not known whether this server's tags follow the known rule, another tag may mean another content: the
    file is to be sent once more, then its size has to do. Where tags are of no use the size has to do at once. Either
    way only if the server counted the file: after a lost response an older file of that size proves nothing.
    """
    entry = tree.get(file.path)
    if entry is None:
        if (folder := tree.unknown_above(file.path)) is not None:
            what = f"of {safe(folder)}" if folder else "of the volume"
            return Verdict(
                arrived=False, mismatch_reason=f"the listing does not give the contents {what}", listed=False
            )
        return Verdict(arrived=False, mismatch_reason="it is not in the listing")
    if entry.size is not None and entry.size != file.size:
        return Verdict(arrived=False, mismatch_reason=f"the listing shows {entry.size} bytes, {file.size} were sent")
    return _compare_tags(file, entry, tags=tags, by_content=by_content)


def _compare_tags(file: SentFile, entry: FileEntry, *, tags: TagCompatibility, by_content: bool) -> Verdict:
    comparable = file.tag is not None and entry.content_tag is not None
    if comparable and entry.content_tag == file.tag and (by_content or not file.acknowledged):
        return Verdict(arrived=True, verified=Verified.TAG)
    differs = comparable and not tags.incompatible
    if differs and by_content and not (file.acknowledged and file.resent and not tags.confirmed):
        why = "the listing shows another content tag than that of the bytes sent"
        return Verdict(arrived=False, mismatch_reason=why)
    if not file.acknowledged:
        why = "another content tag is listed" if differs else "this server's tags cannot tell what is there"
        return Verdict(arrived=False, mismatch_reason=f"the answer was lost, and {why}")
    return Verdict(arrived=True, verified=Verified.SIZE if entry.size is not None else Verified.COUNT)
