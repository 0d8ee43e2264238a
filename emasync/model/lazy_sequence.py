"""`LazySequence`: a sequence that makes its elements when they are asked for, so that very many cost little memory.

Imports nothing of emasync. What is packed, and how, is its subclasses' business.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar, overload

_SHOWN: Final = 3
T_co = TypeVar("T_co", covariant=True)


class LazySequence(Sequence[T_co]):
    """A tuple in all but memory and identity: equal to a tuple, or another LazySequence, of equal elements."""

    __slots__ = ()

    @abstractmethod
    def _made(self, position: int) -> T_co:
        """The element at `position`, which is within bounds."""

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T_co, ...]: ...
    def __getitem__(self, index: int | slice) -> T_co | tuple[T_co, ...]:
        if isinstance(index, slice):
            return tuple(self._made(position) for position in range(*index.indices(len(self))))
        return self._made(range(len(self))[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LazySequence | tuple):
            return NotImplemented
        return len(self) == len(other) and all(mine == yours for mine, yours in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: Iterable[object]) -> tuple[object, ...]:
        return (*self, *other)

    def __repr__(self) -> str:
        if len(self) <= _SHOWN:
            return repr(tuple(self))
        shown = ", ".join(repr(self[position]) for position in range(_SHOWN))
        return f"({shown}, ... {len(self) - _SHOWN} more)"  # all of them may be a hundred megabytes
