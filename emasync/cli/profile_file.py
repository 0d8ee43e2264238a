"""Write single values of a profile to the configuration file, and leave the rest of the file as it is.

Values are written as TOML; the file is replaced as a whole and has mode 0600. Reading is in `emasync.config`.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emasync.config import profile_file

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def save_profile(name: str, changes: Mapping[str, str | None]) -> Path:
    """Write `changes` (None: take the key away) into the profile `name`; returns the file, which is 0600 then.

    Comments and other profiles stay. ValueError when the file is no TOML, or written in a way this cannot edit.
    """
    return _edit(name, lambda lines: _changed(lines, name, changes), {**_tables().get(name, {}), **changes})


def drop_profile(name: str) -> bool:
    """Take the profile `name` away; False if there is none."""
    if name not in _tables():
        return False
    _edit(name, lambda lines: _without(lines, name), None)
    return True


def _tables() -> dict[str, Any]:
    file = profile_file()
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is not valid TOML: {error}; mend it first") from None


def _edit(name: str, edit: Any, table: Mapping[str, Any] | None) -> Path:
    file, expected = profile_file(), _tables()
    if table is None:
        del expected[name]
    else:
        expected[name] = {key: value for key, value in table.items() if value is not None}
    lines = file.read_text(encoding="utf-8").split("\n") if file.exists() else []
    text = "\n".join(edit(lines)).strip("\n") + "\n"
    try:
        written: dict[str, Any] | None = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        written = None
    if written != expected:  # multi-line strings, dotted keys, inline tables: written by hand
        raise ValueError(f"profile {name!r} in {file} is written in a way emasync does not edit; change it by hand")
    _write(file, text)
    return file


def _changed(lines: list[str], name: str, changes: Mapping[str, str | None]) -> list[str]:
    start, stop = _section(lines, name)
    head, body, tail = lines[:start], lines[start:stop], lines[stop:]
    if not body:
        head, body = [*head, ""] if head else head, [f"[{_key(name)}]"]
    for key, value in changes.items():
        own = re.compile(rf"\s*(?:{re.escape(key)}|\"{re.escape(key)}\")\s*=")
        at = next((i for i, line in enumerate(body) if own.match(line)), None)
        if at is not None:
            del body[at]
        if value is not None:
            end = at if at is not None else len(body) - _blank_at_end(body)
            body.insert(end, f"{_key(key)} = {_string(value)}")
    return head + body + tail


def _without(lines: list[str], name: str) -> list[str]:
    start, stop = _section(lines, name)
    return lines[:start] + lines[stop:]


def _section(lines: list[str], name: str) -> tuple[int, int]:
    """Where the table `name` begins and ends; both the end of the file where there is none."""
    header = re.compile(rf"\s*\[\s*(?:{re.escape(name)}|{re.escape(_string(name))})\s*\]\s*(?:#.*)?")
    start = next((i for i, line in enumerate(lines) if header.fullmatch(line)), len(lines))
    stop = next((i for i in range(start + 1, len(lines)) if lines[i].lstrip().startswith("[")), len(lines))
    return start, stop


def _blank_at_end(body: list[str]) -> int:
    return next((count for count, line in enumerate(reversed(body)) if line.strip()), 0)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(value: str) -> str:
    """A TOML basic string; its escapes are JSON's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(file: Path, text: str) -> None:
    """Whole or not at all, 0600 from the first moment; a link to the file stays a link."""
    target = file.resolve()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
