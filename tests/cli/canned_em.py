"""A server that says what a test tells it to: hostile names and texts, wrong checksums, answers that never come.

Owns: canned answers by path, over real sockets, in a thread. No part of emasync is in it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Held:
    """No answer until `release`; `asked` is set when the question is there."""

    asked: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


Canned = tuple[int, Any] | Held | None
"""Status and JSON of an answer; None reads the request and hangs up."""


@contextmanager
def canned_em(answers: Mapping[str, Canned], *, date: str | None = None) -> Iterator[str]:
    """Serve `answers` by path (without query), and a log-in; yields the base URL. `date` is what its clock says."""
    known: dict[str, Canned] = {"/auth/": (200, {"access": "token-of-a-test"}), **answers}

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = known.get(self.path.partition("?")[0], (404, {"detail": "no such call"}))
            self.close_connection = True
            if isinstance(answer, Held):
                answer.asked.set()
                answer.release.wait(30)
            if answer is None or isinstance(answer, Held):
                return
            body = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = _answer  # noqa: N815 - the standard library looks for these names
        do_POST = _answer  # noqa: N815

        def date_time_string(self, timestamp: float | None = None) -> str:
            return date or super().date_time_string(timestamp)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
