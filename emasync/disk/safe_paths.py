"""Which names on the EM may become file names on this machine.

Refuses names that would escape the destination, be invisible, collide with emasync's own files, or mean a device on
some system. Pure: no I/O, knows nothing of existing files. Must not import other modules of disk.
"""

from __future__ import annotations

import unicodedata

from emasync.errors import UnsafePathError
from emasync.model import RemotePath, safe

TEMP_PREFIX = ".emasync-"
"""Names with this prefix (in any case) are reserved for emasync: temporary files and state."""

_MAX_NAME_BYTES = 255
"""The longest name, in UTF-8 bytes, that Linux and macOS file systems take."""

_SUPERSCRIPTS = "\u00b9\u00b2\u00b3"  # Windows takes COM and LPT with a superscript 1, 2 or 3 for the device, too
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{digit}" for port in ("com", "lpt") for digit in f"123456789{_SUPERSCRIPTS}"}
)
_CHARACTERS = {
    "/": "holds a separator ('/')",
    "\\": "holds a separator of Windows ('\\')",
    ":": "holds a colon, which names a drive or a stream on Windows",
    "\0": "holds a NUL",
}
_CATEGORIES = {
    "Cc": "a control character",
    "Cf": "an invisible or text-direction character",
    "Cs": "a lone surrogate (it is not valid Unicode)",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}


def name_problem(name: str) -> str | None:
    """Why `name` is refused as the name of a local file or directory, as the rest of a sentence; None if it is allowed.

    The rules of all systems apply at once, so that a directory that was saved here can be copied anywhere.
    """
    if problem := _plain_problem(name):
        return problem
    if len(name.encode()) > _MAX_NAME_BYTES:
        return f"is longer than {_MAX_NAME_BYTES} bytes"
    folded = unicodedata.normalize("NFKC", name)
    if folded != name and (problem := _plain_problem(folded)):
        return f"reads as {safe(folded, limit=80)!r} in compatibility form (NFKC), which {problem}"
    return None


def _plain_problem(name: str) -> str | None:
    if not name:
        return "is empty"
    if name in (".", ".."):
        return "is not a name but means this or the parent folder"
    for char in name:
        if char in _CHARACTERS:
            return _CHARACTERS[char]
        if kind := _CATEGORIES.get(unicodedata.category(char)):
            return f"holds {kind}, U+{ord(char):04X}"
    if name[-1] in ". ":
        return "ends in a dot or a space, which Windows drops"
    if name.partition(".")[0].rstrip(" ").casefold() in _DEVICES:
        return "is the name of a device on Windows"
    if name.casefold().startswith(TEMP_PREFIX):
        return f"starts with {TEMP_PREFIX!r}, which emasync keeps for its own files"
    return None


def local_parts(path: RemotePath) -> tuple[str, ...]:
    """The names of `path` from the root down; UnsafePathError if one of them is not allowed on this machine.

    Only the names are checked: `emasync.disk.directory` ensures that no symbolic link among them is followed.
    """
    if not path.parts:
        raise UnsafePathError("the root of the volume is not a file: name a file in it", name="", reason="is empty")
    for part in path.parts:
        if reason := name_problem(part):
            where = "" if part == path else f" of {safe(path)!r}"
            raise UnsafePathError(
                f"refusing to save {safe(part)!r}{where}: the name {reason}; rename it on the EM, or fetch it with "
                "em.files.read() and save it under a name of your own",
                name=part,
                reason=reason,
            )
    return path.parts


def case_fold_key(path: str) -> str:
    """A key that is equal for paths that some file system takes for the same one (letter case, composed accents)."""
    key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
    return path if key == path else key  # mostly equal: then no second str is kept for each of very many files
