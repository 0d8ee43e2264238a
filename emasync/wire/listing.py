"""A file listing, parsed while it arrives: neither its text nor its JSON values are ever in memory as a whole.

`ListingParser` finds the entries in any legal JSON and hands them to the JSON parser in slices, as strict as parsing
the whole; `_TreeBuilder` makes a `FileTree` of them. A size or tag that cannot be read is None. Does no I/O. Of wire it
imports the JSON parser and `responses` only.
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
"""Takes a text and the value that was parsed from it; returns the value without the secrets that it may repeat."""

_SLICE: Final = 64 * 1024
"""Characters of entries that are parsed at once: that takes a millisecond or two."""
_MAX_TEXT: Final = 1024 * 1024
"""Characters of one entry without its contents, and of all keys and values beside the entries."""
_MAX_DEPTH: Final = 2048
"""Folders within folders: a path of more is longer than operating systems allow."""
_MAX_PATHS: Final = 64 * 1024 * 1024
"""Characters of all paths together: each repeats the names of its folders, so a small response could become large."""
_ENTRIES_PER_FOLDER: Final = 4  # a folder counts as so many entries, by the memory that it takes
_ROOT: Final = 0  # the number of the folder that holds all others

# Possessive quantifiers throughout: no text makes the matching backtrack.
_STRING: Final = r'"(?:[^"\\]|\\.)*+"'
_FLAT: Final = rf'\{{[^{{}}\[\]"]*+(?:{_STRING}[^{{}}\[\]"]*+)*+'  # an object up to what is nested in it, or its end
_WHITE: Final = re.compile(r"[ \t\n\r]*+")
_A_STRING: Final = re.compile(_STRING, re.DOTALL)
_AN_OBJECT: Final = re.compile(_FLAT, re.DOTALL)
_FLAT_ENTRIES: Final = re.compile(rf"(?:[ \t\n\r]*+{_FLAT}\}}[ \t\n\r]*+,)++", re.DOTALL)  # nothing is nested in them
_WORD: Final = re.compile(r'[^ \t\n\r,:"{}\[\]]++')  # a number, or true, false, null

_KINDS: Final = {"[": "a list", '"': "a text"}
_KEPT_KEYS: Final = frozenset(("name", "type", "size", "time", "hash", "contents", "error", "message", "detail"))


class _TreeBuilder:
    """Collects the entries of a listing and makes a `FileTree` of them.

    Folders have numbers, in the order in which they begin: the name of a folder may come after its contents. With
    `only`, just the files at these paths are kept.
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
        """A number for a folder that begins in the folder number `parent`."""
        if (remaining := self._remaining - _ENTRIES_PER_FOLDER) < 0:
            raise self._too_many()
        self._remaining = remaining
        self._parents.append(parent)
        return self._files.new_folder()

    def close_folder(self, number: int, fields: Mapping[str, Any]) -> None:
        """Take the name and the error of a folder whose list of contents was read."""
        name = fields.get("name")
        if not isinstance(name, str) or not name:
            raise ProtocolError("an entry of the listing has no name")
        self._files.folders[number] = name
        if fields.get("error"):
            self._unknown.append(number)

    def finish(self) -> Iterator[FileTree | None]:
        """Make the tree: None between two slices of the work, at last the tree."""
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
            "Limits.listing_entries says how many are taken"
        )


def _paths_too_long() -> ProtocolError:
    return ProtocolError(f"the paths of the listing are longer than {_MAX_PATHS} characters together")


class _OpenObject:
    """An object that is read key by key: the response itself, or an entry with something nested in it."""

    __slots__ = ("characters", "fields", "key", "keys", "list_key", "number", "parent")

    def __init__(self, *, list_key: str, parent: int) -> None:
        self.list_key = list_key  # the key of its list of entries
        self.parent = parent  # the number of the folder that holds it
        self.number: int | None = None  # its own folder number; None until its list of entries begins
        self.keys: set[str] = set()
        self.key = ""  # whose value is being read
        self.fields: dict[str, Any] = {}
        self.characters = 0  # of its keys and values


class ListingParser:
    """Parses ``{"data": [entry, ...]}`` in any key order and spelling that JSON allows; `feed` it, then `finish`.

    Memory: the files, packed; the piece that is being fed; at most 1 MiB of text whose end has not come; an object for
    each of the open folders, 2048 at most. At most `limits.listing_entries` entries. With `only`, just the files at
    these paths are kept, and all folders. After an error the parser cannot be used any more.
    """

    def __init__(self, limits: Limits, *, only: Collection[str] | None = None, redact: Redact | None = None) -> None:
        self._decode = utf8_decoder()
        self._redact = redact
        self._builder = _TreeBuilder(limits, only=only)
        self._pieces: list[str] = []
        self._fed = 0  # characters in the pieces
        self._needed = 1  # characters that there must be before it is worth parsing on
        self._text = ""
        self._at = 0
        self._offset = 0  # of the text in the response, in characters
        self._characters = 0  # of the keys and values beside the entries
        self._open: list[_OpenObject] = []
        self._step: Callable[[], bool] = self._response
        self._final = False

    def feed(self, data: bytes) -> None:
        """Parse the next piece of the response. ProtocolError as soon as it cannot become a listing."""
        self._take(self._decode(data))

    def finish(self) -> Iterator[FileTree | None]:
        """To be called at the end of the response: None between two slices of the work, at last the listing.
        ProtocolError if the response is not complete, or is no listing."""
        self._final = True
        self._take(self._decode(b"", final=True))
        if self._step != self._end:
            raise self._invalid("it ends too early,")
        response = self._open[0]
        check_success(response.fields)
        if response.number is None:  # this does not mean that the volume is empty
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
        self._needed = 1 + left // 4  # text whose end has not come is not searched again for every byte

    def _next(self) -> str:
        """The next character that is no white space; empty at the end of the text."""
        found = _WHITE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return self._text[self._at : self._at + 1]

    def _invalid(self, why: str) -> ProtocolError:
        return ProtocolError(f"the answer is not valid JSON: {why} at character {self._offset + self._at}")

    def _parsed(self, begin: int, end: int) -> Any:
        """The value in this part of the text, without secrets."""
        text = self._text[begin:end]
        value = parse_text(text, offset=self._offset + begin)
        return value if self._redact is None else self._redact(text, value)

    # Each step reads one thing and returns whether it could; a step that lacks text is repeated when more has come.

    def _response(self) -> bool:
        char = self._next()
        if char and char != "{":
            raise ProtocolError(f"the listing answer is {_KINDS.get(char, 'something else')}, not an object")
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
            raise self._invalid("a key should be here, in quotes,")
        found = _A_STRING.match(self._text, self._at)
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
            raise ProtocolError(f"the listing says more than {_MAX_TEXT} characters beside its entries")

    def _colon(self) -> bool:
        char = self._next()
        if char and char != ":":
            raise self._invalid("a colon should be here,")
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
        if current.key in _KEPT_KEYS:
            current.fields[current.key] = value
        self._at = end
        self._step = self._after_value
        return True

    def _value_end(self, char: str) -> int | None:
        """Where the value that begins here ends; None if its end has not come."""
        if char in "{[":
            return value_end(self._text, self._at)
        found = (_A_STRING if char == '"' else _WORD).match(self._text, self._at)
        if found is None:
            if char == '"':
                return None
            raise self._invalid("a value should be here,")
        return None if char != '"' and found.end() == len(self._text) else found.end()  # a number may go on

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
        found = _AN_OBJECT.match(self._text, self._at)
        if found is None:
            raise ProtocolError(f"an entry of the listing is {_KINDS.get(char, 'something else')}, not an object")
        stop = self._text[found.end() : found.end() + 1]
        if stop in ("{", "["):
            return self._enter(_OpenObject(list_key="contents", parent=folder))
        if stop in ("", '"'):
            return False  # its end has not come yet
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
            raise self._invalid("more data after the answer")
        return False
