"""Proving by reading: one small file whose bytes are fetched tells whether this server's tags follow the known rule.

Owns: which file is read. May import link, endpoints and wire.
"""

from __future__ import annotations

from collections.abc import Iterable

from emasync.caller import Account
from emasync.model import FileEntry
from emasync.transfer.link import Link
from emasync.wire.content_tag import content_tag

_LIMIT = 4 * 1024 * 1024  # the largest file that is fetched only to learn how this server computes tags


async def tag_by_reading(link: Link, entries: Iterable[FileEntry], *, account: Account) -> tuple[FileEntry, int] | None:
    """The smallest of `entries` that has a tag, and the tag of its bytes as they come; None if none is small enough."""
    small = [one for one in entries if one.content_tag is not None and one.size and one.size <= _LIMIT]
    if not small:
        return None
    entry = min(small, key=lambda one: one.size or 0)
    try:
        return entry, content_tag(await link.files.read(entry.path, account=account))
    except ValueError:  # a name that no request can carry
        return None
