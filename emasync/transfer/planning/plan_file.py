"""A plan as JSON lines: to read, to keep, and to apply later.

One line for the sums, then one for each call (uplink) or file (downlink), each rejected file and each note. Fields are
only ever added. Pure: reads and writes strings, not files. Must not import http, packing or selection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from emasync.disk.fingerprint import Fingerprint
from emasync.disk.safe_paths import local_parts
from emasync.errors import EMError, ForbiddenError, NotFoundError, TooLargeError, UnsafePathError
from emasync.model import FileEntry, RemotePath
from emasync.transfer.planning.plan import DownlinkItem, DownlinkPlan, RejectedFile, UplinkCall, UplinkItem, UplinkPlan

SCHEMA = 1
_ERRORS = {kind.__name__: kind for kind in (EMError, ForbiddenError, NotFoundError, TooLargeError)}


def dump_plan(plan: UplinkPlan | DownlinkPlan) -> str:
    """`plan` as JSON lines in ASCII; `load_plan` gives an equal plan back. Content tags are strings (64 bits)."""
    return "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in _lines(plan))


def load_plan(text: str) -> UplinkPlan | DownlinkPlan:
    """The plan that `dump_plan` wrote.

    ValueError, with the line, for anything else: another schema, a cut file, counts that do not add up. Local paths
    of a downlink are checked anew (UnsafePathError), since a file can be edited. Local paths of an uplink are not:
    they name what the user's own account can read.
    """
    lines = [_object(line, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines or lines[0].get("type") != "plan":
        raise ValueError("not a plan of emasync: the first line is not of type plan")
    head = lines[0]
    if head.get("schema") != SCHEMA:
        raise ValueError(f"a plan of schema {head.get('schema')!r}; this emasync reads schema {SCHEMA}")
    try:
        plan = _plan(head, lines[1:])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a plan of emasync: {error!r}") from None
    if (head.get("files"), head.get("refused")) != (plan.files, len(plan.refused)):
        raise ValueError("the plan is not complete: its lines do not add up to its first line")
    return plan


def _lines(plan: UplinkPlan | DownlinkPlan) -> Iterator[dict[str, Any]]:
    direction = "uplink" if isinstance(plan, UplinkPlan) else "downlink"
    head = {"type": "plan", "schema": SCHEMA, "direction": direction, "files": plan.files, "bytes": plan.bytes}
    yield {**head, "refused": len(plan.refused)}
    if isinstance(plan, UplinkPlan):
        for call in plan.calls:
            items = [_up(item) for item in call.items]
            yield {"type": "call", "dest": call.dest, "wire_bytes": call.wire_bytes, "items": items}
    else:
        yield from map(_down, plan.items)
    yield from map(_rejected, plan.refused)
    yield from ({"type": "note", "text": note} for note in plan.notes)


def _up(item: UplinkItem) -> dict[str, Any]:
    return {"local": item.local_path, "remote": item.remote, **item.fingerprint.facts()}


def _down(item: DownlinkItem) -> dict[str, Any]:
    line: dict[str, Any] = {"type": "file", "remote": item.remote, "local": item.local_path, "entry": None}
    if (entry := item.entry) is not None:
        tag = None if entry.content_tag is None else str(entry.content_tag)
        line["entry"] = {"size": entry.size, "time": entry.time, "content_tag": tag}
    return line


def _rejected(file: RejectedFile) -> dict[str, Any]:
    local = None if file.local is None else str(file.local)
    error: dict[str, Any] = {"error": type(file.error).__name__, "message": str(file.error)}
    if isinstance(file.error, UnsafePathError):
        error |= {"name": file.error.name, "reason": file.error.reason}
    return {"type": "refused", "remote": file.remote, "local": local, **error}


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number} of the plan is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"line {number} of the plan is not a JSON object")
    return value


def _plan(head: Mapping[str, Any], lines: Iterable[Mapping[str, Any]]) -> UplinkPlan | DownlinkPlan:
    of: dict[str, list[Mapping[str, Any]]] = {"call": [], "file": [], "refused": [], "note": []}
    for line in lines:
        of.get(line["type"], []).append(line)  # a type that a later version added is left out
    refused = tuple(map(_to_refused, of["refused"]))
    notes = tuple(str(line["text"]) for line in of["note"])
    if head.get("direction") == "uplink":
        return UplinkPlan(calls=tuple(map(_to_call, of["call"])), refused=refused, notes=notes)
    if head.get("direction") == "downlink":
        return DownlinkPlan(items=tuple(map(_to_down, of["file"])), refused=refused, notes=notes)
    raise ValueError(f"a plan in the direction {head.get('direction')!r}")


def _to_call(line: Mapping[str, Any]) -> UplinkCall:
    items = tuple(
        UplinkItem.at(
            str(Path(item["local"])),
            remote=RemotePath(item["remote"]),
            fingerprint=Fingerprint(
                size=int(item["size"]),
                mtime_ns=int(item["mtime_ns"]),
                ctime_ns=int(item["ctime_ns"]),
                inode=int(item["inode"]),
                device=int(item["device"]),
            ),
        )
        for item in line["items"]
    )
    dest = RemotePath(line["dest"])
    if not items or any(item.remote.parent != dest for item in items):
        raise ValueError(f"the call to {dest!r} holds files of other folders, or none")
    return UplinkCall(dest=dest, items=items, wire_bytes=int(line["wire_bytes"]))


def _to_down(line: Mapping[str, Any]) -> DownlinkItem:
    remote, listed = RemotePath(line["remote"]), line["entry"]
    entry = None
    if listed is not None:
        size, tag = listed["size"], listed["content_tag"]
        entry = FileEntry(
            path=remote,
            size=None if size is None else int(size),
            time=listed["time"],
            content_tag=None if tag is None else int(tag),
        )
    return DownlinkItem(
        remote=remote, local_path=RemotePath("/".join(local_parts(RemotePath(line["local"])))), entry=entry
    )


def _to_refused(line: Mapping[str, Any]) -> RejectedFile:
    local = None if line["local"] is None else Path(line["local"])
    if line["error"] == UnsafePathError.__name__:
        error: EMError = UnsafePathError(line["message"], name=line["name"], reason=line["reason"])
    else:
        error = _ERRORS.get(line["error"], EMError)(line["message"])
    return RejectedFile(remote=RemotePath(line["remote"]), local=local, error=error)
