"""Listings for tests: what the package's reader makes of a text, and what parsing the whole of it means."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from emasync.config import Limits
from emasync.errors import ProtocolError
from emasync.model import FileEntry, FileTree, RemotePath
from emasync.wire.json_parser import parse_text
from emasync.wire.listing import ListingParser
from emasync.wire.responses import check_success, integer


def read_listing(
    text: str | bytes, *, only: Collection[str] | None = None, cuts: Iterable[int] = (), limits: Limits | None = None
) -> FileTree:
    """The listing in `text`, fed to the reader in pieces that end at `cuts`."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    reader = ListingParser(limits or Limits(), only=only)
    begin = 0
    for end in [*cuts, len(data)]:
        reader.feed(data[begin:end])
        begin = end
    return next(tree for tree in reader.finish() if tree is not None)


def file_tree(value: object, *, only: Collection[str] | None = None) -> FileTree:
    """What the reader makes of `value` as JSON."""
    return read_listing(json.dumps(value), only=only)


def parsed_whole(text: str) -> FileTree:
    """The listing in `text`, which is parsed as a whole and then walked recursively. ProtocolError as the reader's."""
    reply = parse_text(text)
    if not isinstance(reply, dict):
        raise ProtocolError("not an object")
    check_success(reply)
    if not isinstance(reply.get("data"), list):
        raise ProtocolError("no listing")
    files: list[FileEntry] = []
    folders: list[str] = []
    unknown: list[str] = []

    def walk(above: str, entries: list[Any]) -> None:
        for raw in entries:
            if not isinstance(raw, dict):
                raise ProtocolError("not an object")
            name = raw.get("name")
            if not isinstance(name, str) or not name:
                raise ProtocolError("no name")
            path = f"{above}/{name}" if above else name
            if "contents" not in raw and raw.get("type") != "directory":
                files.append(_entry(path, raw))
                continue
            folders.append(path)
            contents = raw.get("contents")
            if not isinstance(contents, list) or raw.get("error"):
                unknown.append(path)
            walk(path, contents if isinstance(contents, list) else [])

    walk("", reply["data"])
    return FileTree(files, folders=folders, unknown_folders=unknown)


def _entry(path: str, raw: dict[str, Any]) -> FileEntry:
    size, time, tag = integer(raw.get("size")), raw.get("time"), integer(raw.get("hash"))
    return FileEntry(
        path=RemotePath(path),
        size=size if size is not None and 0 <= size < 2**63 else None,
        time=time if isinstance(time, str) else None,
        content_tag=tag if tag is not None and -(2**63) <= tag < 2**63 else None,
    )
