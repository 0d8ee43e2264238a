"""What a listing proves about a file that was sent.

Owns: the judgement of one sent file. Pure. May import model and tag_compatibility.
"""

from __future__ import annotations

from dataclasses import dataclass

from emasync.model import FileEntry, FileTree, RemotePath, Verified, Verify, safe
from emasync.transfer.tag_compatibility import TagCompatibility


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`arrived`: the listing shows the file as it was sent, `verified` as that says. Otherwise `mismatch_reason` says
    why not; `listed` is False where the listing does not give the contents of the file's folder."""

    arrived: bool
    verified: Verified = Verified.NONE
    mismatch_reason: str = ""
    listed: bool = True


def verify_sent(
    path: RemotePath,
    tree: FileTree,
    *,
    size: int,
    tag: int | None,
    counted: bool,
    tags: TagCompatibility,
    verify: Verify,
    resent: bool = False,
) -> Verdict:
    """Whether `tree` shows at `path` the file of `size` bytes and content tag `tag` that was sent.

    While it is not known whether this server's tags follow the known rule, another tag may mean another content: the
    file is to be sent once more (`resent`), then its size has to do. Where tags are of no use the size has to do at
    once. Either way only if the server counted the file (`counted`): after a lost answer an older file of that size
    proves nothing.
    """
    entry = tree.get(path)
    if entry is None:
        if (folder := tree.unknown_above(path)) is not None:
            what = f"of {safe(folder)}" if folder else "of the volume"
            return Verdict(
                arrived=False, mismatch_reason=f"the listing does not give the contents {what}", listed=False
            )
        return Verdict(arrived=False, mismatch_reason="it is not in the listing")
    if entry.size is not None and entry.size != size:
        return Verdict(arrived=False, mismatch_reason=f"the listing shows {entry.size} bytes, {size} were sent")
    return _compare_tags(entry, tag=tag, counted=counted, tags=tags, verify=verify, resent=resent)


def _compare_tags(
    entry: FileEntry, *, tag: int | None, counted: bool, tags: TagCompatibility, verify: Verify, resent: bool
) -> Verdict:
    by_size = Verdict(arrived=True, verified=Verified.SIZE if entry.size is not None else Verified.COUNT)
    comparable = tag is not None and entry.content_tag is not None
    if comparable and entry.content_tag == tag and (verify == "content" or not counted):
        return Verdict(arrived=True, verified=Verified.TAG)
    differs = comparable and not tags.incompatible
    if differs and verify == "content" and not (counted and resent and not tags.confirmed):
        return Verdict(
            arrived=False, mismatch_reason="the listing shows another content tag than that of the bytes sent"
        )
    if not counted:
        why = "another content tag is listed" if differs else "this server's tags cannot tell what is there"
        return Verdict(arrived=False, mismatch_reason=f"the answer was lost, and {why}")
    return by_size
