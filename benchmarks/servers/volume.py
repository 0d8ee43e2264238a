"""What a benchmark server answers: everything encoded before the first request.

Owns: the stored files' answers and the listing. May import material. Knows no sockets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import parse_qs

from benchmarks.material import small, small_answer, small_name
from benchmarks.servers.drain import Received
from benchmarks.servers.plan import ServerPlan
from emasync.wire.content_tag import content_tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer's head and body; the body may go on with a file on disk."""

    data: bytes
    file: str | None = None


def answer(body: bytes, *, status: str = "200 OK", file: str | None = None, size: int | None = None) -> Answer:
    """A JSON answer; `size` is the body's where it lies in `file`."""
    length = len(body) if size is None else size
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    return Answer(data=head.encode() + body, file=file)


class Volume:
    """The files of one EM: those of the plan, and those uplinked since."""

    def __init__(self, plan: ServerPlan) -> None:
        self._known = {file.name: file.tag for file in plan.known}
        self._stored: dict[str, tuple[int, int]] = {}
        self._answers: dict[str, Answer] = {}
        for index in range(plan.small):
            data, name = small(index, plan.small_size), small_name(index)
            self._stored[f"data/{name}"] = len(data), content_tag(data)
            self._answers[f"data/{name}"] = answer(small_answer(name, data))
        for file in plan.large:
            self._stored[file.path] = file.size, file.tag
            with open(file.answer, "rb") as encoded:  # noqa: PTH123 -- only its length is wanted
                size = encoded.seek(0, 2)
            self._answers[file.path] = answer(b"", file=file.answer, size=size)
        self._list_stored = self._listing({})

    def downlink(self, query: str) -> Answer:
        """The answer to a downlink with this query string."""
        path = parse_qs(query).get("filepath", [""])[0].lstrip("/")
        return self._answers.get(path) or answer(b'{"error": "no such file"}', status="404 Not Found")

    def list(self, received: dict[str, Received]) -> Answer:
        """The answer to a listing."""
        return self._listing(received) if received else self._list_stored

    def _listing(self, received: dict[str, Received]) -> Answer:
        files = dict(self._stored)
        for path, one in received.items():
            name = path.rpartition("/")[2]
            files[path] = one.size, self._known[name] if name in self._known else content_tag(bytes(one.data))
        folders: dict[str, list[dict[str, object]]] = {}
        for path, (size, tag) in files.items():
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, []).append({"type": "file", "name": name, "size": str(size), "hash": tag})
        data = folders.pop("", [])
        data += [{"type": "directory", "name": name, "contents": inside} for name, inside in folders.items()]
        return answer(json.dumps({"data": data}).encode())
