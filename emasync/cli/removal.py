"""Which files and folders of a listing a removal means: never one that was not named.

Owns: the rules of ``rm``, stricter than those of verbs that only look. The same removal, made again, must not select
something else. May import remote, model and errors. Sends nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from emasync.cli.remote import Chosen, choose_matching, choose_named, without_doubles
from emasync.errors import ProtocolError, UnsafePathError
from emasync.model import FileTree, Glob, RemotePath, safe
from emasync.model.glob import PathPattern, is_pattern, means_contents


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
    _check_listed(tree, asked)
    return choose_matching(tree, asked)


def _check_unmistakable(tree: FileTree, path: RemotePath, *, is_folder: bool) -> None:
    """UnsafePathError where deleting `path` could delete something else: a listing can hold any name."""
    reason = tree.mistakable(path, folder=is_folder)
    if reason is not None:
        text = f"{safe(path)} is not deleted: {reason}, and the EM may take one for the other; nothing was deleted"
        raise UnsafePathError(text, name=path, reason=reason)


def _check_listed(tree: FileTree, pattern: Glob | str) -> None:
    """ProtocolError where a folder in which the pattern may match is not listed: not all that it selects is known."""
    base = PathPattern.of(pattern).base
    for folder in sorted(tree.unknown_folders):
        if folder == base or folder.below(base) or base.below(folder):
            text = f"the EM's listing does not give the contents of {safe(folder)}"
            raise ProtocolError(f"{text}: what {safe(pattern)} selects there is not known; nothing was deleted")
