"""A bare EM for benchmarks: reads a `ServerPlan` from the first line of standard input, prints its port, serves until
standard input closes.

Beside the EM's calls it has a control channel for the harness, used only outside timed parts: ``/bench/reset``,
``/bench/received`` (path, size and SHA-256 of what was uplinked) and ``/bench/counts``.
"""

from __future__ import annotations

import asyncio
import json
import sys

from benchmarks.servers.connection import Connection
from benchmarks.servers.drain import Room
from benchmarks.servers.plan import ServerPlan
from benchmarks.servers.volume import Answer, Volume, answer

_BUSY = answer(b'{"detail": "The EM is busy"}', status="423 Locked")
_TOKEN = answer(b'{"access": "opaque"}')
_NO_POD = answer(b'{"data": {"state": {}}}')
_UNKNOWN = answer(b"{}", status="404 Not Found")


class Server:
    """One EM: a volume, room for uplinks, perhaps a lock and a latency."""

    def __init__(self, plan: ServerPlan) -> None:
        self._plan = plan
        self._volume = Volume(plan)
        self._room = Room(plan.room, known={file.name: file.size for file in plan.known})
        self._busy = False
        self._answered: list[int] = []

    def begin(self, connection: Connection, path: str) -> bool:
        if not path.startswith("/em/"):
            return True
        if self._plan.exclusive and self._busy:
            self._answered.append(423)
            connection.answer(_BUSY)
            return False
        self._busy = True
        self._answered.append(200)
        return True

    def place(self, path: str, size: int) -> tuple[memoryview, int]:
        return self._room.take(size) if path == "/em/files/uplink" else (memoryview(bytearray(size)), 0)

    def complete(self, connection: Connection, path: str, query: str, head: bytes, begin: int, size: int) -> None:
        if self._plan.hold_s and not path.startswith("/bench/"):
            arguments = connection, path, query, head, begin, size
            asyncio.get_running_loop().call_later(self._plan.hold_s, lambda: self._answer(*arguments))
        else:
            self._answer(connection, path, query, head, begin, size)

    def _answer(self, connection: Connection, path: str, query: str, head: bytes, begin: int, size: int) -> None:
        if path.startswith("/em/"):
            self._busy = False
        connection.answer(self._find(path, query, head, begin, size))

    def _find(self, path: str, query: str, head: bytes, begin: int, size: int) -> Answer:
        match path:
            case "/auth/":
                return _TOKEN
            case "/em/files/downlink":
                return self._volume.downlink(query)
            case "/em/files/list":
                return self._volume.list(self._room.files)
            case "/em/files/uplink":
                boundary = head.partition(b"boundary=")[2].partition(b"\r\n")[0].strip(b'"')
                count = self._room.parts(begin, size, boundary=boundary)
                return answer(json.dumps({"data": {"file_count": count}}).encode())
            case "/em/pod/status":
                return _NO_POD
            case _:
                return self._control(path)

    def _control(self, path: str) -> Answer:
        match path:
            case "/bench/reset":
                self._room.clear()
                self._answered.clear()
                return answer(b"{}")
            case "/bench/received":
                files = {path: [one.size, one.sha256] for path, one in self._room.files.items()}
                return answer(json.dumps(files).encode())
            case "/bench/counts":
                late = self._answered[20:]  # a strict lock is found out with the first ones
                counts = {
                    "requests": len(self._answered),
                    "refused": self._answered.count(423),
                    "late": len(late),
                    "refused_late": late.count(423),
                }
                return answer(json.dumps(counts).encode())
            case _:
                return _UNKNOWN


async def main() -> None:
    plan = ServerPlan.load(sys.stdin.readline())
    em = Server(plan)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(em), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
