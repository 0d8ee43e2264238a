"""`FileEntry` and `FileTree`: what a volume holds, as the EM listed it.

Owns: looking things up in a listing. Imports paths. Knows nothing of how a listing is written on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from emasync.model.paths import RemotePath, matches


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a listing.

    `size` in bytes, None where the server gave none that can be read. `time` as the EM writes it
    (``2025-11-20-12-31``: minutes, no time zone). `content_tag` is the EM's signed 64-bit `hash`: a change tag, which
    on known servers is the tail of the file's MD5 (see `emasync.wire.content_tag`).
    """

    path: RemotePath
    size: int | None
    time: str | None = None
    content_tag: int | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name


class FileTree:
    """A volume's files by path. Iterates `FileEntry`s in listing order; folders are in `.folders` (empty ones too).

    A path may be asked for in any spelling: ``tree["/a/./b.txt"]``.
    """

    __slots__ = ("_files", "folders")

    def __init__(self, files: Iterable[FileEntry], *, folders: Iterable[str] = ()) -> None:
        self._files = {entry.path: entry for entry in files}
        self.folders = tuple(RemotePath(folder) for folder in folders)

    def __iter__(self) -> Iterator[FileEntry]:
        return iter(self._files.values())

    def __len__(self) -> int:
        return len(self._files)

    def __bool__(self) -> bool:
        return bool(self._files)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and RemotePath(path) in self._files

    def __getitem__(self, path: str) -> FileEntry:
        """The entry of a file; KeyError if the listing has no such file (a folder is none)."""
        return self._files[RemotePath(path)]

    def get(self, path: str) -> FileEntry | None:
        """The entry of a file, or None."""
        return self._files.get(RemotePath(path))

    def is_folder(self, path: str) -> bool:
        """Whether `path` is a folder of the listing; the root always is."""
        wanted = RemotePath(path)
        return not wanted or wanted in self.folders or any(entry.path.below(wanted) for entry in self)

    def below(self, folder: str) -> list[FileEntry]:
        """All files inside `folder`, at any depth."""
        root = RemotePath(folder)
        start = f"{root}/" if root else ""
        return [entry for entry in self if entry.path and entry.path.startswith(start)]

    def glob(self, pattern: str) -> list[FileEntry]:
        """The files whose whole path matches; ``*`` stays within a folder, ``**`` crosses folders."""
        return [entry for entry in self if matches(entry.path, pattern)]

    @property
    def total_size(self) -> int:
        """Bytes of all files whose size is known (folder sizes of the EM count entries too and are not used)."""
        return sum(entry.size or 0 for entry in self)

    def __repr__(self) -> str:
        return f"<FileTree: {len(self)} files in {len(self.folders)} folders, {self.total_size} bytes>"
