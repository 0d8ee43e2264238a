"""Parses a file listing while it arrives, so that its whole text and its JSON values are never in memory at once.

`ListingParser` cuts the text into slices of whole entries, and the JSON parser parses each as strictly as the whole
text. `_TreeBuilder` packs the entries into a `FileTree`; a size or tag that is no valid number becomes
None. Does no I/O. Of wire it imports the JSON parser and `responses` only.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from emasync.config import Limits
from emasync.errors import ProtocolError
from emasync.model import FileTable, FileTree, RemotePath
from emasync.wire.json_parser import parse_text, utf8_decoder, value_end
from emasync.wire.responses import check_success, integer, server_message

Redact = Callable[[str, Any], Any]
"""Takes a text and the value that was parsed from it; returns the value without passwords and tokens."""

_SLICE: Final = 64 * 1024
"""Characters of entries that are parsed at once. Parsing them blocks the event loop for a millisecond or two."""
_MAX_TEXT: Final = 1024 * 1024
"""Maximum of characters in one entry without its contents, and in all keys and values outside the entries."""
_MAX_DEPTH: Final = 2048
"""Maximum of nested folders. The path of a file that is nested deeper is longer than operating systems allow."""
_MAX_PATHS: Final = 64 * 1024 * 1024
"""Maximum of characters in all paths. Each repeats its folders' names, so a small response could fill the memory."""
_ENTRIES_PER_FOLDER: Final = 4  # a folder takes the memory of four files, so it counts as four entries
_ROOT: Final = 0  # the number of the folder that holds all others

# All quantifiers are possessive, so that no text can make a match slow by backtracking.
_STRING: Final = r'"(?:[^"\\]|\\.)*+"'
_FLAT: Final = rf'\{{[^{{}}\[\]"]*+(?:{_STRING}[^{{}}\[\]"]*+)*+'  # an object up to its first nested value, or its end
_WHITE_SPACE: Final = re.compile(r"[ \t\n\r]*+")
_STRING_REGEX: Final = re.compile(_STRING, re.DOTALL)
_FLAT_REGEX: Final = re.compile(_FLAT, re.DOTALL)
_FLAT_ENTRIES: Final = re.compile(rf"(?:[ \t\n\r]*+{_FLAT}\}}[ \t\n\r]*+,)++", re.DOTALL)  # without nested values
_NUMBER_OR_NAME: Final = re.compile(r'[^ \t\n\r,:"{}\[\]]++')  # the names are true, false and null

_KINDS: Final = {"[": "a list", '"': "a string"}
_USED_KEYS: Final = frozenset(("name", "type", "size", "time", "hash", "contents", "error", "message", "detail"))


class _TreeBuilder:
    """Collects the entries of a listing and builds a `FileTree` from them.

    A folder is known by a number until the end, because its name may come after its contents; folders are numbered in
    the order in which they begin. With `only`, files at other paths are dropped.
    """

    def __init__(self, limits: Limits, *, only: Collection[str] | None = None) -> None:
        self._remaining = self._max_entries = limits.listing_entries
        self._only = None if only is None else frozenset(RemotePath(path) for path in only)
        self._names = None if self._only is None else {path.name for path in self._only}
        self._files = FileTable()
        self._files.new_folder()  # the root
        self._parents = array("I", (_ROOT,))
        self._unknown: list[int] = []

    def add(self, folder: int, entries: Iterable[Mapping[str, Any]]) -> None:
        """Add entries of the folder that have no list of contents: files, and folders whose contents are unknown."""
        files, names, remaining = self._files, self._names, self._remaining
        for raw in entries:
            name = raw.get("name")
            if not isinstance(name, str) or not name:
                raise ProtocolError("an entry of the listing has no name")
            if "contents" in raw or raw.get("type") == "directory":
                self._remaining = remaining
                number = self.open_folder(folder)
                self._files.folders[number] = name
                self._unknown.append(number)
                remaining = self._remaining
                continue
            if names is not None and name not in names and "/" not in name:
                continue
            if (remaining := remaining - 1) < 0:
                raise self._too_many()
            size, time, tag = integer(raw.get("size")), raw.get("time"), integer(raw.get("hash"))
            files.append(
                folder,
                name,
                size if size is not None and 0 <= size < 2**63 else None,
                time if isinstance(time, str) else None,
                tag if tag is not None and -(2**63) <= tag < 2**63 else None,
            )
        self._remaining = remaining

    def open_folder(self, parent: int) -> int:
        """Give a number to a folder that begins inside the folder with the number `parent`."""
        if (remaining := self._remaining - _ENTRIES_PER_FOLDER) < 0:
            raise self._too_many()
        self._remaining = remaining
        self._parents.append(parent)
        return self._files.new_folder()

    def close_folder(self, number: int, fields: Mapping[str, Any]) -> None:
        """Set the name of a folder whose contents were read. With an error in `fields`, they count as incomplete."""
        name = fields.get("name")
        if not isinstance(name, str) or not name:
            raise ProtocolError("an entry of the listing has no name")
        self._files.folders[number] = name
        if fields.get("error"):
            self._unknown.append(number)

    def finish(self) -> Iterator[FileTree | None]:
        """Build the tree. Yields None after each slice of the work, so that other tasks can run, and the tree last."""
        files, folders = self._files, self._files.folders
        remaining = _MAX_PATHS
        for number in range(1, len(folders)):  # a folder begins before its contents
            parent = folders[self._parents[number]]
            folders[number] = RemotePath(f"{parent}/{folders[number]}" if parent else folders[number])
            if (remaining := remaining - len(folders[number])) < 0:
                raise _paths_too_long()
        if files.characters > remaining:
            raise _paths_too_long()
        listed = [folders[number] for number in range(1, len(folders))]
        unknown = [folders[number] for number in sorted(self._unknown)]
        yield None
        for table in files.indexing(only=self._only):
            yield (
                FileTree(table, folders=listed, unknown_folders=unknown, only=self._only) if table is not None else None
            )

    def _too_many(self) -> ProtocolError:
        return ProtocolError(
            f"the listing has more than {self._max_entries} entries (a folder counts as {_ENTRIES_PER_FOLDER}); "
            "Limits.listing_entries sets this maximum"
        )


def _paths_too_long() -> ProtocolError:
    return ProtocolError(f"the paths of the listing have more than {_MAX_PATHS} characters in total")


class _OpenObject:
    """A JSON object whose end has not been read: the response itself, or an entry that contains lists or objects."""

    __slots__ = ("characters", "fields", "key", "keys", "list_key", "number", "parent")

    def __init__(self, *, list_key: str, parent: int) -> None:
        self.list_key = list_key  # the key of its list of entries
        self.parent = parent  # the number of the folder that holds it
        self.number: int | None = None  # its own folder number; None until its list of entries begins
        self.keys: set[str] = set()
        self.key = ""  # the key whose value is read now
        self.fields: dict[str, Any] = {}
        self.characters = 0  # in its keys and values, without its list of entries


class ListingParser:
    """Parses ``{"data": [entry, ...]}`` with any key order and white space. Call `feed` for each piece, then `finish`.

    Memory: the packed files, at most `limits.listing_entries`; the piece that is fed; an incomplete value of at most
    1 MiB; an object for each open folder, at most 2048. With `only`, files at other paths are dropped, but no folders.
    After an error the parser cannot be used any more.
    """

    def __init__(self, limits: Limits, *, only: Collection[str] | None = None, redact: Redact | None = None) -> None:
        self._decode = utf8_decoder()
        self._redact = redact
        self._builder = _TreeBuilder(limits, only=only)
        self._pieces: list[str] = []
        self._fed = 0  # characters in the pieces
        self._needed = 1  # characters that must be fed before parsing goes on
        self._text = ""
        self._at = 0  # the index in `_text` of the next character to parse
        self._offset = 0  # the index of `_text` in the whole response
        self._characters = 0  # in the keys and values outside the entries
        self._open: list[_OpenObject] = []
        self._step: Callable[[], bool] = self._response  # the method that reads the next token
        self._final = False

    def feed(self, data: bytes) -> None:
        """Parse the next piece of the response. ProtocolError as soon as the response cannot be a valid listing."""
        self._take(self._decode(data))

    def finish(self) -> Iterator[FileTree | None]:
        """Call it at the end of the response. Yields None after each slice of the work, and the listing last.
        ProtocolError if the response is incomplete or is no listing."""
        self._final = True
        self._take(self._decode(b"", final=True))
        if self._step != self._end:
            raise self._invalid("it ends too early")
        response = self._open[0]
        check_success(response.fields)
        if response.number is None:  # a missing list is no proof that the volume is empty
            detail = server_message(response.fields)
            raise ProtocolError("the answer is no listing: it has no list of entries", detail=detail)
        yield from self._builder.finish()

    def _take(self, piece: str) -> None:
        self._pieces.append(piece)
        self._fed += len(piece)
        if self._fed < self._needed and not self._final:
            return
        self._offset += self._at
        self._text = "".join((self._text[self._at :], *self._pieces))
        self._at, self._fed = 0, 0
        self._pieces.clear()
        while self._step():
            pass
        left = len(self._text) - self._at
        if left > _MAX_TEXT:
            raise ProtocolError(f"a value in the listing is longer than {_MAX_TEXT} characters")
        self._needed = 1 + left // 4  # an incomplete value is searched for its end again only when a quarter was added

    def _next(self) -> str:
        """The next character that is no white space; empty at the end of the text."""
        found = _WHITE_SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return self._text[self._at : self._at + 1]

    def _invalid(self, why: str) -> ProtocolError:
        return ProtocolError(f"the answer is not valid JSON: {why} at character {self._offset + self._at}")

    def _parsed(self, begin: int, end: int) -> Any:
        """The JSON value in this part of the text, without passwords and tokens."""
        text = self._text[begin:end]
        value = parse_text(text, offset=self._offset + begin)
        return value if self._redact is None else self._redact(text, value)

    # Each step reads one token and returns True. If the token is incomplete, it returns False and runs again later.

    def _response(self) -> bool:
        char = self._next()
        if char and char != "{":
            raise ProtocolError(f"the listing answer is {_KINDS.get(char, 'another JSON value')}, not an object")
        return bool(char) and self._enter(_OpenObject(list_key="data", parent=_ROOT))

    def _enter(self, entered: _OpenObject) -> bool:
        if len(self._open) > _MAX_DEPTH:
            raise ProtocolError("the answer is nested too deeply")
        self._open.append(entered)
        self._at += 1
        self._step = self._first_key
        return True

    def _first_key(self) -> bool:
        return self._close_object() if self._next() == "}" else self._key()

    def _key(self) -> bool:
        char = self._next()
        if not char:
            return False
        if char != '"':
            raise self._invalid("a key in quotes is expected")
        found = _STRING_REGEX.match(self._text, self._at)
        if found is None:
            return False
        current = self._open[-1]
        current.key = parse_text(self._text[self._at : found.end()], offset=self._offset + self._at)
        if current.key in current.keys:
            raise ProtocolError("the answer names a key twice in one object")
        current.keys.add(current.key)
        self._count(current, found.end() - self._at)
        self._at = found.end()
        self._step = self._colon
        return True

    def _count(self, current: _OpenObject, characters: int) -> None:
        current.characters += characters
        self._characters += characters
        if self._characters > _MAX_TEXT:
            raise ProtocolError(f"the listing has more than {_MAX_TEXT} characters outside its entries")

    def _colon(self) -> bool:
        char = self._next()
        if char and char != ":":
            raise self._invalid("a colon is expected")
        if not char:
            return False
        self._at += 1
        self._step = self._value
        return True

    def _value(self) -> bool:
        char = self._next()
        if not char:
            return False
        current = self._open[-1]
        if current.key == current.list_key and char == "[":
            current.number = self._builder.open_folder(current.parent) if len(self._open) > 1 else _ROOT
            self._at += 1
            self._step = self._first_entry
            return True
        if (end := self._value_end(char)) is None:
            return False
        value = self._parsed(self._at, end)
        self._count(current, end - self._at)
        if current.key in _USED_KEYS:
            current.fields[current.key] = value
        self._at = end
        self._step = self._after_value
        return True

    def _value_end(self, char: str) -> int | None:
        """The index at which the value that begins at `_at` ends; None if its end has not been fed yet."""
        if char in "{[":
            return value_end(self._text, self._at)
        found = (_STRING_REGEX if char == '"' else _NUMBER_OR_NAME).match(self._text, self._at)
        if found is None:
            if char == '"':
                return None
            raise self._invalid("a value is expected")
        return None if char != '"' and found.end() == len(self._text) else found.end()  # a number may get more digits

    def _after_value(self) -> bool:
        char = self._next()
        if char == "}":
            return self._close_object()
        if char and char != ",":
            raise self._invalid("a comma should be here,")
        if not char:
            return False
        self._at += 1
        self._step = self._key
        return True

    def _close_object(self) -> bool:
        self._at += 1
        if len(self._open) == 1:
            self._step = self._end
            return True
        closed = self._open.pop()
        self._characters -= closed.characters
        if closed.number is None:
            self._builder.add(closed.parent, [closed.fields])
        else:
            self._builder.close_folder(closed.number, closed.fields)
        self._step = self._after_entry
        return True

    def _first_entry(self) -> bool:
        return self._close_list() if self._next() == "]" else self._entry()

    def _entry(self) -> bool:
        folder = self._open[-1].number
        assert folder is not None
        if (flat := _FLAT_ENTRIES.match(self._text, self._at, self._at + _SLICE)) is not None:
            text = f"[{self._text[self._at : flat.end() - 1]}]"
            entries = parse_text(text, offset=self._offset + self._at - 1)
            self._builder.add(folder, entries if self._redact is None else self._redact(text, entries))
            self._at = flat.end()
            self._step = self._entry
            return True
        char = self._next()
        if not char:
            return False
        found = _FLAT_REGEX.match(self._text, self._at)
        if found is None:
            raise ProtocolError(f"an entry of the listing is {_KINDS.get(char, 'another JSON value')}, not an object")
        stop = self._text[found.end() : found.end() + 1]
        if stop in ("{", "["):
            return self._enter(_OpenObject(list_key="contents", parent=folder))
        if stop in ("", '"'):
            return False  # the end of the entry has not been fed yet
        self._builder.add(folder, [self._parsed(self._at, found.end() + 1)])
        self._at = found.end() + 1
        self._step = self._after_entry
        return True

    def _after_entry(self) -> bool:
        char = self._next()
        if char == "]":
            return self._close_list()
        if char and char != ",":
            raise self._invalid("a comma should be here,")
        if not char:
            return False
        self._at += 1
        self._step = self._entry
        return True

    def _close_list(self) -> bool:
        self._at += 1
        self._step = self._after_value
        return True

    def _end(self) -> bool:
        if self._next():
            raise self._invalid("it is followed by more data")
        return False
