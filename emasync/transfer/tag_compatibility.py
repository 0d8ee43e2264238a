"""Whether this server's content tags are computed by the known rule, learned from files whose bytes are known.

Owns: the three states of that knowledge, and what it takes to change them. Pure; imports nothing of emasync. The rule
itself is in `wire.content_tag`; reading a file to find out is in `tag_probe`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

_FILES_TO_REFUTE = 2  # one file that differs may be damaged, or was rewritten between two calls
_LIFETIME_S = 7 * 86_400.0  # addresses are reused: behind this one may be another server by then


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

    @property
    def learned_at(self) -> float | None:
        """When the state was learned (unix seconds); None while it is unknown."""
        return None if self.state is TagState.UNKNOWN else self._learned_at

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
