"""Whether this server's content tags can be trusted: learned from files whose bytes are known.

Owns: the three states of that knowledge. Pure; imports nothing of emasync. What a tag is stands in `wire.content_tag`.
"""

from __future__ import annotations

from enum import StrEnum


class TagTrust(StrEnum):
    """`open`: nothing seen yet. `proven`: a listed tag was that of known bytes (chance: 1 in 2^64). `refuted`: known
    bytes were listed with another tag, and never the right one: this server counts differently."""

    OPEN = "open"
    PROVEN = "proven"
    REFUTED = "refuted"


class TagRule:
    """What one client knows of one server. Once proven it stays so: a later difference is a difference of content."""

    def __init__(self) -> None:
        self.trust = TagTrust.OPEN

    @property
    def proven(self) -> bool:
        """Whether a tag may stand for the content."""
        return self.trust is TagTrust.PROVEN

    @property
    def refuted(self) -> bool:
        """Whether a tag says nothing here."""
        return self.trust is TagTrust.REFUTED

    def learn(self, listed: int | None, known: int | None) -> None:
        """`known` is the tag of bytes that are certainly the file's; `listed` what the server shows for it."""
        if listed is None or known is None or self.proven:
            return
        self.trust = TagTrust.PROVEN if listed == known else TagTrust.REFUTED
