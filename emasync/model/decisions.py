"""`SyncDecisions`: the plan of a sync of very many files, in about 30 bytes and the name of each; and its reasons.

Packs decisions, and does not make them. Imports outcome, paths and the table of files.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Iterator
from enum import StrEnum

from emasync.model.file_table import FileTable
from emasync.model.lazy_sequence import LazySequence
from emasync.model.outcome import SyncAction, SyncDecision
from emasync.model.paths import RemotePath

_ACTIONS: tuple[SyncAction, ...] = ("copy", "keep", "delete", "conflict")
_UNCOMPARED = len(_ACTIONS)  # is added to an action's number where the two sides could not be compared


class SyncReason(StrEnum):
    """Why files are copied or kept, where program code asks; `SyncDecision.reason` may also be any other text."""

    NEW = "new"
    """Only the source has the file."""
    SIZE_DIFFERS = "size differs"
    CONTENT_DIFFERS = "content differs"
    SAME_CONTENT = "same content"
    """The content tags are equal."""
    CHANGED_SINCE = "same size, changed since moved"
    UNCHANGED_SINCE = "same size, unchanged since moved"
    UNKNOWN_CONTENT = "same size, content unknown"
    """Nothing tells the two files apart."""
    NO_SIZE = "the EM lists no size"


class SyncDecisions(LazySequence[SyncDecision]):
    """A tuple of decisions, by path, in all but memory: each is made anew when it is asked for."""

    __slots__ = ("_actions", "_files", "_folders", "_reason_of", "_reasons")

    def __init__(self, decisions: Iterable[SyncDecision] = ()) -> None:
        self._files = FileTable()  # bytes as sizes
        self._folders: dict[str, int] = {}
        self._actions = bytearray()
        self._reason_of = array("I")
        self._reasons: dict[str, int] = {}
        for decision in decisions:
            self.append(
                decision.path, decision.action, decision.reason, size=decision.bytes, compared=decision.compared
            )

    def append(self, path: RemotePath, action: SyncAction, reason: str, *, size: int, compared: bool = True) -> None:
        """One more decision, of which `size` are the bytes to move."""
        folder, _, name = path.rpartition("/")
        if (number := self._folders.get(folder)) is None:
            number = self._folders[folder] = self._files.new_folder(folder)
        self._files.append(number, name, size, None, None)
        self._actions.append(_ACTIONS.index(action) + (0 if compared else _UNCOMPARED))
        self._reason_of.append(self._reasons.setdefault(reason, len(self._reasons)))

    def __len__(self) -> int:
        return len(self._actions)

    def _made(self, position: int) -> SyncDecision:
        reason = self._reason_of[position]
        return SyncDecision(
            path=self._files.path(position),
            action=_ACTIONS[self._actions[position] % _UNCOMPARED],
            reason=next(text for text, number in self._reasons.items() if number == reason),
            bytes=self._files.sizes[position],
            compared=self._actions[position] < _UNCOMPARED,
        )

    def __iter__(self) -> Iterator[SyncDecision]:
        reasons = list(self._reasons)  # in the order of their numbers
        rows = zip(self._files.paths(), self._actions, self._reason_of, self._files.sizes, strict=True)
        for path, action, reason, size in rows:
            yield SyncDecision(
                path=path,
                action=_ACTIONS[action % _UNCOMPARED],
                reason=reasons[reason],
                bytes=size,
                compared=action < _UNCOMPARED,
            )

    def copies(self, reason: str) -> int:
        """How many files are copied for that reason."""
        wanted = self._reasons.get(reason)
        rows = zip(self._actions, self._reason_of, strict=True)
        if wanted is None:
            return 0
        return sum(action % _UNCOMPARED == 0 and number == wanted for action, number in rows)

    def paths_to(self, action: SyncAction) -> PathsTo:
        """The paths of the files whose decision is `action`."""
        return PathsTo(self, action)


class PathsTo(Container[RemotePath]):
    """The paths of the decisions with one action: iterable, and quick to ask whether a path is among them."""

    def __init__(self, decisions: SyncDecisions, action: SyncAction) -> None:
        self._files, self._actions = decisions._files, decisions._actions
        self._action = _ACTIONS.index(action)
        self._indexed = False

    def __iter__(self) -> Iterator[RemotePath]:
        wanted, actions = self._action, self._actions
        return (path for position, path in enumerate(self._files.paths()) if actions[position] % _UNCOMPARED == wanted)

    def __contains__(self, path: object) -> bool:
        if not self._indexed:
            self._files.index()
            self._indexed = True
        position = self._files.find(path) if isinstance(path, str) else -1
        return position >= 0 and self._actions[position] % _UNCOMPARED == self._action
