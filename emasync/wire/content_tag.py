"""How the content tag (the `hash` of a list entry) is computed, so that a listing can prove what was stored.

The rule is not documented, so callers confirm it on a file whose bytes they know before they rely on it. A module of
its own because simulator and benchmarks need just this. Must not import anything of emasync.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash


def new_md5() -> _Hash:
    """A new MD5 object for `tag_of_digest`; works on systems that forbid MD5 for security, too."""
    return hashlib.md5(usedforsecurity=False)


def tag_of_digest(md5_digest: bytes) -> int:
    """The tag of the file with this MD5: the digest's last 8 bytes, big-endian, as a signed number.

    The vendor does not document it. It was found on the one file of which both the bytes and the listing are
    published: 121 bytes, MD5 ``0331450d8c126290a8c67c8e396500e1``, listed as ``-6285199279658827551``. It detects
    accidental changes, not forged ones. ValueError if `md5_digest` is not 16 bytes long.
    """
    if len(md5_digest) != 16:
        raise ValueError(f"an MD5 digest has 16 bytes, not {len(md5_digest)}")
    return int.from_bytes(md5_digest[8:], "big", signed=True)


def content_tag(data: bytes) -> int:
    """The tag of a file that holds `data`; see `tag_of_digest`."""
    return tag_of_digest(hashlib.md5(data, usedforsecurity=False).digest())
