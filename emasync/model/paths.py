"""`RemotePath`: a path in a volume in normal form, and matching of paths with shell-like patterns.

A RemotePath becomes a local path only through `emasync.disk`. Must not import anything of emasync.
"""

from __future__ import annotations

import re
from functools import lru_cache


class RemotePath(str):
    """A path in a volume in normal form: ``/``-separated, no leading slash, ``.`` or empty parts; ``""`` is the root.

    It is a str, so it compares, hashes and prints as one. ``..`` is kept as it is: the server decides what it means,
    and `emasync.disk` refuses to follow it.

    >>> path = RemotePath("/results/./a.txt")
    >>> path, path.name, path.parent, path.parent / "b.txt"
    ('results/a.txt', 'a.txt', 'results', 'results/b.txt')
    """

    __slots__ = ()

    def __new__(cls, text: str = "") -> RemotePath:
        # called for every file of a listing and of a scan: most are in normal form, and are not split
        if type(text) is cls:
            return text
        if not text or text[0] in "/." or text[-1] == "/" or "//" in text or "/." in text:
            text = "/".join(part for part in text.split("/") if part not in ("", "."))
        return super().__new__(cls, text)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names from the root down; empty for the root."""
        return tuple(self.split("/")) if self else ()

    @property
    def name(self) -> str:
        """The last part; empty for the root."""
        return self.rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """The folder that holds it; the root's parent is the root."""
        return _from_normal(RemotePath, self.rpartition("/")[0])

    def __truediv__(self, other: str) -> RemotePath:
        if type(other) is not RemotePath:
            return RemotePath(f"{self}/{other}")
        return _from_normal(RemotePath, f"{self}/{other}") if self and other else self or other

    def below(self, folder: str) -> bool:
        """Whether the path lies inside `folder` (at any depth, not the folder itself)."""
        root = RemotePath(folder)
        return bool(self) and (not root or self.startswith(f"{root}/"))

    def relative_to(self, folder: str) -> RemotePath:
        """The rest of the path below `folder`; ValueError if it does not lie there."""
        root = RemotePath(folder)
        if not self.below(root):
            raise ValueError(f"{self!r} does not lie below {root!r}")
        return _from_normal(RemotePath, self[len(root) + 1 :] if root else self)


_from_normal = str.__new__  # makes a RemotePath of a text that is in normal form


def matches(path: str, pattern: str) -> bool:
    """Whether the whole of `path` matches `pattern` as in a shell: ``*`` and ``?`` stop at ``/``, ``**`` does not."""
    return _compiled(RemotePath(pattern)).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = pattern.split("/")
    folders = ["(?:[^/]+/)*" if part == "**" else f"{_part_regex(part)}/" for part in parts[:-1]]
    return re.compile("".join(folders) + (".*" if parts[-1] == "**" else _part_regex(parts[-1])), re.DOTALL)


def _part_regex(part: str) -> str:
    out, i = "", 0
    while i < len(part):
        char = part[i]
        i += 1
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[" and (end := part.find("]", i + 1 + (part[i : i + 1] in "!^"))) > 0:
            out += _set_regex(part[i:end])
            i = end + 1
        else:
            out += re.escape(char)
    return out


def _set_regex(inside: str) -> str:
    """The set in brackets as a regular expression. A range that runs backwards holds no character."""
    negated = inside[0] in "!^"
    ranges: list[tuple[str, str, str]] = re.findall(r"(?s)(.)-(.)|(.)", inside[negated:])
    held = "".join(
        f"{re.escape(low)}-{re.escape(high)}" if low else re.escape(char) for low, high, char in ranges if low <= high
    )
    if negated:
        return f"[^/{held}]"
    return f"(?!/)[{held}]" if held else "(?!)"
