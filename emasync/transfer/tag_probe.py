"""Finds out by reading files whether this server's content tags follow the known rule.

Decides which files are read, and what counts as evidence. May import verification, api and wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from heapq import nsmallest

from emasync.api.files import Files, ReadFile
from emasync.errors import AuthError, BusyError, EMError
from emasync.model import FileEntry, FileTree
from emasync.transfer.verification import TagCompatibility
from emasync.wire.content_tag import content_tag

_MAX_SIZE = 4 * 1024 * 1024  # bytes of a file that is read only to learn how this server computes tags
_MAX_FILES = 4  # smallest first


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
    small = (entry for entry in entries if entry.content_tag is not None and entry.size and entry.size <= _MAX_SIZE)
    mismatched: list[tuple[FileEntry, int]] = []
    for entry in nsmallest(_MAX_FILES, small, key=lambda entry: (entry.size or 0, entry.path)):
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
