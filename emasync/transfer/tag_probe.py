"""Finding out by reading whether this server's content tags follow the known rule.

Owns: which files are read, and what counts as evidence. May import link, endpoints and wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from heapq import nsmallest

from emasync.caller import Account
from emasync.errors import AuthError, BusyError, EMError
from emasync.model import FileEntry, FileTree
from emasync.transfer.link import Link
from emasync.wire.content_tag import content_tag

_LARGEST = 4 * 1024 * 1024  # bytes of a file that is read only to learn how this server computes tags
_FILES = 4  # that are read at the most, smallest first


async def probe_tags(
    link: Link,
    entries: Iterable[FileEntry],
    *,
    account: Account,
    relist: Callable[[], Awaitable[FileTree]] | None = None,
) -> None:
    """Let `link.tags` learn from the smallest of `entries` (of a listing) that have a tag and are small enough.

    A file whose bytes have the listed tag confirms the rule. One that differs is evidence against it only if a listing
    that `relist` makes after the read still shows the very same entry; without `relist` it is none. Where the answer
    carries no SHA-256, the bytes must also come twice alike. A file that cannot be read tells nothing. Raises AuthError
    and BusyError, and what `relist` raises.
    """
    small = (one for one in entries if one.content_tag is not None and one.size and one.size <= _LARGEST)
    mismatched: list[tuple[FileEntry, int]] = []
    for entry in nsmallest(_FILES, small, key=lambda one: (one.size or 0, one.path)):
        tag = await _tag_of(link, entry, account)
        if tag is not None and tag == entry.content_tag:
            link.tags.match()
            return
        if tag is not None:
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


async def _tag_of(link: Link, entry: FileEntry, account: Account) -> int | None:
    """The tag of the bytes that the EM gives for `entry`; None where they are not certain."""
    try:
        first = await link.files.read_with_claims(entry.path, account=account, expected_size=entry.size)
        if first.claims.sha256 is None and content_tag(first.data) != entry.content_tag:
            again = await link.files.read_with_claims(entry.path, account=account, expected_size=entry.size)
            if again.data != first.data:
                return None
    except (AuthError, BusyError):
        raise
    except (EMError, ValueError):  # ValueError: a name that no request can carry
        return None
    return content_tag(first.data)
