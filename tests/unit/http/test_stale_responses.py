"""Which answers on a connection that was used before are taken for another request's."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import anyio
import pytest

from emasync.config import Limits
from emasync.errors import UnreachableError
from emasync.http import Transport
from emasync.http.connector import DownlinkConnector, StaleResponses
from emasync.wire import requests
from emasync.wire.json_envelope import ResponseMetadata
from tests.unit.http.peer import QUICK

A = requests.downlink(requests.Volume(), "d/a")
OWN = ResponseMetadata(filename="a", size=1, sha256="00" * 32)
OTHER = ResponseMetadata(filename="b", size=1, sha256="11" * 32)


@pytest.fixture
async def connector() -> DownlinkConnector:
    return DownlinkConnector()


@pytest.mark.parametrize("facts", [OWN, ResponseMetadata(), ResponseMetadata(filename="/d/a")])
async def test_an_answer_that_names_the_file_or_none_is_its_own(
    connector: DownlinkConnector, facts: ResponseMetadata
) -> None:
    StaleResponses().check(A, facts, reused=True, connector=connector)
    assert connector.trusted


async def test_an_answer_of_another_name_ends_the_reuse_of_connections(connector: DownlinkConnector) -> None:
    # Sabotage: leave out `connector.distrust()`.
    stale = StaleResponses()
    with pytest.raises(UnreachableError) as caught:
        stale.check(A, OTHER, reused=True, connector=connector)
    assert caught.value.sent
    stale.check(A, OWN, reused=False, connector=connector)
    assert not connector.trusted


async def test_a_server_that_names_files_in_its_own_way_is_believed(connector: DownlinkConnector) -> None:
    # Sabotage: leave out `self._names_tell = False`: every file of such a server would be fetched twice.
    stale = StaleResponses()
    stale.check(A, OTHER, reused=False, connector=connector)
    stale.check(A, OTHER, reused=True, connector=connector)
    assert connector.trusted


@pytest.mark.parametrize(
    ("again", "trusted"), [(OTHER, True), (ResponseMetadata(filename="b", sha256="22" * 32), False)]
)
async def test_reuse_goes_on_where_the_fresh_answer_claims_the_same(
    connector: DownlinkConnector, again: ResponseMetadata, trusted: bool
) -> None:
    # Sabotage: trust again whatever the two answers claim.
    stale = StaleResponses()
    with pytest.raises(UnreachableError):
        stale.check(A, OTHER, reused=True, connector=connector)
    stale.check(A, again, reused=False, connector=connector)
    assert connector.trusted is trusted


class _Talkative(threading.Thread):
    """Answers each request with its number on the connection, and once more a moment later."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.connections = 0
        self.said_more = threading.Event()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                with connection, suppress(OSError):
                    while connection.recv(65536):
                        self._answer(connection, b"own")
                        time.sleep(0.02)
                        self._answer(connection, b"too many")
                        self.said_more.set()

    def _answer(self, connection: socket.socket, body: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


# Sabotage (each tried): leave out the look at `protocol.should_close` (seen), or at what `poll` says (unseen); leave
# out `self.distrust()` in either.
@pytest.mark.parametrize("seen", [True, False], ids=["seen by the event loop", "unseen"])
async def test_what_came_unasked_on_a_kept_connection_ends_its_use_and_that_of_all_others(seen: bool) -> None:
    server = _Talkative()
    server.start()
    got: list[bytes] = []
    async with Transport(server.url, timeouts=QUICK, limits=Limits()) as out:
        for _ in range(3):
            async with out.send(A) as reply:
                while chunk := await reply.receive():
                    got.append(chunk)
            assert server.said_more.wait(5)  # the event loop stands still meanwhile
            server.said_more.clear()
            if seen:
                await anyio.sleep(0.05)
        assert isinstance(out._connector, DownlinkConnector)
        assert not out._connector.trusted
    server.listener.close()
    assert (got, server.connections) == ([b"own"] * 3, 3)
