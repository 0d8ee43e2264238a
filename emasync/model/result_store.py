"""`Outcomes`: the ends of very many files, in a sixth of the memory that as many `Outcome`s take.

Owns: how an outcome is packed, and the sequence that gives it back. Imports outcome and paths. Knows nothing of sums
beyond size and state. What failed keeps its error, and is kept as it is.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from emasync.model.outcome import Direction, Outcome, OutcomeAction, OutcomeState, Verified
from emasync.model.paths import RemotePath

_HEAD = struct.Struct("<BBBxIddIII")  # direction, verified, flags, attempts, seconds, busy, folder, reason, path bytes
_DIGEST_BYTES = 32
_HASHED, _RENAMED, _DELETED = 1, 2, 4
_DIRECTIONS, _STATES, _VERIFIED = tuple(Direction), tuple(OutcomeState), tuple(Verified)


class OutcomeLog:
    """Outcomes as they come, appended and never changed. Memory: about 90 bytes and the path of each file, the local
    folders and the different reasons; for a file with an error that error, and an `Outcome`."""

    __slots__ = ("_ends", "_packed", "_shown", "_texts", "_whole", "sizes", "states")

    def __init__(self) -> None:
        self.states = bytearray()
        self.sizes = array("Q")
        self._packed = bytearray()
        self._ends = array("Q")
        self._texts: dict[str, int] = {}  # folders and reasons, which many files share
        self._shown: list[str] = []
        self._whole: dict[int, Outcome] = {}

    def __len__(self) -> int:
        return len(self.states)

    def append(self, outcome: Outcome) -> None:
        """Take one more."""
        record = self._pack(outcome)
        self.sizes.append(outcome.bytes)  # first: it is what may raise
        if record is None:
            self._whole[len(self)] = outcome
        else:
            self._packed += record
        self._ends.append(len(self._packed))
        self.states.append(_STATES.index(outcome.state))

    def at(self, index: int) -> Outcome:
        """The outcome that came as that one, counted from 0."""
        if (whole := self._whole.get(index)) is not None:
            return whole
        begin = self._ends[index - 1] if index else 0
        direction, verified, flags, attempts, seconds, busy_s, folder, reason, length = _HEAD.unpack_from(
            self._packed, begin
        )
        at = begin + _HEAD.size
        sha256 = None
        if flags & _HASHED:
            sha256 = self._packed[at : at + _DIGEST_BYTES].hex()
            at += _DIGEST_BYTES
        path = RemotePath(_decoded(self._packed[at : at + length]))
        name = _decoded(self._packed[at + length : self._ends[index]]) if flags & _RENAMED else path.name
        return Outcome(
            path=path,
            place=self._shown[folder] + name,
            direction=_DIRECTIONS[direction],
            state=_STATES[self.states[index]],
            bytes=self.sizes[index],
            sha256=sha256,
            verified=_VERIFIED[verified],
            attempts=attempts,
            seconds=seconds,
            busy_seconds=busy_s,
            reason=self._shown[reason] or None,
            action=OutcomeAction.DELETE if flags & _DELETED else OutcomeAction.TRANSFER,
        )

    def path_at(self, index: int) -> RemotePath:
        """The path of that outcome alone."""
        if (whole := self._whole.get(index)) is not None:
            return whole.path
        begin = self._ends[index - 1] if index else 0
        flags, length = self._packed[begin + 2], _HEAD.unpack_from(self._packed, begin)[-1]
        at = begin + _HEAD.size + (_DIGEST_BYTES if flags & _HASHED else 0)
        return RemotePath(_decoded(self._packed[at : at + length]))

    def _pack(self, one: Outcome) -> bytes | None:
        """The record of `one`; None for what no record holds."""
        digest = b"" if one.sha256 is None else _digest(one.sha256)
        if one.error is not None or digest is None or one.reason == "" or type(one.path) is not RemotePath:
            return None
        cut = one.place.rfind("/") + 1
        folder, name, path = one.place[:cut], one.place[cut:], _encoded(one.path)
        renamed = name != one.path.name
        head = _HEAD.pack(
            _DIRECTIONS.index(one.direction),
            _VERIFIED.index(one.verified),
            _HASHED * bool(digest) | _RENAMED * renamed | _DELETED * (one.action is OutcomeAction.DELETE),
            one.attempts,
            one.seconds,
            one.busy_seconds,
            self._text(folder),
            self._text(one.reason or ""),
            len(path),
        )
        return b"".join((head, digest, path, _encoded(name) if renamed else b""))

    def _text(self, text: str) -> int:
        number = self._texts.setdefault(text, len(self._shown))
        if number == len(self._shown):
            self._shown.append(text)
        return number


class Outcomes(Sequence[Outcome]):
    """A tuple of outcomes in all but memory: each is made anew when it is asked for. Equal to a tuple of equal ones."""

    __slots__ = ("_at", "_log")

    def __init__(self, outcomes: Iterable[Outcome] | OutcomeLog = ()) -> None:
        if not isinstance(outcomes, OutcomeLog):
            log = OutcomeLog()
            for outcome in outcomes:
                log.append(outcome)
            outcomes = log
        self._log = outcomes
        self._at: Sequence[int] = range(len(outcomes))  # what the log takes later is not ours

    def of(self, state: OutcomeState) -> Outcomes:
        """Those that ended so."""
        states, wanted = self._log.states, _STATES.index(state)
        return self._part(array("L", (index for index in self._at if states[index] == wanted)))

    @property
    def bytes(self) -> int:
        """Payload bytes of all."""
        sizes = self._log.sizes
        return sum(sizes[index] for index in self._at)

    def _part(self, at: Sequence[int]) -> Outcomes:
        part = Outcomes(self._log)
        part._at = at
        return part

    def __len__(self) -> int:
        return len(self._at)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Outcomes: ...
    def __getitem__(self, index: int | slice) -> Outcome | Outcomes:
        return self._part(self._at[index]) if isinstance(index, slice) else self._log.at(self._at[index])

    def __iter__(self) -> Iterator[Outcome]:
        return map(self._log.at, self._at)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outcomes | tuple):
            return NotImplemented
        return len(self) == len(other) and all(mine == yours for mine, yours in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: Iterable[Outcome]) -> tuple[Outcome, ...]:
        return (*self, *other)

    def __repr__(self) -> str:
        return repr(tuple(self))


def _digest(sha256: str) -> bytes | None:
    try:
        digest = bytes.fromhex(sha256)
    except ValueError:
        return None
    return digest if len(digest) == _DIGEST_BYTES and digest.hex() == sha256 else None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytearray) -> str:
    return data.decode("utf-8", "surrogatepass")
