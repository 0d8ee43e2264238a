"""An EM in memory on bare sockets, for random schedules: right, until the script of the schedule says otherwise.

Owns: the volume, the calls on files, and what is answered; it writes all of it into a `History`.
Knows nothing of emasync; binds 127.0.0.1 only. What happens between two calls is the script's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol
from urllib.parse import parse_qs, urlsplit

from tests.faults.random_history import History, Listing, Request, below, folders_above, joined

LIST, DOWN, UP, DELETE = "em/files/list", "em/files/downlink", "em/files/uplink", "em/files/delete"
Form = Literal["envelope", "bare envelope", "raw"]
"""How a downlink answers: with size and SHA-256 (seed generation), without both, or as the bytes alone."""

AnyFault = Literal["busy", "error", "lost before", "lost after"]
Fault = AnyFault | Literal["silent", "hollow", "lag", "corrupt", "cut", "stored wrong", "stored fewer"]

SILENT: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"message": "EM is offline, try later"},
    {"error": "EM_OFFLINE", "message": "link down"},
    {"error": "EM_OFFLINE", "message": "link down", "data": []},
    {"data": None, "message": "Successfully listed files"},
    {"detail": "throttled"},
    {"data": {}},
)
"""Answers to `files/list`, with status 200, that say nothing of any file."""

_PART = re.compile(rb'Content-Disposition: form-data; name="(\w+)"(?:; filename="([^"\r\n]*)")?', re.IGNORECASE)
_TAGS: Final[Mapping[str, tuple[int, int]]] = {"known": (8, 16), "other": (0, 8)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Twist:
    """What goes wrong with one answer: a fault and a number that picks among its forms."""

    fault: Fault
    pick: int = 0


class Script(Protocol):
    """What a schedule does at the boundaries of a call."""

    def before(self, request: Request) -> Twist | None:
        """The call has arrived and nothing was done yet."""

    def acted(self, request: Request) -> None:
        """The server did what was asked and has not answered yet."""

    def answered(self, request: Request) -> None:
        """The answer has left, or never will."""


class Volume:
    """Files and folders in memory. Folders stay when their last file goes."""

    def __init__(self, history: History, *, folders: frozenset[str] = frozenset()) -> None:
        self.files: dict[str, bytes] = {}
        self.folders = set(folders)
        self._history = history

    def write(self, path: str, data: bytes, actor: Literal["start", "client", "other", "damage"]) -> None:
        """Make or replace a file."""
        self.files[path] = data
        self.folders.update(folders_above(path))
        self._history.record("remote", path, data, actor)

    def remove(self, path: str, actor: Literal["client", "other"]) -> list[str]:
        """Remove a file, or a folder with all that is in it; what was removed."""
        gone = [file for file in self.files if file == path or below(file, path)]
        for one in gone:
            del self.files[one]
            self._history.record("remote", one, None, actor)
        if path in self.folders:
            self.folders = {one for one in self.folders if one != path and not below(one, path)}
        return gone


class RandomEM:
    """Serves one `Volume` at a time under one `Script`; `set_up` puts others in their place."""

    def __init__(self) -> None:
        self.url = ""
        self.slips: list[str] = []
        """What went wrong in this server itself."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._tokens = 0

    def set_up(self, volume: Volume, history: History, script: Script, *, form: Form, tags: str, missing: int) -> None:
        """The next schedule. `tags`: the rule of content tags, `missing`: the status of a deletion of nothing."""
        self._volume, self._history, self._script = volume, history, script
        self._form, self._tag_slice, self._missing = form, _TAGS[tags], missing
        self._snapshots: list[tuple[int, dict[str, bytes], frozenset[str]]] = []

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[RandomEM]:
        """Listen until the block ends; then no connection of it is left."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side has gone, or the server is closed
        except Exception as error:  # noqa: BLE001 - told to the schedule, which fails
            self.slips.append(f"{type(error).__name__}: {error}")
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection lives on."""
        line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        url = urlsplit(line.split(" ")[1])
        named = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        body = await reader.readexactly(int(named.get("content-length", "0")))
        endpoint = url.path.strip("/")
        if endpoint == "auth":
            self._tokens += 1
            await _answer(writer, 200, {"access": f"token-{self._tokens}"})
            return True
        if endpoint not in (LIST, DOWN, UP, DELETE):
            known = endpoint == "em/pod/status"
            await _answer(writer, 200 if known else 404, {"message": "", "data": {"state": {}}} if known else {})
            return True
        kind = named.get("content-type", "")
        fields_of = parse_qs(body.decode()) if kind.startswith("application/x-www-form") else parse_qs(url.query)
        request = Request(endpoint=endpoint, moment=self._history.tick(), subject=fields_of.get("filepath", [""])[0])
        if endpoint == UP:
            request.subject, request.sent = _uplinked(kind, body)
        request.subject = request.subject.strip("/")
        self._history.requests.append(request)
        return await self._serve(request, writer)

    async def _serve(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        history = self._history
        twist = self._script.before(request)
        fault = twist.fault if twist else None
        history.note(f"{request.endpoint.rpartition('/')[2]} {request.subject}{f' [{fault}]' if fault else ''}")
        if twist is not None:
            history.struck += 1
        if fault in ("busy", "error", "lost before"):
            status = {"busy": 423, "error": 500, "lost before": 0}[str(fault)]
            content: dict[str, Any] = {}
            raw: bytes | None = None
        else:
            status, content, raw = self._act(request, twist)
            self._script.acted(request)
        if fault == "lost after":
            status = 0
        request.answer, request.answered = status, history.tick()
        if status == 0:
            writer.transport.abort() if history.now % 2 else writer.close()
        elif raw is not None:
            await _send(writer, raw, "application/octet-stream", cut=fault == "cut")
        else:
            await _answer(writer, status, content, cut=fault == "cut")
        self._script.answered(request)
        return status != 0 and fault != "cut"

    def _act(self, request: Request, twist: Twist | None) -> tuple[int, dict[str, Any], bytes | None]:
        """Do what is asked: status, JSON, or the bytes of a raw downlink."""
        if request.endpoint == LIST:
            return 200, self._list(request, twist), None
        if request.endpoint == DOWN:
            return self._downlink(request, twist)
        request.acted = True
        if request.endpoint == UP:
            return 200, self._uplink(request, twist), None
        gone = self._volume.remove(request.subject, "client")
        if not gone:
            return self._missing, {"error": "DELETE_FAILED", "message": "no such file"}, None
        return 200, {"message": "File deleted successfully"}, None

    def _list(self, request: Request, twist: Twist | None) -> dict[str, Any]:
        fault = twist.fault if twist else None
        if twist and fault == "silent":
            return dict(SILENT[twist.pick % len(SILENT)])
        self._snapshots.append((self._history.now, dict(self._volume.files), frozenset(self._volume.folders)))
        old = twist is not None and fault == "lag"
        made, files, folders = self._snapshots[max(0, len(self._snapshots) - (3 if old else 1))]
        hollow = sorted(folders)[twist.pick % len(folders)] if twist and fault == "hollow" and folders else None
        unknown = frozenset() if hollow is None else frozenset({hollow})
        if fault not in ("lost after", "cut"):
            shown = {path: data for path, data in files.items() if hollow is None or not below(path, hollow)}
            seen = frozenset(one for one in folders if hollow is None or not below(one, hollow))
            listing = Listing(made=made, answered=self._history.tick(), files=shown, folders=seen, unknown=unknown)
            self._history.listings.append(listing)
        request.acted = True
        entries = list(self._entries("", files, folders, hollow=hollow, pick=twist.pick if twist else 0))
        return {"message": "Successfully listed files", "data": entries}

    def _entries(
        self, folder: str, files: Mapping[str, bytes], folders: frozenset[str], *, hollow: str | None, pick: int
    ) -> Iterator[dict[str, Any]]:
        for one in sorted(folders):
            if one.rpartition("/")[0] != folder:
                continue
            entry: dict[str, Any] = {"type": "directory", "name": one.rpartition("/")[2], "size": "9", "time": _TIME}
            if one != hollow:
                entry["contents"] = list(self._entries(one, files, folders, hollow=hollow, pick=pick))
            elif pick % 2:
                entry["contents"] = None
            yield entry
        for path, data in files.items():
            if path.rpartition("/")[0] == folder:
                size, name = str(len(data)), path.rpartition("/")[2]
                yield {"type": "file", "name": name, "size": size, "time": _TIME, "hash": self._tag(data)}

    def _tag(self, data: bytes) -> int:
        first, last = self._tag_slice
        return int.from_bytes(hashlib.md5(data).digest()[first:last], "big", signed=True)

    def _downlink(self, request: Request, twist: Twist | None) -> tuple[int, dict[str, Any], bytes | None]:
        data = self._volume.files.get(request.subject)
        if data is None:
            return 404, {"error": "NOT_FOUND", "message": "no such file"}, None
        request.acted = True
        good = data
        if twist is not None and twist.fault == "corrupt" and data:
            place = twist.pick % len(data)
            data = data[:place] + bytes([data[place] ^ (1 + twist.pick % 255)]) + data[place + 1 :]
        request.sent = {request.subject: data}
        if self._form == "raw":
            return 200, {}, data
        envelope: dict[str, Any] = {"filename": "x", "content": base64.b64encode(data).decode()}
        if self._form == "envelope":
            envelope |= {"size": len(good), "hash": hashlib.sha256(good).hexdigest()}
        return 200, envelope, None

    def _uplink(self, request: Request, twist: Twist | None) -> dict[str, Any]:
        fault = twist.fault if twist else None
        paths = list(request.sent)
        kept = paths[:-1] if fault == "stored fewer" else paths
        for index, path in enumerate(kept):
            data = request.sent[path]
            if twist and fault == "stored wrong" and index == twist.pick % len(kept) and data:
                self._volume.write(path, data[:-1] + bytes([data[-1] ^ 255]), "damage")
            else:
                self._volume.write(path, data, "client")
        return {"message": "Successfully uplinked files", "data": {"file_count": len(kept), "total_size_kb": 1}}


_TIME: Final = "2025-11-20-12-31"


def _uplinked(content_type: str, body: bytes) -> tuple[str, dict[str, bytes]]:
    """The folder and the files of a multipart body."""
    mark = b"--" + content_type.partition("boundary=")[2].strip('"').encode()
    dest, files = "", {}
    for piece in body.split(mark)[1:-1]:
        fields, _, data = piece.partition(b"\r\n\r\n")
        found = _PART.search(fields)
        if found is not None and found[1] == b"files":
            files[found[2].decode()] = data[:-2]
        elif found is not None and found[1] == b"dest_path":
            dest = data[:-2].decode().strip("/")
    return dest, {joined(dest, name): data for name, data in files.items()}


async def _answer(writer: asyncio.StreamWriter, status: int, content: object, *, cut: bool = False) -> None:
    await _send(writer, json.dumps(content).encode(), "application/json", status=status, cut=cut)


async def _send(writer: asyncio.StreamWriter, body: bytes, kind: str, *, status: int = 200, cut: bool = False) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + (body[: len(body) // 2] if cut else body))
    await writer.drain()
