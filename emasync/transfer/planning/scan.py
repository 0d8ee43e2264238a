"""The local side of an uplink: which files the sources mean, and what state each is in.

Walks folders, expands local globs, follows links, rejects what is no file. Synchronous I/O (scandir, stat, and reading
`.emignore`): run `scan` in a file thread. Reads no file's contents. Must not import http.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from emasync.disk.fingerprint import Fingerprint
from emasync.disk.safe_paths import TEMP_PREFIX
from emasync.errors import EMError, ForbiddenError, NotFoundError, UnsafePathError, is_out_of_files
from emasync.model import Glob, RemotePath, safe
from emasync.model.glob import PathPattern, is_pattern
from emasync.model.paths import matches
from emasync.transfer.planning.filters import IGNORE_FILE, Filters, IgnoreRules
from emasync.transfer.planning.found_files import FoundFiles, FoundLog
from emasync.transfer.planning.plan import RejectedFile, prefix

_SHORTAGE_WAITS_S = (0.5, 1.5, 3.0)  # before a folder is read again for which no file could be opened
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What was found. `folders`: all that were walked, below the destination. `excluded` counts the files and folders
    that filters left out. `filters` are those of the call with every `.emignore` met on the way, for `compare`."""

    found: FoundFiles
    refused: tuple[RejectedFile, ...]
    folders: tuple[RemotePath, ...]
    excluded: int
    filters: Filters

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before the files are sent."""
        filled = self.found.folders
        filled |= {folder.rpartition("/")[0] for folder in self.folders}
        empty = [folder for folder in self.folders if folder and folder not in filled]
        return tuple(f"{safe(folder)}: an empty folder, nothing to move" for folder in empty)


def scan(
    sources: Sequence[str | Path | Glob],
    *,
    filters: Filters | None = None,
    follow_symlinks: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Scan:
    """The files that `sources` mean, in a stable order; nothing is raised for a file, it is refused with the reason.

    A file lands under its base name. ``src`` keeps its tree as ``src/...``; ``src/``, ``.`` and ``..`` mean the
    contents (a Path cannot end in a slash: give a str). In a str or Path only ``*`` and ``**`` are wildcards, and a
    file or folder of exactly that name is meant where there is one; a `Glob` is always a pattern. What a pattern
    selects lands relative to its leading folders without wildcards, folders with their tree; a slash at its end selects
    folders only; unlike in a shell ``*`` takes hidden names too. Patterns of `filters` see the path below the
    destination. An excluded folder is not looked into; in each folder that is, `.emignore` is heeded. Names that
    emasync keeps for its own files are left out.

    Refused: pipes, sockets, devices, dangling links, links to a folder they lie in (every link, with
    `follow_symlinks` off), unreadable folders, names that are not UTF-8, sources that are not there.
    """
    if isinstance(sources, (str, Path, Glob)):
        raise TypeError(f"sources come as a list, not as {sources!r} alone")
    walk = _Walk(filters or Filters(), follow=follow_symlinks, sleep=sleep)
    for source in sources:
        if isinstance(source, Glob):
            walk.glob(source)
        else:
            walk.source(os.fspath(source))
    return walk.result()


def scan_folder(folder: Path, *, filters: Filters | None = None) -> Scan:
    """The contents of one folder, as `scan`; a ``*`` in its name is never a wildcard, also where there is no folder."""
    walk = _Walk(filters or Filters(), follow=True, sleep=time.sleep)
    walk.source(f"{folder}/", literal=True)
    return walk.result()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """A folder to look into. `pattern` is what its files must match to be meant, None once all are."""

    path: str
    relative: RemotePath
    identity: tuple[int, int]
    filters: Filters
    above: _Folder | None = None
    pattern: RemotePath | None = None

    def lies_in(self, identity: tuple[int, int]) -> bool:
        """Whether it, or a folder above it, is that one."""
        folder: _Folder | None = self
        while folder is not None and folder.identity != identity:
            folder = folder.above
        return folder is not None


class _Walk:
    """The state of one scan. Folders wait on a list, not on the call stack: depth costs no recursion."""

    def __init__(self, filters: Filters, *, follow: bool, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        self._filters = filters
        self._rules: list[IgnoreRules] = []
        self._follow = follow
        self._found = FoundLog()
        self._rejected: list[RejectedFile] = []
        self._folders: list[RemotePath] = []
        self._excluded = 0

    def result(self) -> Scan:
        return Scan(
            found=FoundFiles(self._found),
            refused=tuple(self._rejected),
            folders=tuple(self._folders),
            excluded=self._excluded,
            filters=self._filters.with_nested(*self._rules),
        )

    def source(self, text: str, *, literal: bool = False) -> None:
        """Take in one source as the user wrote it; `literal`: it is no pattern, whatever it holds."""
        if not text:
            raise ValueError("an empty path is no source; write . for the current folder")
        name = text.rstrip("/").rpartition("/")[2]
        contents = text.endswith("/") or name in (".", "..")
        try:
            status = Path(text).stat(follow_symlinks=self._follow or contents)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError) and not os.path.lexists(text)
            if gone and is_pattern(text) and not literal:
                self.glob(text)
            else:
                self._reject(text, _shown(name), _os_error(text, error))
            return
        if stat.S_ISDIR(status.st_mode):
            self._walk(text, status, relative=RemotePath() if contents else _shown(name))
        elif contents:
            self._reject(text, _shown(name), NotFoundError(f"{safe(text)} is not a folder"))
        else:
            local_path = str(Path(text))
            self._file(local_path[: local_path.rfind("/") + 1], name, _shown(name), status, self._filters)

    def glob(self, selector: str | Glob) -> None:
        """Take in the files and folders that match a pattern."""
        text, pattern = str(selector), PathPattern.of(selector)
        base = pattern.folder or ("/" if text.startswith("/") else ".")
        counts = (len(self._found), len(self._rejected), self._excluded)
        try:
            status = Path(base).stat()
        except OSError as error:
            self._reject(text, _shown(text), _os_error(base, error))
            return
        if stat.S_ISDIR(status.st_mode):
            self._walk(base, status, relative=RemotePath(), pattern=pattern.rest)
        if counts == (len(self._found), len(self._rejected), self._excluded):
            self._reject(text, _shown(text), NotFoundError(f"no file matches {safe(text)}"))

    def _walk(
        self, path: str, status: os.stat_result, *, relative: RemotePath, pattern: RemotePath | None = None
    ) -> None:
        if not self._filters.walks(relative):
            self._excluded += 1
            return
        if relative and not _is_utf8(path):
            self._reject(path, relative, _not_utf8(path))
            return
        identity = (status.st_dev, status.st_ino)
        waiting = [_Folder(path=path, relative=relative, identity=identity, filters=self._filters, pattern=pattern)]
        while waiting:
            waiting.extend(reversed(list(self._look_into(waiting.pop()))))

    def _look_into(self, folder: _Folder) -> Iterator[_Folder]:
        """Take in what lies in `folder` itself; yield the folders in it that are to be looked into."""
        try:
            entries, filters = self._read_folder(folder)
        except (OSError, EMError) as error:
            self._reject(folder.path, folder.relative, _os_error(folder.path, error))
            return
        if folder.pattern is None:
            self._folders.append(folder.relative)
        directory = prefix(Path(folder.path))
        for entry in entries:
            name = entry.name
            if name[0] == "." and name.casefold().startswith(TEMP_PREFIX):
                continue
            relative = folder.relative / _shown(name)
            try:
                status = entry.stat(follow_symlinks=self._follow)
                link = stat.S_ISDIR(status.st_mode) and entry.is_symlink()
            except OSError as error:
                if filters.takes(relative) and _meant(relative, folder.pattern):
                    self._reject(entry.path, relative, _os_error(entry.path, error))
                continue
            if not stat.S_ISDIR(status.st_mode):
                if _meant(relative, folder.pattern):
                    self._file(directory, name, relative, status, filters)
            elif inner := self._inner(entry.path, relative, status, folder=folder, filters=filters, link=link):
                yield inner

    def _read_folder(self, folder: _Folder) -> tuple[list[os.DirEntry[str]], Filters]:
        """Its entries by name, and the filters inside it. Where no more files can be opened it waits: others end."""
        waits = iter(_SHORTAGE_WAITS_S)
        while True:
            try:
                with os.scandir(folder.path) as scanned:
                    entries = sorted(scanned, key=attrgetter("name"))
                return entries, self._heed_ignore_file(folder, entries)
            except OSError as error:
                wait = next(waits, None)
                if wait is None or not is_out_of_files(error):
                    raise
            self._sleep(wait)

    def _inner(  # noqa: PLR0913 - what the walk knows of one directory
        self,
        path: str,
        relative: RemotePath,
        status: os.stat_result,
        *,
        folder: _Folder,
        filters: Filters,
        link: bool,
    ) -> _Folder | None:
        """The folder at `path` if it is to be looked into."""
        pattern = None if _meant(relative, folder.pattern) else folder.pattern
        if pattern is not None and not _may_hold(relative, pattern):
            return None
        if not filters.walks(relative):
            self._excluded += 1
            return None
        identity = (status.st_dev, status.st_ino)
        if not _is_utf8(path):
            self._reject(path, relative, _not_utf8(path))
        elif link and folder.lies_in(identity):  # only a link can lead back up
            text = f"{safe(path)} is a link to a folder that it lies in"
            self._reject(path, relative, UnsafePathError(text, name=path, reason="a loop of links"))
        else:
            return _Folder(
                path=path, relative=relative, identity=identity, filters=filters, above=folder, pattern=pattern
            )
        return None

    def _file(self, directory: str, name: str, relative: RemotePath, status: os.stat_result, filters: Filters) -> None:
        path = directory + name
        if not filters.takes(relative):
            self._excluded += 1
        elif not _is_utf8(path):
            self._reject(path, relative, _not_utf8(path))
        elif stat.S_ISREG(status.st_mode):
            self._found.append(directory, relative, Fingerprint.of(status))
        else:
            link = stat.S_ISLNK(status.st_mode)
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
            reason = "a symbolic link, and links are not followed" if link else kind
            error = UnsafePathError(f"{safe(path)} cannot be sent: it is {reason}", name=path, reason=reason)
            self._reject(path, relative, error)

    def _heed_ignore_file(self, folder: _Folder, entries: Sequence[os.DirEntry[str]]) -> Filters:
        """The filters inside `folder`. An `.emignore` that cannot be read or understood is an error of the folder:
        without it, files would be sent that were meant to stay."""
        file = next((entry for entry in entries if entry.name == IGNORE_FILE and entry.is_file()), None)
        if file is None:
            return folder.filters
        lines = Path(file.path).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        try:
            rules = IgnoreRules(folder=folder.relative, lines=tuple(lines))
        except ValueError as error:
            raise UnsafePathError(f"{safe(file.path)}: {error}", name=file.path, reason="a broken .emignore") from None
        self._rules.append(rules)
        return folder.filters.with_nested(rules)

    def _reject(self, path: str | Path, relative: RemotePath, error: EMError) -> None:
        self._rejected.append(RejectedFile(remote=relative, local=Path(path), error=error))


def _meant(relative: RemotePath, pattern: RemotePath | None) -> bool:
    return pattern is None or matches(relative, pattern)


def _may_hold(folder: RemotePath, pattern: RemotePath) -> bool:
    """Whether something inside `folder` can match `pattern`."""
    names, parts = folder.parts, pattern.parts
    fixed = parts.index("**") if "**" in parts else len(parts) - 1  # how many levels match one part each
    if len(names) > fixed and "**" not in parts:
        return False
    level = min(len(names), fixed)
    return matches("/".join(names[:level]), "/".join(parts[:level]))


def _is_utf8(path: str) -> bool:
    """Whether the name of `path` is UTF-8; what the folders above it are called does not leave this machine."""
    try:
        path.rpartition("/")[2].encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> RemotePath:
    if name.isascii():
        return RemotePath(name)
    return RemotePath(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def _not_utf8(path: str | Path) -> EMError:
    text = f"{safe(path)} cannot be sent: its name is not UTF-8; rename it"
    return UnsafePathError(text, name=str(path), reason="not UTF-8")


def _os_error(path: str, error: OSError | EMError) -> EMError:
    if isinstance(error, EMError):
        return error
    if isinstance(error, FileNotFoundError):
        if not Path(path).is_symlink():
            return NotFoundError(f"{safe(path)} does not exist")
        return NotFoundError(f"{safe(path)} is a link to {safe(Path(path).readlink())}, which does not exist")
    text = f"{safe(path)}: {error.strerror or error}"
    return ForbiddenError(text) if isinstance(error, PermissionError) else EMError(text)
