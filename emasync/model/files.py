"""`FileTree`: the files and folders of a volume, as the EM listed them.

Knows nothing of how a listing is sent (`emasync.wire.listing`). Must not import errors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from emasync.model.file_table import FileEntry, FileTable
from emasync.model.paths import RemotePath, matches
from emasync.model.text import safe


class FileTree:
    """A volume's files by path. Iterates `FileEntry`s in listing order; folders are in `.folders` (empty ones too).

    A path may be given in any spelling: ``tree["/a/./b.txt"]``. Files are packed, about 60 bytes and the name of each;
    an entry is made anew whenever it is asked for. A listing may name a folder without its contents: such folders are
    in `.unknown_folders`, and a path in one of them that is missing here may exist on the EM. Ask `is_known` before
    anything is concluded from a missing path. `only` are the paths that were kept of the listing, if not all: about
    other files the tree knows nothing.

    >>> tree = await em.files.list()
    >>> tree["results/a.txt"].size, "results/c.txt" in tree, tree.total_size
    (6, False, 18)
    >>> [entry.name for entry in tree.glob("results/*.txt")]
    ['a.txt', 'b.txt']
    """

    __slots__ = ("_files", "_only", "folders", "unknown_folders")

    def __init__(
        self,
        files: Iterable[FileEntry] | FileTable,
        *,
        folders: Iterable[str] = (),
        unknown_folders: Iterable[str] = (),
        only: Collection[str] | None = None,
    ) -> None:
        self._files = files if isinstance(files, FileTable) else FileTable.from_entries(files)
        self._only = only
        self.folders: tuple[RemotePath, ...] = tuple(RemotePath(folder) for folder in folders)
        self.unknown_folders: frozenset[RemotePath] = frozenset(RemotePath(folder) for folder in unknown_folders)

    @property
    def complete(self) -> bool:
        """Whether the listing gives the contents of every folder."""
        return not self.unknown_folders and self._only is None

    def is_known(self, path: str) -> bool:
        """Whether the listing tells if something exists at `path`: this path was kept of it, and it gives the contents
        of every folder on the way. Only then does ``path not in tree`` mean that no such file exists.

        >>> tree = FileTree([], folders=["logs"], unknown_folders=["logs"])
        >>> tree.is_known("logs/today.txt"), tree.is_known("logs"), tree.is_known("other.txt")
        (False, True, True)
        """
        wanted = RemotePath(path)
        if self._only is not None and wanted not in self._only and wanted not in self.folders:
            return False
        return not self.unknown_folders or self.unknown_above(wanted) is None

    def unknown_above(self, path: str) -> RemotePath | None:
        """The folder on the way to `path` whose contents the listing does not give; None if there is none."""
        if not self.unknown_folders:
            return None
        folder = RemotePath(path)
        while folder:
            folder = folder.parent
            if folder in self.unknown_folders:
                return folder
        return None

    def unknown_below(self, folder: str) -> list[RemotePath]:
        """The folders in `folder`, and itself, whose contents the listing does not give."""
        root = RemotePath(folder)
        return sorted(unknown for unknown in self.unknown_folders if unknown == root or unknown.below(root))

    def __iter__(self) -> Iterator[FileEntry]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __bool__(self) -> bool:
        return len(self._files) > 0

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._files.get(RemotePath(path)) is not None

    def __getitem__(self, path: str) -> FileEntry:
        """The entry of a file; KeyError if the listing has no such file (a folder is no file)."""
        if (entry := self._files.get(RemotePath(path))) is None:
            raise KeyError(path)
        return entry

    def get(self, path: str) -> FileEntry | None:
        """The entry of a file, or None."""
        return self._files.get(RemotePath(path))

    @property
    def table(self) -> FileTable:
        """The files by position, for callers that cannot hold an entry of each."""
        return self._files

    def is_folder(self, path: str) -> bool:
        """Whether `path` is a folder of the listing; the root always is."""
        wanted = RemotePath(path)
        return not wanted or wanted in self.folders or self._files.holds_files_below(wanted)

    def mistakable(self, path: str, *, folder: bool = False) -> str | None:
        """Why deleting the file (or `folder`) at `path` could delete another one; None if the listing shows no reason.

        A listing can hold any name, also such that the EM takes for another one.
        """
        wanted = RemotePath(path)
        if ".." in wanted.parts:
            return "it leads out of its folder"
        if not wanted or (not folder and self.is_folder(wanted)):
            return "a folder is called the same"
        trimmed = wanted.strip()
        if trimmed != wanted and (trimmed in self or self.is_folder(trimmed)):
            return f"without the blanks at its ends it is {safe(trimmed)}, which is there too"
        return None

    def below(self, folder: str) -> list[FileEntry]:
        """All files inside `folder`, at any depth."""
        return self._files.entries_below(RemotePath(folder))

    def glob(self, pattern: str) -> list[FileEntry]:
        """The files whose whole path matches; ``*`` stays within a folder, ``**`` crosses folders."""
        files = self._files
        return [files.entry(position) for position, path in enumerate(files.paths()) if matches(path, pattern)]

    @property
    def total_size(self) -> int:
        """Bytes of all files whose size is known (folder sizes of the EM count entries too and are not used)."""
        return self._files.total_size

    def __repr__(self) -> str:
        unknown = f", the contents of {len(self.unknown_folders)} not known" if self.unknown_folders else ""
        return f"<FileTree: {len(self)} files in {len(self.folders)} folders{unknown}, {self.total_size} bytes>"
