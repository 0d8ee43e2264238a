"""Compact sequences for very many files: the outcomes of a transfer (`OutcomeLog`, `Outcomes`) and a sync's decisions.

The elements are stored as packed bytes and become objects only when they are read, which takes a sixth of the memory of
a list of objects. May import only the types of the packed values and `file_table`.
"""

from __future__ import annotations

import struct
from abc import abstractmethod
from array import array
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final, TypeVar, overload

from emasync.model.file_table import FileTable
from emasync.model.outcome import (
    Direction,
    Outcome,
    OutcomeAction,
    OutcomeState,
    SyncAction,
    SyncDecision,
    Verified,
)
from emasync.model.paths import RemotePath

T_co = TypeVar("T_co", covariant=True)

_REPR_ELEMENTS: Final = 3  # a repr of all elements may take a hundred megabytes

# direction, verified, flags, attempts, seconds, busy_seconds, numbers of folder and reason in `_texts`, path bytes
_RECORD = struct.Struct("<BBBxIddIII")
_DIGEST_BYTES = 32
_HASHED, _RENAMED, _DELETED = 1, 2, 4  # flags: has a SHA-256; the local name differs from the path's; action is DELETE
_DIRECTIONS, _STATES, _VERIFIED = tuple(Direction), tuple(OutcomeState), tuple(Verified)

_ACTIONS: tuple[SyncAction, ...] = ("copy", "keep", "delete", "conflict")
_NOT_COMPARED = len(_ACTIONS)  # added to the index of the action of a file whose two sides could not be compared


class LazySequence(Sequence[T_co]):
    """Behaves like a tuple, and equals a tuple or LazySequence of equal elements, but builds elements on access."""

    __slots__ = ()

    @abstractmethod
    def _element(self, position: int) -> T_co:
        """The element at `position`, which is within bounds."""

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T_co]: ...
    def __getitem__(self, index: int | slice) -> T_co | Sequence[T_co]:
        if isinstance(index, slice):
            return tuple(self._element(position) for position in range(*index.indices(len(self))))
        return self._element(range(len(self))[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LazySequence | tuple):
            return NotImplemented
        return len(self) == len(other) and all(left == right for left, right in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: Iterable[object]) -> tuple[object, ...]:
        return (*self, *other)

    def __repr__(self) -> str:
        if len(self) <= _REPR_ELEMENTS:
            return repr(tuple(self))
        shown = ", ".join(repr(self[position]) for position in range(_REPR_ELEMENTS))
        return f"({shown}, ... {len(self) - _REPR_ELEMENTS} more)"


class OutcomeLog:
    """An append-only list of outcomes.

    Memory: about 90 bytes plus the path for each file. Local folders and reasons, which many files share, are stored
    once. An outcome with an error is kept as an `Outcome` object.
    """

    __slots__ = ("_ends", "_number_of_text", "_packed", "_texts", "_unpacked", "sizes", "states")

    def __init__(self) -> None:
        self.states: bytearray = bytearray()
        self.sizes: array[int] = array("Q")
        self._packed = bytearray()
        self._ends = array("Q")
        self._number_of_text: dict[str, int] = {}  # folders and reasons, which many files share
        self._texts: list[str] = []
        self._unpacked: dict[int, Outcome] = {}

    def __len__(self) -> int:
        return len(self.states)

    def append(self, outcome: Outcome) -> None:
        """Append one outcome. If its size does not fit into 64 bits, OverflowError, and nothing is appended."""
        record = self._pack(outcome)
        self.sizes.append(outcome.bytes)  # first, because an OverflowError must leave all columns as they are
        if record is None:
            self._unpacked[len(self)] = outcome
        else:
            self._packed += record
        self._ends.append(len(self._packed))
        self.states.append(_STATES.index(outcome.state))

    def at(self, index: int) -> Outcome:
        """The outcome at `index`, counted from 0 in the order of appending."""
        if (outcome := self._unpacked.get(index)) is not None:
            return outcome
        begin = self._ends[index - 1] if index else 0
        direction, verified, flags, attempts, seconds, busy_s, folder, reason, length = _RECORD.unpack_from(
            self._packed, begin
        )
        position = begin + _RECORD.size
        sha256 = None
        if flags & _HASHED:
            sha256 = self._packed[position : position + _DIGEST_BYTES].hex()
            position += _DIGEST_BYTES
        path = RemotePath(_decoded(self._packed[position : position + length]))
        name = _decoded(self._packed[position + length : self._ends[index]]) if flags & _RENAMED else path.name
        return Outcome(
            path=path,
            place=self._texts[folder] + name,
            direction=_DIRECTIONS[direction],
            state=_STATES[self.states[index]],
            bytes=self.sizes[index],
            sha256=sha256,
            verified=_VERIFIED[verified],
            attempts=attempts,
            seconds=seconds,
            busy_seconds=busy_s,
            reason=self._texts[reason] or None,
            action=OutcomeAction.DELETE if flags & _DELETED else OutcomeAction.TRANSFER,
        )

    def path_at(self, index: int) -> RemotePath:
        """The path of the outcome at `index`, read without unpacking the rest."""
        if (outcome := self._unpacked.get(index)) is not None:
            return outcome.path
        begin = self._ends[index - 1] if index else 0
        flags, length = self._packed[begin + 2], _RECORD.unpack_from(self._packed, begin)[-1]
        position = begin + _RECORD.size + (_DIGEST_BYTES if flags & _HASHED else 0)
        return RemotePath(_decoded(self._packed[position : position + length]))

    def _pack(self, outcome: Outcome) -> bytes | None:
        """The packed `outcome`; None if it has an error, or a value that unpacking would not give back as it was."""
        digest = b"" if outcome.sha256 is None else _digest(outcome.sha256)
        if outcome.error is not None or digest is None or outcome.reason == "" or type(outcome.path) is not RemotePath:
            return None
        cut = outcome.place.rfind("/") + 1
        folder, name, path = outcome.place[:cut], outcome.place[cut:], _encoded(outcome.path)
        renamed = name != outcome.path.name
        head = _RECORD.pack(
            _DIRECTIONS.index(outcome.direction),
            _VERIFIED.index(outcome.verified),
            _HASHED * bool(digest) | _RENAMED * renamed | _DELETED * (outcome.action is OutcomeAction.DELETE),
            outcome.attempts,
            outcome.seconds,
            outcome.busy_seconds,
            self._text_number(folder),
            self._text_number(outcome.reason or ""),
            len(path),
        )
        return b"".join((head, digest, path, _encoded(name) if renamed else b""))

    def _text_number(self, text: str) -> int:
        number = self._number_of_text.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number


class Outcomes(LazySequence[Outcome]):
    """The outcomes of a log, or some of them. Behaves like a tuple and equals a tuple of equal outcomes."""

    __slots__ = ("_log", "_positions")

    def __init__(self, outcomes: Iterable[Outcome] | OutcomeLog = ()) -> None:
        if not isinstance(outcomes, OutcomeLog):
            log = OutcomeLog()
            for outcome in outcomes:
                log.append(outcome)
            outcomes = log
        self._log = outcomes
        self._positions: Sequence[int] = range(len(outcomes))  # without what is appended to the log later

    def of(self, state: OutcomeState) -> Outcomes:
        """The outcomes with this state."""
        states, wanted = self._log.states, _STATES.index(state)
        return self._part(array("L", (index for index in self._positions if states[index] == wanted)))

    @property
    def bytes(self) -> int:
        """Payload bytes of all outcomes."""
        sizes = self._log.sizes
        return sum(sizes[index] for index in self._positions)

    def _part(self, positions: Sequence[int]) -> Outcomes:
        part = Outcomes(self._log)
        part._positions = positions
        return part

    def __len__(self) -> int:
        return len(self._positions)

    def _element(self, position: int) -> Outcome:
        return self._log.at(self._positions[position])

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Outcomes: ...
    def __getitem__(self, index: int | slice) -> Outcome | Outcomes:
        return self._part(self._positions[index]) if isinstance(index, slice) else super().__getitem__(index)

    def __iter__(self) -> Iterator[Outcome]:
        return map(self._log.at, self._positions)

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


class SyncDecisions(LazySequence[SyncDecision]):
    """The plan of a sync: behaves like a tuple of its decisions, but takes 30 bytes plus the name for each file."""

    __slots__ = ("_actions", "_files", "_folders", "_reason_of", "_reasons")

    def __init__(self, decisions: Iterable[SyncDecision] = ()) -> None:
        self._files = FileTable()  # its `sizes` are the bytes to copy
        self._folders: dict[str, int] = {}
        self._actions = bytearray()
        self._reason_of = array("I")
        self._reasons: dict[str, int] = {}
        for decision in decisions:
            size, compared = decision.bytes, decision.compared
            self.append(decision.path, decision.action, decision.reason, size=size, compared=compared)

    def append(self, path: RemotePath, action: SyncAction, reason: str, *, size: int, compared: bool = True) -> None:
        """Append a decision; `size` is the number of bytes to copy."""
        folder, _, name = path.rpartition("/")
        if (number := self._folders.get(folder)) is None:
            number = self._folders[folder] = self._files.new_folder(folder)
        self._files.append(number, name, size, None, None)
        self._actions.append(_ACTIONS.index(action) + (0 if compared else _NOT_COMPARED))
        self._reason_of.append(self._reasons.setdefault(reason, len(self._reasons)))

    def __len__(self) -> int:
        return len(self._actions)

    def _element(self, position: int) -> SyncDecision:
        reason = self._reason_of[position]
        return SyncDecision(
            path=self._files.path(position),
            action=_ACTIONS[self._actions[position] % _NOT_COMPARED],
            reason=next(text for text, number in self._reasons.items() if number == reason),
            bytes=self._files.sizes[position],
            compared=self._actions[position] < _NOT_COMPARED,
        )

    def __iter__(self) -> Iterator[SyncDecision]:
        reasons = list(self._reasons)  # the index of a reason in this list is its number
        rows = zip(self._files.paths(), self._actions, self._reason_of, self._files.sizes, strict=True)
        for path, action, reason, size in rows:
            yield SyncDecision(
                path=path,
                action=_ACTIONS[action % _NOT_COMPARED],
                reason=reasons[reason],
                bytes=size,
                compared=action < _NOT_COMPARED,
            )

    def copies(self, reason: str) -> int:
        """How many decisions are to copy a file for this `reason`."""
        number = self._reasons.get(reason)
        rows = zip(self._actions, self._reason_of, strict=True)
        if number is None:
            return 0
        return sum(action % _NOT_COMPARED == 0 and reason_number == number for action, reason_number in rows)

    def paths_to(self, action: SyncAction) -> _PathsWithAction:
        """The paths of the decisions with this action."""
        return _PathsWithAction(self, action)


class _PathsWithAction(Container[RemotePath]):
    """The paths of the decisions with one action. Supports iteration and `path in paths`."""

    def __init__(self, decisions: SyncDecisions, action: SyncAction) -> None:
        self._files, self._actions = decisions._files, decisions._actions
        self._action = _ACTIONS.index(action)
        self._indexed = False

    def __iter__(self) -> Iterator[RemotePath]:
        wanted, actions = self._action, self._actions
        return (
            path for position, path in enumerate(self._files.paths()) if actions[position] % _NOT_COMPARED == wanted
        )

    def __contains__(self, path: object) -> bool:
        if not self._indexed:
            self._files.index()
            self._indexed = True
        position = self._files.find(path) if isinstance(path, str) else -1
        return position >= 0 and self._actions[position] % _NOT_COMPARED == self._action
