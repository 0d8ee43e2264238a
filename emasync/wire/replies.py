"""What an answer of the EM means: JSON values to the nouns, tolerant of shape and strict in use.

Owns: the shapes of 200 answers. May import model and errors. Errors are read in `emasync.wire.refusals`.
A value that cannot be read is None, and stays in `.raw` but for listings; an answer of the wrong kind altogether is a
ProtocolError.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from emasync.errors import ProtocolError
from emasync.model import FileEntry, FileTree, Image, NodeStatus, PodPhase, PodStatus, RemotePath

_PATHS = 64 * 1024 * 1024
"""Characters of all paths of a listing: each repeats its folders' names, so a small answer could make very much."""

_PHASES = {"waiting": PodPhase.WAITING, "running": PodPhase.RUNNING, "terminated": PodPhase.TERMINATED}


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkReceipt:
    """What the server says it took; `file_count` None where it does not say. It proves little: compare and list."""

    file_count: int | None
    total_size_kb: float | None


def tokens(reply: Any) -> tuple[str, str | None]:
    """``access`` and, where given, ``refresh`` of a log-in or refresh answer."""
    access, refresh = _object(reply, "log-in").get("access"), _object(reply, "log-in").get("refresh")
    if not isinstance(access, str) or not access or not access.isascii() or not access.isprintable():
        raise ProtocolError("the log-in answer holds no usable access token")
    return access, refresh if isinstance(refresh, str) and refresh else None


class ListedFile(NamedTuple):
    """A file's entry in a listing, its folder not known yet."""

    name: str
    size: int | None
    time: str | None
    tag: int | None


_LEFT_OUT = ListedFile("", None, None, None)


class Shrinker:
    """Makes a `ListedFile` of what is the entry of a file: a third of the memory, and a listing may have very many.

    With `only`, entries are left out that cannot be one of these paths.
    """

    def __init__(self, only: Collection[str] | None = None) -> None:
        self._times: dict[str, str] = {}  # minutes: many files share one
        self._names = None if only is None else {path.rpartition("/")[2] for path in only}

    def __call__(self, raw: dict[str, Any]) -> dict[str, Any] | ListedFile:
        if "data" in raw:  # the answer as a whole, which may have a name
            return raw
        listed = self.file(raw)
        return raw if listed is None else listed

    def file(self, raw: dict[str, Any]) -> ListedFile | None:
        """What is kept of a file's entry; None for a folder, and for what has no name."""
        name = raw.get("name")
        if not isinstance(name, str) or not name or "contents" in raw or raw.get("type") == "directory":
            return None
        if self._names is not None and name not in self._names and "/" not in name:
            return _LEFT_OUT
        size, time, tag = whole(raw.get("size")), raw.get("time"), whole(raw.get("hash"))
        return ListedFile(  # by place, which is quicker than by name
            name,
            size if size is not None and 0 <= size < 2**63 else None,
            self._times.setdefault(time, time) if isinstance(time, str) else None,
            tag if tag is not None and -(2**63) <= tag < 2**63 else None,
        )


def file_tree(reply: Any, *, only: Collection[str] | None = None) -> FileTree:
    """The listing: ``{"data": [entry, ...]}``. Entries may be shrunk. With `only`, just those files of it; all folders
    in any case.

    An answer without a list of entries is no listing, and a ProtocolError: it does not say that the volume is empty. A
    folder without a list of ``contents`` is one of the tree's unknown folders, for the same reason.
    Takes `reply` apart as it goes, so that a listing of very many files is never in memory twice.
    """
    # an answer that has a name, and no data, has been taken for a file's entry
    data = None if isinstance(reply, ListedFile) else _object(reply, "listing").get("data")
    if not isinstance(data, list):
        raise ProtocolError("the answer is no listing: it has no list of entries", detail=_said(reply))
    wanted = None if only is None else {path: RemotePath(path) for path in only}  # the caller's own texts, not twice
    files: list[FileEntry] = []
    folders: list[str] = []
    unknown: list[str] = []
    shrink = Shrinker()
    data.reverse()
    open_folders = [("", data)]
    room = _PATHS
    while open_folders:  # a loop, not recursion: depth is the server's choice
        folder, entries = open_folders[-1]
        if not entries:
            open_folders.pop()
            continue
        raw = entries.pop()
        if raw is _LEFT_OUT:
            continue
        listed = raw if isinstance(raw, ListedFile) else shrink.file(_object(raw, "listing entry"))
        if listed is not None:
            room = _less(room, folder, listed.name)
            found = RemotePath(f"{folder}/{listed.name}" if folder else listed.name)
            place = found if wanted is None else wanted.get(found)
            if place is not None:
                files.append(FileEntry(path=place, size=listed.size, time=listed.time, content_tag=listed.tag))
            continue
        name = raw.get("name")
        if not isinstance(name, str) or not name:
            raise ProtocolError("an entry of the listing has no name")
        room = _less(room, folder, name)
        path = f"{folder}/{name}" if folder else name
        folders.append(path)
        contents = raw.get("contents")
        if not isinstance(contents, list) or raw.get("error"):
            unknown.append(path)
        if isinstance(contents, list):
            contents.reverse()  # the first one last: they are taken from the end
            open_folders.append((path, contents))
    return FileTree(files, folders=folders, unknown_folders=unknown, only=wanted)


def check_success(reply: Any) -> None:
    """ProtocolError if an answer of status 200 carries an ``error``: it says that the call failed."""
    error = reply.get("error") if isinstance(reply, dict) else None
    if error:
        text = f"{error}: {_said(reply)}" if _said(reply) else str(error)
        raise ProtocolError("the answer has status 200 and says that the call failed", detail=text)


def _said(reply: Any) -> str | None:
    """The server's own words in an answer that is not what was asked for."""
    if not isinstance(reply, dict):
        return None
    texts = (reply.get(key) for key in ("message", "detail"))
    return next((text for text in texts if isinstance(text, str) and text), None)


def _less(room: int, folder: str, name: str) -> int:
    """What is left of `room` for further paths."""
    if (left := room - len(folder) - len(name)) < 0:
        raise ProtocolError(f"the paths of the listing are longer than {_PATHS} characters together")
    return left


def uplink_receipt(reply: Any) -> UplinkReceipt:
    """``{"data": {"file_count", "total_size_kb"}}``, every part optional."""
    data = _object(reply, "uplink").get("data")
    data = data if isinstance(data, dict) else {}
    size = data.get("total_size_kb")
    try:
        size_kb = float(size) if isinstance(size, int | float | str) and not isinstance(size, bool) else None
    except (ValueError, OverflowError):
        size_kb = None
    if size_kb is not None and not math.isfinite(size_kb):
        size_kb = None
    return UplinkReceipt(file_count=whole(data.get("file_count")), total_size_kb=size_kb)


def images(reply: Any) -> list[Image]:
    """``{"data": [...]}``: strings, or objects that carry the name under one of the usual keys."""
    data = _object(reply, "image list").get("data")
    if data is None:
        return []
    if not isinstance(data, list):
        raise ProtocolError("the image list is not a list")
    return [_image(element) for element in data]


def _image(element: Any) -> Image:
    if isinstance(element, str):
        return Image(name=element, raw={"name": element})
    if isinstance(element, dict):
        for key in ("name", "image", "Name", "repository", "Repository", "tags", "RepoTags", "tag", "names"):
            value = element.get(key)
            if isinstance(value, list) and value:
                value = value[0]
            if isinstance(value, str) and value:
                return Image(name=value, raw=element)
        return Image(name="", raw=element)
    return Image(name="", raw={"name": element})


def nodes(reply: Any) -> list[NodeStatus]:
    """``{"data": [{"name", "status": "True"}, ...]}``."""
    data = _object(reply, "node status").get("data")
    if not isinstance(data, list):
        raise ProtocolError("the node status is not a list")
    ready = {"true": True, "false": False}
    found = [_object(element, "node") for element in data]
    return [
        NodeStatus(name=str(raw.get("name", "")), ready=ready.get(str(raw.get("status")).lower()), raw=raw)
        for raw in found
    ]


def pod_status(reply: Any) -> PodStatus:
    """``{"data": {"state": {...}}}``; no ``data`` or an empty ``state`` is PodPhase.NONE.

    An answer that names an ``error`` says nothing of the pod: ProtocolError.
    """
    answer = _object(reply, "pod status")
    if answer.get("error"):
        raise ProtocolError("the pod status answer is an error, not a status", detail=str(answer["error"]))
    data = answer.get("data")
    state = data.get("state") if isinstance(data, dict) else None
    if not isinstance(state, dict) or not any(value is not None for value in state.values()):
        return PodStatus(phase=PodPhase.NONE, raw=state if isinstance(state, dict) else {})
    key = next((key for key in _PHASES if state.get(key) is not None), None)
    if key is None:
        return PodStatus(phase=PodPhase.UNKNOWN, raw=state)
    facts = state[key] if isinstance(state[key], dict) else {}
    return PodStatus(
        phase=_PHASES[key],
        reason=_text(facts.get("reason")),
        message=_text(facts.get("message")),
        started_at=_moment(facts.get("startedAt")),
        finished_at=_moment(facts.get("finishedAt")),
        exit_code=whole(facts.get("exitCode")),
        raw=state,
    )


def whole(value: Any) -> int | None:
    """An integer written as a number or as a decimal string; anything else is None (never a bool, never a fraction)."""
    if type(value) is int:
        return value
    if isinstance(value, str) and len(value) <= 20 and value.strip().removeprefix("-").isdecimal():
        return int(value)
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)  # Kubernetes writes UTC


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, Sequence) and not isinstance(value, str) else type(value).__name__
        raise ProtocolError(f"the {what} answer is {kind}, not an object")
    return value
