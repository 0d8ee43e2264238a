"""Proving by reading: one small file whose bytes are fetched tells whether this server's tags follow the known rule.

Owns: which file is read, and what that teaches. May import link, endpoints and wire.
"""

from __future__ import annotations

from collections.abc import Iterable

from emasync.caller import Account
from emasync.model import FileEntry
from emasync.transfer.link import Link
from emasync.wire.content_tag import content_tag

_LIMIT = 4 * 1024 * 1024  # the largest file that is fetched only to learn how this server computes tags


async def prove_by_reading(
    link: Link, entries: Iterable[FileEntry], *, account: Account, only_proof: bool = False
) -> None:
    """Let `link.tags` learn from the smallest of `entries` that has a tag, unless none is small enough. With
    `only_proof` a tag that differs teaches nothing. Raises what reading raises."""
    small = (one for one in entries if one.content_tag is not None and one.size and one.size <= _LIMIT)
    entry = min(small, key=lambda one: one.size or 0, default=None)
    if entry is None:
        return
    try:
        tag = content_tag(await link.files.read(entry.path, account=account))
    except ValueError:  # a name that no request can carry
        return
    if tag == entry.content_tag or not only_proof:
        link.tags.learn(entry.content_tag, tag)
