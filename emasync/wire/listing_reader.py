"""A file listing, read while it arrives: neither its text nor its JSON values are ever in memory as a whole.

Owns: finding the entries in any legal JSON, and handing them to the JSON parser a slice at a time, so that whoever
feeds it can do something else between two pieces. As strict as parsing the whole. Pure: no I/O. May import model,
config, errors and the rest of wire. What an entry means is in `emasync.wire.listing`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from emasync.config import Limits
from emasync.errors import ProtocolError
from emasync.model import FileTree
from emasync.wire.json_reply import parse_text, utf8_decoder, value_end
from emasync.wire.listing import ROOT, Listing, no_listing
from emasync.wire.responses import check_success

Redact = Callable[[str, Any], Any]
"""What is kept of a value that was parsed from that text: it may repeat a secret."""

_SLICE: Final = 64 * 1024
"""Characters of entries that are parsed in one go: a millisecond or two."""
_LONGEST: Final = 1024 * 1024
"""Characters of one entry without its contents, or of all that is said beside the entries."""
_DEEPEST: Final = 2048
"""Folders within folders: a path of as many does not fit into what systems take for one."""

# Possessive throughout: nothing is tried twice, whatever the text.
_STRING: Final = r'"(?:[^"\\]|\\.)*+"'
_FLAT: Final = rf'\{{[^{{}}\[\]"]*+(?:{_STRING}[^{{}}\[\]"]*+)*+'  # an object up to what is nested in it, or its end
_WHITE: Final = re.compile(r"[ \t\n\r]*+")
_A_STRING: Final = re.compile(_STRING, re.DOTALL)
_AN_OBJECT: Final = re.compile(_FLAT, re.DOTALL)
_RUN: Final = re.compile(rf"(?:[ \t\n\r]*+{_FLAT}\}}[ \t\n\r]*+,)++", re.DOTALL)  # entries that nothing is nested in
_WORD: Final = re.compile(r'[^ \t\n\r,:"{}\[\]]++')  # a number, or true, false, null


_KINDS: Final = {"[": "a list", '"': "a text"}
_KEPT: Final = frozenset(("name", "type", "size", "time", "hash", "contents", "error", "message", "detail"))


class _Object:
    """An object that is read key by key: the answer itself, or an entry with something nested in it."""

    __slots__ = ("fields", "key", "keys", "list_key", "number", "parent", "said")

    def __init__(self, *, list_key: str, parent: int) -> None:
        self.list_key = list_key  # under which its entries are
        self.parent = parent  # the number of the folder that it is in
        self.number: int | None = None  # of the folder that it is; None until its list of entries has been met
        self.keys: set[str] = set()
        self.key = ""  # whose value is being read
        self.fields: dict[str, Any] = {}
        self.said = 0  # characters of its keys and values


class ListingReader:
    """Reads ``{"data": [entry, ...]}`` in any key order and spelling JSON allows; `feed` it, then `finish`.

    Memory: the files, packed; the piece that is being fed; at most 1 MiB of text that waits for its end; something for
    each of the folders that are open, 2048 at most. At most `limits.listing_entries` entries. With `only`, just those
    files are kept, and all folders. After an error the reader is of no further use.
    """

    def __init__(self, limits: Limits, *, only: Collection[str] | None = None, redact: Redact | None = None) -> None:
        self._decode = utf8_decoder()
        self._redact = redact
        self._listing = Listing(limits, only=only)
        self._pieces: list[str] = []
        self._fed = 0  # characters in the pieces
        self._due = 1  # how many there must be before it is worth looking again
        self._text = ""
        self._at = 0
        self._before = 0  # characters of the answer before the text
        self._said = 0  # characters of the values beside the entries
        self._open: list[_Object] = []
        self._step: Callable[[], bool] = self._answer
        self._final = False

    def feed(self, data: bytes) -> None:
        """Take in the next piece of the answer. ProtocolError as soon as it cannot become right."""
        self._take(self._decode(data))

    def finish(self) -> Iterator[FileTree | None]:
        """To be called at the end of the answer: None between two slices of the work, at last the listing.
        ProtocolError if the answer is not whole, or is no listing."""
        self._final = True
        self._take(self._decode(b"", final=True))
        if self._step != self._end:
            raise self._invalid("it ends too early,")
        answer = self._open[0]
        check_success(answer.fields)
        if answer.number is None:
            raise no_listing(answer.fields)
        yield from self._listing.finish()

    def _take(self, piece: str) -> None:
        self._pieces.append(piece)
        self._fed += len(piece)
        if self._fed < self._due and not self._final:
            return
        self._before += self._at
        self._text = "".join((self._text[self._at :], *self._pieces))
        self._at, self._fed = 0, 0
        self._pieces.clear()
        while self._step():
            pass
        left = len(self._text) - self._at
        if left > _LONGEST:
            raise ProtocolError(f"a value in the listing is longer than {_LONGEST} characters")
        self._due = 1 + left // 4  # what waits for its end is not looked through again for every byte

    def _next(self) -> str:
        """The next character that is no white space; empty at the end of what is there."""
        found = _WHITE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return self._text[self._at : self._at + 1]

    def _invalid(self, why: str) -> ProtocolError:
        return ProtocolError(f"the answer is not valid JSON: {why} at character {self._before + self._at}")

    def _parsed(self, begin: int, end: int) -> Any:
        """The value in this part of the text, without secrets."""
        text = self._text[begin:end]
        value = parse_text(text, offset=self._before + begin)
        return value if self._redact is None else self._redact(text, value)

    # Each step reads one thing and says whether it could; a step that lacks text is taken again when there is more.

    def _answer(self) -> bool:
        char = self._next()
        if char and char != "{":
            raise ProtocolError(f"the listing answer is {_KINDS.get(char, 'something else')}, not an object")
        return bool(char) and self._enter(_Object(list_key="data", parent=ROOT))

    def _enter(self, what: _Object) -> bool:
        if len(self._open) > _DEEPEST:
            raise ProtocolError("the answer is nested too deeply")
        self._open.append(what)
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
        inside = self._open[-1]
        inside.key = parse_text(self._text[self._at : found.end()], offset=self._before + self._at)
        if inside.key in inside.keys:
            raise ProtocolError("the answer names a key twice in one object")
        inside.keys.add(inside.key)
        self._count(inside, found.end() - self._at)
        self._at = found.end()
        self._step = self._colon
        return True

    def _count(self, inside: _Object, characters: int) -> None:
        inside.said += characters
        self._said += characters
        if self._said > _LONGEST:
            raise ProtocolError(f"the listing says more than {_LONGEST} characters beside its entries")

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
        inside = self._open[-1]
        if inside.key == inside.list_key and char == "[":
            inside.number = self._listing.open_folder(inside.parent) if len(self._open) > 1 else ROOT
            self._at += 1
            self._step = self._first_entry
            return True
        if (end := self._value_end(char)) is None:
            return False
        value = self._parsed(self._at, end)
        self._count(inside, end - self._at)
        if inside.key in _KEPT:
            inside.fields[inside.key] = value
        self._at = end
        self._step = self._after_value
        return True

    def _value_end(self, char: str) -> int | None:
        """Where the value ends that begins here; None where it is not known yet."""
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
        done = self._open.pop()
        self._said -= done.said
        if done.number is None:
            self._listing.add(done.parent, [done.fields])
        else:
            self._listing.close_folder(done.number, done.fields)
        self._step = self._after_entry
        return True

    def _first_entry(self) -> bool:
        return self._close_list() if self._next() == "]" else self._entry()

    def _entry(self) -> bool:
        folder = self._open[-1].number
        assert folder is not None
        if (run := _RUN.match(self._text, self._at, self._at + _SLICE)) is not None:
            text = f"[{self._text[self._at : run.end() - 1]}]"
            entries = parse_text(text, offset=self._before + self._at - 1)
            self._listing.add(folder, entries if self._redact is None else self._redact(text, entries))
            self._at = run.end()
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
            return self._enter(_Object(list_key="contents", parent=folder))
        if stop in ("", '"'):
            return False  # its end has not come yet
        self._listing.add(folder, [self._parsed(self._at, found.end() + 1)])
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
