"""Finding out by reading whether this server's content tags follow the known rule.

Owns: which files are read, and what counts as evidence. May import link, endpoints and wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from heapq import nsmallest

from emasync.api.files import ReadFile
from emasync.errors import AuthError, BusyError, EMError
from emasync.http.pipeline import RequestStats
from emasync.model import FileEntry, FileTree
from emasync.transfer.context import TransferContext
from emasync.wire.content_tag import content_tag

_LARGEST = 4 * 1024 * 1024  # bytes of a file that is read only to learn how this server computes tags
_FILES = 4  # that are read at the most, smallest first


async def probe_tags(
    link: TransferContext,
    entries: Iterable[FileEntry],
    *,
    account: RequestStats,
    sent: Mapping[str, int] | None = None,
    relist: Callable[[], Awaitable[FileTree]] | None = None,
) -> None:
    """Let `link.tags` learn from the smallest of `entries` (of a listing) that have a tag and are small enough.

    A file whose bytes have the listed tag confirms the rule. One that differs is evidence against it only if its bytes
    are certain, and a listing that `relist` makes after the read still shows the very same entry; without `relist` it
    is none. Bytes are certain that come with their SHA-256, or with the tag of what was `sent` (by path): others may
    have been damaged, every file in the same way. A file that cannot be read tells nothing. Raises AuthError and
    BusyError, and what `relist` raises.
    """
    small = (one for one in entries if one.content_tag is not None and one.size and one.size <= _LARGEST)
    mismatched: list[tuple[FileEntry, int]] = []
    for entry in nsmallest(_FILES, small, key=lambda one: (one.size or 0, one.path)):
        read = await _read(link, entry, account)
        if read is None:
            continue
        tag = content_tag(read.data)
        if tag == entry.content_tag:
            link.tags.match()
            return
        if read.claims.sha256 is not None or (sent is not None and sent.get(entry.path) == tag):
            mismatched.append((entry, tag))
    if not mismatched or relist is None:
        return
    fresh = await relist()
    for entry, tag in mismatched:
        now = fresh.get(entry.path)
        if now is not None and now.content_tag == tag:
            link.tags.match()
            return
        if now == entry:
            link.tags.mismatch(entry.path)


async def _read(link: TransferContext, entry: FileEntry, account: RequestStats) -> ReadFile | None:
    try:
        return await link.files.read_with_claims(entry.path, account=account, expected_size=entry.size)
    except (AuthError, BusyError):
        raise
    except (EMError, ValueError):  # ValueError: a name that no request can carry
        return None
