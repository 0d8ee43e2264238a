"""Which files are selected: `--include`, `--exclude` and `.emignore`, all with gitignore rules.

Combines the three. Pure: reads no file, the lines of an `.emignore` are arguments. Must not import disk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pathspec import GitIgnoreSpec

from emasync.model import RemotePath

IGNORE_FILE = ".emignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRules:
    """The lines of one `.emignore`, which speak of what lies in `folder`. ValueError for a line that is no pattern."""

    folder: RemotePath
    lines: tuple[str, ...]
    _rules: _Rules | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rules", _compiled(self.lines))

    def ignores(self, path: RemotePath, *, folder: bool) -> bool | None:
        """Whether they ignore `path` (a folder or a file); None when they say nothing of it."""
        base = f"{self.folder}/" if self.folder else ""
        if self._rules is None or not path.startswith(base):
            return None
        return self._rules.verdict(path[len(base) :], folder=folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """`include` and `exclude` patterns see a file's path below the destination, in either direction.

    No `include` means everything; what `exclude` names is out, whatever `include` says, and an excluded folder is out
    with all it holds. `nested` are the `.emignore` files, deepest last: of two, the deeper one decides. The order of
    patterns matters only to ``!`` patterns, as in a .gitignore. ValueError for a pattern that is none.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    nested: tuple[IgnoreRules, ...] = ()
    _included: _Rules | None = field(init=False, repr=False, compare=False)
    _excluded: _Rules | None = field(init=False, repr=False, compare=False)
    _walked: dict[RemotePath, bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_included", _compiled(self.include))
        object.__setattr__(self, "_excluded", _compiled(self.exclude))
        object.__setattr__(self, "_walked", {})  # verdicts on folders, each asked for by every file in them

    @property
    def take_all(self) -> bool:
        """Whether there is nothing that they leave out."""
        return self._included is None and self._excluded is None and not self.nested

    def takes(self, path: RemotePath) -> bool:
        """Whether the file `path` is meant."""
        if self._included is not None and not self._included.files.match_file(path):
            return False
        if self._excluded is None and not self.nested:
            return True
        return self.walks(path.parent) and not self._drops(path, folder=False)

    def walks(self, folder: RemotePath) -> bool:
        """Whether files in `folder` can be meant; if not, it need not be looked into."""
        if self._excluded is None and not self.nested:
            return True
        unknown: list[RemotePath] = []
        while folder and folder not in self._walked:
            unknown.append(folder)
            folder = folder.parent
        walked = not folder or self._walked[folder]
        for inner in reversed(unknown):
            walked = walked and not self._drops(inner, folder=True)
            self._walked[inner] = walked
        return walked

    def with_nested(self, *rules: IgnoreRules) -> Filters:
        """These filters and the rules of more `.emignore` files."""
        deepest_last = sorted((*self.nested, *rules), key=lambda rules: len(rules.folder.parts))
        return replace(self, nested=tuple(deepest_last))

    def _drops(self, path: RemotePath, *, folder: bool) -> bool:
        if self._excluded is not None and self._excluded.verdict(path, folder=folder):
            return True
        for rules in reversed(self.nested):
            if (verdict := rules.ignores(path, folder=folder)) is not None:
                return verdict
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """Patterns as pathspec reads them, mended where it differs from git in judging a folder."""

    files: GitIgnoreSpec
    folders: GitIgnoreSpec

    def verdict(self, path: str, *, folder: bool) -> bool | None:
        """Whether the last pattern that speaks of `path` ignores it; None if none does."""
        if not folder:
            return self.files.check_file(path).include
        # check_file lets what names a folder lose to all else, which breaks the idiom of ``*``, ``!*/``, ``!*.py``
        for pattern in reversed(self.folders.patterns):
            if pattern.include is not None and pattern.match_file(f"{path}/") is not None:
                return pattern.include
        return None


def _compiled(lines: Sequence[str]) -> _Rules | None:
    if isinstance(lines, str):
        raise TypeError(f"patterns come as a list of strings, not as the string {lines!r}")
    try:
        files = GitIgnoreSpec.from_lines(lines)
        # ``a/**`` is about what is in a, but pathspec lets it match ``a/`` itself, as ``a/*`` does not
        folders = GitIgnoreSpec.from_lines(line[:-1] if line.endswith("/**") else line for line in lines)
    except (ValueError, re.error) as error:
        raise ValueError(f"not a gitignore pattern: {error}") from None
    says_anything = any(pattern.include is not None for pattern in files.patterns)
    return _Rules(files=files, folders=folders) if says_anything else None
