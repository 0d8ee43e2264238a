"""What a listing proves about files that were sent.

Owns: the judgement of one sent file. Pure. May import model and tags.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from emasync.model import FileEntry, Verified, Verify
from emasync.transfer.tags import TagRule, TagTrust


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`arrived`: the listing shows the file as it was sent, proved by `how`. Otherwise `why` not, for a person."""

    arrived: bool
    how: Verified = Verified.NONE
    why: str = ""


def judge_sent(
    entry: FileEntry | None, *, size: int, tag: int | None, counted: bool, tags: TagRule, verify: Verify
) -> Verdict:
    """Whether `entry` is the file of `size` bytes and content tag `tag` that was sent.

    The tag counts where this server's tags are proven, or nothing is known of them yet (then a difference means a
    different file, which at worst costs sending it once more). Where tags are of no use the size has to do, but only
    if the server counted the file (`counted`): after a lost answer an older file of that size proves nothing.
    """
    if entry is None:
        return Verdict(arrived=False, why="it is not in the listing")
    if entry.size is not None and entry.size != size:
        return Verdict(arrived=False, why=f"the listing shows {entry.size} bytes, {size} were sent")
    comparable = tag is not None and entry.content_tag is not None and tags.trust is not TagTrust.REFUTED
    if comparable and (verify == "content" or not counted):
        if entry.content_tag == tag:
            return Verdict(arrived=True, how=Verified.TAG)
        return Verdict(arrived=False, why="the listing shows another content tag than that of the bytes sent")
    if not counted:
        return Verdict(arrived=False, why="the answer was lost, and this server's tags cannot tell what is there")
    return Verdict(arrived=True, how=Verified.SIZE if entry.size is not None else Verified.COUNT)


def learn_from_sent(pairs: Iterable[tuple[FileEntry, int]], tags: TagRule) -> None:
    """Let `tags` learn from files just sent: one match proves the rule; it is refuted only if there is no match among
    all of them, since any single one may have been damaged. `pairs`: listing entry and tag of the bytes sent."""
    other: tuple[int, int] | None = None
    for entry, tag in pairs:
        if entry.content_tag is None or not entry.size:
            continue
        if entry.content_tag == tag:
            tags.learn(tag, tag)
            return
        other = (entry.content_tag, tag)
    if other is not None:
        tags.learn(*other)
