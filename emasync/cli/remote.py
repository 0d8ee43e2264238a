"""What a user means by a path of the volume, and the one line that a listing has for it.

Owns: choosing files of a listing by path, folder or pattern. May import model and errors. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emasync.errors import NotFoundError
from emasync.model import FileEntry, FileTree, RemotePath
from emasync.model.paths import has_magic


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A file (`files` holds just it), or a folder with all the files below it."""

    path: RemotePath
    is_folder: bool
    files: tuple[FileEntry, ...]

    @property
    def size(self) -> int:
        """Bytes of its files, as listed."""
        return sum(entry.size or 0 for entry in self.files)


def choose(tree: FileTree, asked: str) -> list[Chosen]:
    """What `asked` names in `tree`: a file, a folder, or the files that match a pattern. A name that is there is never
    taken for a pattern. NotFoundError, with the next command, where there is nothing."""
    entry = tree.get(asked)
    if entry is not None:
        return [Chosen(path=entry.path, is_folder=False, files=(entry,))]
    if tree.is_folder(asked):
        return [Chosen(path=RemotePath(asked), is_folder=True, files=tuple(tree.below(asked)))]
    found = tree.glob(asked) if has_magic(asked) else []
    if not found:
        what = "no file matches" if has_magic(asked) else "no file or folder"
        raise NotFoundError(f"{what} {asked!r} in the volume; `emasync ls` shows what is there")
    return [Chosen(path=entry.path, is_folder=False, files=(entry,)) for entry in found]


def choose_all(tree: FileTree, asked: Sequence[str]) -> list[Chosen]:
    """`choose` for several, each thing once: what lies in a folder that is chosen too goes with the folder."""
    found = {one.path: one for path in asked for one in choose(tree, path)}
    folders = [one.path for one in found.values() if one.is_folder]
    return [one for one in found.values() if not any(one.path.below(folder) for folder in folders)]


def entry_fields(entry: FileEntry) -> dict[str, Any]:
    """A file of a listing, as every JSON line of it has it; the tag is a string, it exceeds 2**53."""
    tag = None if entry.content_tag is None else str(entry.content_tag)
    return {"path": str(entry.path), "size": entry.size, "time": entry.time, "content_tag": tag}
