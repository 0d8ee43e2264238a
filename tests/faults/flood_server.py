"""A server in a thread that says one large thing: a listing of very many files, or any other body, to any call.

Owns: raw answers by path, over real sockets. No part of emasync is in it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

_LOG_IN: Final = b'{"access": "token-of-a-test"}'
_PIECE: Final = 1 << 16


class Flood:
    """`url` of the server; `sent` says how many bytes of the body have gone out, and `reached` waits for so many."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._sent = 0
        self._more = threading.Condition()

    def count(self, number: int) -> None:
        """So many more."""
        with self._more:
            self._sent += number
            self._more.notify_all()

    def reached(self, number: int, *, timeout_s: float) -> bool:
        """Whether so many bytes of a body went out in time."""
        with self._more:
            return self._more.wait_for(lambda: self._sent >= number, timeout_s)


@contextmanager
def flooding(bodies: Mapping[str, bytes]) -> Iterator[Flood]:
    """Answer each GET whose path ends so with that body, every log-in well, and hang up on all else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        flood = Flood(f"http://127.0.0.1:{listener.getsockname()[1]}/")

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=_serve, args=(connection, bodies, flood.count), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield flood
        listener.shutdown(socket.SHUT_RDWR)


def _serve(connection: socket.socket, bodies: Mapping[str, bytes], count: Callable[[int], None]) -> None:
    with connection, suppress(OSError):
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := connection.recv(_PIECE)):
                return
            head += more
        path = head.split(b" ")[1].partition(b"?")[0].decode()
        log_in = path.endswith("/auth/")
        body = _LOG_IN if log_in else next((body for end, body in bodies.items() if path.endswith(end)), b"")
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        view = memoryview(body)
        for start in range(0, len(body), _PIECE):
            connection.sendall(view[start : start + _PIECE])
            count(0 if log_in else _PIECE)


def listing_of(count: int, *, in_a_folder: int = 2000) -> bytes:
    """A listing of `count` files with all that a listing says of each."""
    folders = []
    for first in range(0, count, in_a_folder):
        files = (
            b'{"type":"file","name":"file-%06d.bin","size":"4096","time":"2025-11-20-12-31","hash":%d}'
            % (n, n * 7919**3)
            for n in range(first, min(first + in_a_folder, count))
        )
        folders.append(b'{"type":"directory","name":"dir-%06d","size":"1","contents":[%b]}' % (first, b",".join(files)))
    return b'{"data":[' + b",".join(folders) + b"]}"
