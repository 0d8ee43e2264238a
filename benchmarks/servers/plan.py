"""What a benchmark server holds and how it behaves, as a value that crosses into its process as JSON.

Owns: the value. May import nothing of emasync.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeFile:
    """A file of the volume whose encoded answer lies in a file on this machine, to be sent by sendfile."""

    path: str
    answer: str
    size: int
    tag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFile:
    """A file that will be uplinked."""

    name: str
    size: int
    tag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """`small` files of `small_size` bytes each lie in the folder ``data`` of the volume.

    `hold_s` passes before any call is answered; with `exclusive` any other call is answered 423 meanwhile.
    `room` is memory for uplinked bodies in bytes, touched before the server says that it is ready.
    `known` large files need not be searched for their end nor hashed for the listing while the client waits: the time
    an EM takes is not the client's. What really arrived is told by the control channel.
    """

    small: int = 0
    small_size: int = 0
    large: tuple[LargeFile, ...] = ()
    hold_s: float = 0.0
    exclusive: bool = False
    room: int = 0
    known: tuple[KnownFile, ...] = ()

    def dump(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> ServerPlan:
        """The plan that `dump` wrote."""
        data = json.loads(text)
        large = tuple(LargeFile(**file) for file in data["large"])
        known = tuple(KnownFile(**file) for file in data["known"])
        return cls(**{**data, "large": large, "known": known})
