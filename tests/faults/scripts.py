"""A script: one way in which a server goes wrong, and how each call that meets it may end.

Owns: the value and the words for ends. May import raw_server. The scripts themselves are in `scripts_*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.faults.raw_server import TARGETS, Play, Target

Sort = Literal["fault", "input"]
"""`fault`: the connection or the EM fails. `input`: what arrives is malformed, or not what it should be."""

GET_ONLY = "a GET has no body that could be answered early, or not be read"
NO_JSON = "a raw downlink holds no JSON"
NO_FILE = "the answer holds no file"
LIST_ONLY = "about the shape of a listing"

DEAD, LATE, JUNK, WRONG = "UnreachableError", "TimedOutError", "ProtocolError", "IntegrityError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """`play` is the server's part. `ends`: by call, how it may end if this happens every time: names of error classes,
    ``done`` or ``unknown``, with ``|`` between. `not_for`: by call, why there is no such case. `most`: the most
    requests that the call may then cost. `upload`: bytes of each file of an uplink."""

    name: str
    play: Play
    ends: Mapping[Target, str]
    not_for: Mapping[Target, str] = field(default_factory=dict)
    sort: Sort = "fault"
    most: int = 3
    upload: int = 700

    def __post_init__(self) -> None:
        if {*self.ends, *self.not_for} != {*TARGETS} or {*self.ends} & {*self.not_for}:
            raise ValueError(f"{self.name}: each call needs its ends, or the reason why it has none")

    def may_end(self, target: Target) -> frozenset[str]:
        """How a call may end that meets this script every time."""
        return frozenset(self.ends[target].split("|"))


def every(gets: str, up: str, **exceptions: str) -> dict[Target, str]:
    """Ends of the three GETs and of the uplink; `exceptions` by call."""
    ends: dict[Target, str] = {"list": gets, "json": gets, "raw": gets, "up": up}
    return {target: exceptions.get(target, end) for target, end in ends.items()}


def uplink_only(ends: str) -> dict[Target, str]:
    """Ends of the uplink, to go with `not_for=NOT_FOR_GETS`."""
    return {"up": ends}


NOT_FOR_GETS: Mapping[Target, str] = {"list": GET_ONLY, "json": GET_ONLY, "raw": GET_ONLY}
NOT_FOR_RAW: Mapping[Target, str] = {"raw": NO_JSON}
