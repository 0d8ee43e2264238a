"""`Glob`, and which characters of a path are wildcards.

In a path that is a plain str only ``*`` and ``**`` are wildcards; ``?``, ``[`` and ``]`` are ordinary characters. A
`Glob` has the full shell-like syntax. Must not import anything but paths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from emasync.model.paths import RemotePath, matches


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern of paths in shell-like syntax: ``Glob("logs/[0-9]*")``. Accepted wherever `paths` or `sources` are.

    ``*`` and ``?`` stay within a folder, ``**`` crosses folders, ``[a-z]`` is one of these characters and ``[!a-z]``
    none of them; ``[*]``, ``[?]`` and ``[[]`` are these characters themselves. It is always a pattern, also where a
    file of exactly this name exists. TypeError for what is no str, ValueError for a pattern that can select nothing.

    >>> plan = await em.plan_downlink(Glob("results/[a-z].txt"))
    >>> plan.files
    2
    """

    pattern: str

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str):
            raise TypeError(f"a Glob holds a str, not {type(self.pattern).__name__}")
        if not RemotePath(self.pattern):
            raise ValueError(f"the pattern {self.pattern!r} selects nothing")

    def __str__(self) -> str:
        return self.pattern


def is_pattern(path: str | Glob) -> bool:
    """Whether `path` can select several files by name: a Glob, or a str with ``*``."""
    return isinstance(path, Glob) or "*" in path


def means_contents(path: str | Glob) -> bool:
    """Whether `path` ends in a slash (or ``/.``), and so means the contents of a folder."""
    return str(path).rpartition("/")[2] in ("", ".")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPattern:
    """A pattern, split. `folder`: the leading folders without a wildcard, as written. `rest`: what follows, in the
    syntax of `Glob`. A pattern that ends in a slash selects all files in the folders that match, at any depth."""

    folder: str
    rest: RemotePath

    @classmethod
    def of(cls, path: str | Glob) -> PathPattern:
        """Split `path`; in a str only ``*`` is a wildcard."""
        wildcards = "*?[" if isinstance(path, Glob) else "*"
        parts, contents = str(path).split("/"), means_contents(path)
        while parts[-1] in ("", ".") and len(parts) > 1:
            parts.pop()
        last = len(parts) if contents else len(parts) - 1
        fixed = next((i for i, part in enumerate(parts) if any(char in part for char in wildcards)), last)
        rest = "/".join([*parts[fixed:], "**"] if contents else parts[fixed:])
        if not isinstance(path, Glob):
            rest = re.sub(r"[?\[]", r"[\g<0>]", rest)
        return cls(folder="/".join(parts[:fixed]), rest=RemotePath(rest))

    @property
    def base(self) -> RemotePath:
        """`folder` in normal form."""
        return RemotePath(self.folder)

    def selects(self, path: RemotePath) -> bool:
        """Whether the whole of `path` matches."""
        start = f"{base}/" if (base := self.base) else ""
        return path.startswith(start) and matches(path[len(start) :], self.rest)
