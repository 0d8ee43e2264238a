"""Which files of a listing a path on the command line selects: to look at, or (stricter) to delete.

A removal selects nothing that was not named, and the same removal selects the same files again. Sends nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from emasync.cli.options import CommandDecorator, option
from emasync.errors import NotFoundError, ProtocolError, UnsafePathError
from emasync.model import FileEntry, FileTree, Glob, RemotePath, safe
from emasync.model.glob import PathPattern, is_pattern, means_contents


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
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


with_glob: CommandDecorator = option(
    "--glob", is_flag=True, help="? and [...] are wildcards too; without it only * and ** are"
)
"""Give a command the option ``--glob``, which makes a pattern of every path."""


def paths_or_globs(paths: Iterable[str], *, glob: bool) -> list[str | Glob]:
    """The paths of a command line as `Client` takes them; a usage error for a pattern that can select nothing."""
    try:
        return [Glob(path) if glob else path for path in paths]
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def select(tree: FileTree, path: str | Glob) -> list[Selection]:
    """The file or folder of `tree` that `path` names, or the files that it matches as a pattern.

    A str that names something is not taken as a pattern. NotFoundError where nothing is selected; ValueError for a file
    that is named as a folder.
    """
    if isinstance(path, Glob):
        return select_matching(tree, path)
    if tree.get(path) is None and not tree.is_folder(path) and is_pattern(path):
        return select_matching(tree, path)
    return [select_named(tree, path)]


def select_named(tree: FileTree, path: str) -> Selection:
    """The file or folder of exactly this name. Raises as `select` does."""
    entry = tree.get(path)
    if entry is not None and means_contents(path):
        raise ValueError(f"{safe(entry.path)} is a file, not a folder: name it without the slash")
    if entry is not None:
        return Selection(path=entry.path, is_folder=False, files=(entry,))
    if tree.is_folder(path):
        unlisted = bool(tree.unknown_below(path))
        return Selection(path=RemotePath(path), is_folder=True, files=tuple(tree.below(path)), unlisted=unlisted)
    _check_listed(tree, path)
    raise NotFoundError(f"no file or folder {path!r} in the volume; `emasync ls` shows what is there")


def select_matching(tree: FileTree, text: str | Glob) -> list[Selection]:
    """The files that match the pattern `text`, at least one. Raises as `select` does."""
    pattern = PathPattern.of(text)
    found = [entry for entry in tree if pattern.selects(entry.path)]
    if not found:
        _check_listed(tree, pattern.base / "any")
        raise NotFoundError(f"no file matches {str(text)!r} in the volume; `emasync ls` shows what is there")
    return [Selection(path=entry.path, is_folder=False, files=(entry,)) for entry in found]


def _check_listed(tree: FileTree, path: str) -> None:
    """Raise ProtocolError if the listing does not tell whether `path` exists, so that it is not reported as missing."""
    if (folder := tree.unknown_above(path)) is not None:
        raise ProtocolError(f"the EM's listing does not give the contents of {safe(folder) or 'the volume'}; try again")


def deduplicated(selections: Iterable[Selection]) -> list[Selection]:
    """`selections` without repetitions, and without those that lie in a folder that is selected too."""
    by_path = {selection.path: selection for selection in selections}
    folders = [path for path, selection in by_path.items() if selection.is_folder]
    return [by_path[path] for path in by_path if not any(path.below(folder) for folder in folders)]


def entry_fields(entry: FileEntry) -> dict[str, Any]:
    """The fields of a listed file in JSON lines; the tag is a string because it exceeds 2**53."""
    tag = None if entry.content_tag is None else str(entry.content_tag)
    return {"path": str(entry.path), "size": entry.size, "time": entry.time, "content_tag": tag}


def select_removals(tree: FileTree, paths: Sequence[str | Glob], *, literal: bool) -> list[Selection]:
    """The files and folders of `tree` that `paths` select to be deleted. With `literal` no path is a pattern.

    A path with ``*``, and any Glob, is a pattern of files, also where a file has exactly that name. Any other path is
    the file or folder of exactly that name; with a slash at its end only a folder. NotFoundError where one path names
    nothing. ValueError for the whole volume or a file named as a folder. UnsafePathError for a listed name that the EM
    may take for another file.
    """
    selections = deduplicated(found for path in paths for found in _select_removal(tree, path, literal=literal))
    for selection in selections:
        _check_unmistakable(tree, selection.path, is_folder=selection.is_folder)
    return selections


def removal_command(path: RemotePath) -> str:
    """The shell command that removes exactly this file, for a message."""
    return shlex.join(["emasync", "rm", *(["--literal"] if is_pattern(path) else []), "--", path])


def _select_removal(tree: FileTree, path: str | Glob, *, literal: bool) -> list[Selection]:
    if isinstance(path, str) and not RemotePath(path):
        raise ValueError("rm does not delete the whole volume; name the files or folders that are to go")
    if isinstance(path, str) and (literal or not is_pattern(path)):
        return [select_named(tree, path)]
    if means_contents(path):
        raise ValueError(f"{safe(path)}: a pattern selects files, no folders; leave out the slash at its end")
    _check_pattern_listed(tree, path)
    return select_matching(tree, path)


def _check_unmistakable(tree: FileTree, path: RemotePath, *, is_folder: bool) -> None:
    """Raise UnsafePathError where deleting `path` could delete another file, since the EM may confuse their names."""
    reason = tree.mistakable(path, folder=is_folder)
    if reason is not None:
        text = f"{safe(path)} is not deleted: {reason}, and the EM may take one for the other; nothing was deleted"
        raise UnsafePathError(text, name=path, reason=reason)


def _check_pattern_listed(tree: FileTree, pattern: Glob | str) -> None:
    """Raise ProtocolError where a folder in which the pattern may match is not listed: it may select more files."""
    base = PathPattern.of(pattern).base
    for folder in sorted(tree.unknown_folders):
        if folder == base or folder.below(base) or base.below(folder):
            text = f"the EM's listing does not give the contents of {safe(folder)}"
            raise ProtocolError(f"{text}: what {safe(pattern)} selects there is not known; nothing was deleted")
