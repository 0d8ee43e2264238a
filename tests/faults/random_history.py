"""What happened during a random schedule: every version of every file, every listing and every answer, in order.

Owns: the record that the server and the schedule write and that the oracle reads. Imports nothing of emasync.
A moment is a number that grows with every event; no clock is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["remote", "local"]
Actor = Literal["start", "client", "other", "damage"]
"""Who made a version: it was there at the start; emasync; a pod or a person; a server that stored something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The content of one file from `moment` on; None: the file is not there."""

    moment: int
    data: bytes | None
    actor: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A listing that was answered and that is one (`data` is a list). `made`: the moment that it shows, `answered`:
    when it was sent. `unknown`: folders that it names without telling their contents."""

    made: int
    answered: int
    files: Mapping[str, bytes] = field(repr=False)
    folders: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()

    def knows(self, path: str) -> bool:
        """Whether the contents of every folder on the way to `path` are told (or the folder is told to be missing)."""
        return not any(folder in self.unknown for folder in folders_above(path))

    def proves_absent(self, path: str) -> bool:
        """Whether this listing proves that there is no file `path`."""
        return path not in self.files and self.knows(path)

    def has_folder(self, folder: str) -> bool:
        """Whether `folder` is listed; the root always is."""
        return not folder or folder in self.folders

    def is_empty(self, folder: str) -> bool:
        """Whether no file below `folder` is listed."""
        return not any(below(path, folder) for path in self.files)


@dataclass(slots=True, kw_only=True)
class Request:
    """One call of the client. `sent`: files that it brought or took, by remote path. `answer`: a status; 0: none came
    back. `acted`: the server did what was asked."""

    endpoint: str
    moment: int
    subject: str = ""
    sent: dict[str, bytes] = field(default_factory=dict)
    acted: bool = False
    answer: int = 0
    answered: int | None = None


class History:
    """Grows while a schedule runs."""

    def __init__(self) -> None:
        self.now = 0
        self.listings: list[Listing] = []
        self.requests: list[Request] = []
        self.trace: list[str] = []
        self.struck = 0
        """Events and false answers so far."""
        self._versions: dict[tuple[Side, str], list[Version]] = {}

    def tick(self) -> int:
        """A new moment."""
        self.now += 1
        return self.now

    def record(self, side: Side, path: str, data: bytes | None, actor: Actor) -> None:
        """The file has this content from now on."""
        self._versions.setdefault((side, path), []).append(Version(moment=self.tick(), data=data, actor=actor))

    def note(self, text: str) -> None:
        """A line of the trace."""
        self.trace.append(f"{self.now:4} {text}")

    def paths(self, side: Side) -> list[str]:
        """Every path that ever had a version."""
        return sorted(path for one, path in self._versions if one == side)

    def all_of(self, side: Side, path: str) -> list[Version]:
        """All versions, oldest first."""
        return self._versions.get((side, path), [])

    def during(self, side: Side, path: str, begin: int, end: int) -> list[Version]:
        """The version that was current at `begin`, and those made until `end`."""
        versions = self.all_of(side, path)
        old = [version for version in versions if version.moment <= begin][-1:] or [
            Version(moment=0, data=None, actor="start")  # never heard of: not there
        ]
        return [*old, *(version for version in versions if begin < version.moment <= end)]

    def at(self, side: Side, path: str, moment: int) -> bytes | None:
        """The content at that moment."""
        return self.during(side, path, moment, moment)[-1].data

    def contents(self, side: Side, path: str, begin: int, end: int) -> set[bytes]:
        """Every content that the file had at some moment of the interval."""
        return {one.data for one in self.during(side, path, begin, end) if one.data is not None}

    def tree(self, side: Side, moment: int) -> dict[str, bytes]:
        """All files of that moment."""
        found = {path: self.at(side, path, moment) for path in self.paths(side)}
        return {path: data for path, data in found.items() if data is not None}


def folders_above(path: str) -> list[str]:
    """The folders on the way to `path`, nearest first, without the root."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def below(path: str, folder: str) -> bool:
    """Whether `path` is inside `folder` at any depth; everything is inside the root, ``""``."""
    return not folder or path.startswith(f"{folder}/")


def joined(folder: str, path: str) -> str:
    """`path` inside `folder`."""
    return f"{folder}/{path}" if folder else path
