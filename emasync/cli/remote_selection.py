"""Which files of a listing a path on the command line selects: to look at, or (stricter) to delete.

A removal selects nothing that was not named, and the same removal selects the same files again. Sends nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from emasync.cli.options import option
from emasync.errors import NotFoundError, ProtocolError, UnsafePathError
from emasync.model import FileEntry, FileTree, Glob, RemotePath, safe
from emasync.model.glob import PathPattern, is_pattern, means_contents


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A file (`files` holds just it), or a folder with all the files below it; `unlisted` if the EM's listing does not
    give all of its contents."""

    path: RemotePath
    is_folder: bool
    files: tuple[FileEntry, ...]
    unlisted: bool = False

    @property
    def size(self) -> int:
        """Bytes of its files, as listed."""
        return sum(entry.size or 0 for entry in self.files)


with_glob = option("--glob", is_flag=True, help="? and [...] are wildcards too; without it only * and ** are")
"""Give a verb the flag ``--glob``, which makes a pattern of every path."""


def paths_or_globs(paths: Iterable[str], *, glob: bool) -> list[str | Glob]:
    """The paths of a command line as `Client` takes them; a usage error for a pattern that can select nothing."""
    try:
        return [Glob(path) if glob else path for path in paths]
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def choose(tree: FileTree, asked: str | Glob) -> list[Chosen]:
    """What `asked` names in `tree`, to look at: a file, a folder, or the files that match a pattern. A str that names
    something is no pattern. NotFoundError, with the next command, where there is nothing; ValueError for a file that
    is named as a folder."""
    if isinstance(asked, Glob):
        return choose_matching(tree, asked)
    if tree.get(asked) is None and not tree.is_folder(asked) and is_pattern(asked):
        return choose_matching(tree, asked)
    return [choose_named(tree, asked)]


def choose_named(tree: FileTree, path: str) -> Chosen:
    """The file or folder of exactly this name. As `choose`."""
    entry = tree.get(path)
    if entry is not None and means_contents(path):
        raise ValueError(f"{safe(entry.path)} is a file, not a folder: name it without the slash")
    if entry is not None:
        return Chosen(path=entry.path, is_folder=False, files=(entry,))
    if tree.is_folder(path):
        unlisted = bool(tree.unknown_below(path))
        return Chosen(path=RemotePath(path), is_folder=True, files=tuple(tree.below(path)), unlisted=unlisted)
    _check_listed(tree, path)
    raise NotFoundError(f"no file or folder {path!r} in the volume; `emasync ls` shows what is there")


def choose_matching(tree: FileTree, asked: str | Glob) -> list[Chosen]:
    """The files that match a pattern, at least one. As `choose`."""
    pattern = PathPattern.of(asked)
    found = [entry for entry in tree if pattern.selects(entry.path)]
    if not found:
        _check_listed(tree, pattern.base / "any")
        raise NotFoundError(f"no file matches {str(asked)!r} in the volume; `emasync ls` shows what is there")
    return [Chosen(path=entry.path, is_folder=False, files=(entry,)) for entry in found]


def _check_listed(tree: FileTree, path: str) -> None:
    """ProtocolError if the listing does not tell whether there is something at `path`: it is not "not found"."""
    if (folder := tree.unknown_above(path)) is not None:
        raise ProtocolError(f"the EM's listing does not give the contents of {safe(folder) or 'the volume'}; try again")


def without_doubles(chosen: Iterable[Chosen]) -> list[Chosen]:
    """Each thing once: what lies in a folder that is chosen too goes with the folder."""
    found = {one.path: one for one in chosen}
    folders = [one.path for one in found.values() if one.is_folder]
    return [one for one in found.values() if not any(one.path.below(folder) for folder in folders)]


def entry_fields(entry: FileEntry) -> dict[str, Any]:
    """A file of a listing, as every JSON line of it has it; the tag is a string, it exceeds 2**53."""
    tag = None if entry.content_tag is None else str(entry.content_tag)
    return {"path": str(entry.path), "size": entry.size, "time": entry.time, "content_tag": tag}


def choose_removals(tree: FileTree, asked: Sequence[str | Glob], *, literal: bool) -> list[Chosen]:
    """What `asked` names in `tree`, to be deleted. With `literal` no path is a pattern.

    A path with ``*``, and any Glob, is a pattern of files, whatever is called exactly so. Any other path is the file or
    folder of exactly that name; with a slash at its end only a folder. NotFoundError where one path names nothing.
    ValueError for the whole volume or a file named as a folder. UnsafePathError for a listed name that the EM may take
    for another file.
    """
    chosen = without_doubles(one for path in asked for one in _chosen(tree, path, literal=literal))
    for one in chosen:
        _check_unmistakable(tree, one.path, is_folder=one.is_folder)
    return chosen


def removal_command(path: RemotePath) -> str:
    """The command that removes this one file, for a message."""
    return shlex.join(["emasync", "rm", *(["--literal"] if is_pattern(path) else []), "--", path])


def _chosen(tree: FileTree, asked: str | Glob, *, literal: bool) -> list[Chosen]:
    if isinstance(asked, str) and not RemotePath(asked):
        raise ValueError("rm does not delete the whole volume; name the files or folders that are to go")
    if isinstance(asked, str) and (literal or not is_pattern(asked)):
        return [choose_named(tree, asked)]
    if means_contents(asked):
        raise ValueError(f"{safe(asked)}: a pattern selects files, no folders; leave out the slash at its end")
    _check_pattern_listed(tree, asked)
    return choose_matching(tree, asked)


def _check_unmistakable(tree: FileTree, path: RemotePath, *, is_folder: bool) -> None:
    """UnsafePathError where deleting `path` could delete something else: a listing can hold any name."""
    reason = tree.mistakable(path, folder=is_folder)
    if reason is not None:
        text = f"{safe(path)} is not deleted: {reason}, and the EM may take one for the other; nothing was deleted"
        raise UnsafePathError(text, name=path, reason=reason)


def _check_pattern_listed(tree: FileTree, pattern: Glob | str) -> None:
    """ProtocolError where a folder in which the pattern may match is not listed: not all that it selects is known."""
    base = PathPattern.of(pattern).base
    for folder in sorted(tree.unknown_folders):
        if folder == base or folder.below(base) or base.below(folder):
            text = f"the EM's listing does not give the contents of {safe(folder)}"
            raise ProtocolError(f"{text}: what {safe(pattern)} selects there is not known; nothing was deleted")
