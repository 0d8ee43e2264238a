"""One request out, one answer in, over real sockets: connections, headers, borders."""

from __future__ import annotations

import asyncio
import errno
import socket
import traceback
from collections.abc import Iterator
from contextlib import AsyncExitStack
from urllib.parse import parse_qs

import aiohttp
import pytest

from emasync.config import Limits, Timeouts
from emasync.errors import AuthError, EMError, ProtocolError, TimedOutError, UnreachableError
from emasync.http import Transport
from emasync.http.connector import DownlinkConnector
from emasync.wire import requests
from emasync.wire.requests import Volume
from tests.unit.http.peer import QUICK, Line, Script, serving, transport

LIST = requests.list_files(Volume())
DOWN = requests.downlink(Volume(), "a")
DELETE = requests.delete(Volume(), "a")
SHORT = Timeouts(connect_s=0.2, answer_s=0.05)  # for the one server that never answers


async def obliging(line: Line) -> None:
    """Answers every request on the connection with {}."""
    while True:
        head = await line.head()
        for text in head.splitlines():
            if text.lower().startswith("content-length:"):
                await line.reader.readexactly(int(text.split(":")[1]))
        await line.answer(200, b"{}", "Content-Type: application/json", "Set-Cookie: sessionid=canary; Path=/")


def field(head: str, name: str) -> list[str]:
    return [
        line.partition(":")[2].strip()
        for line in head.splitlines()[1:]
        if line.partition(":")[0].lower() == name.lower()
    ]


async def test_a_request_asks_for_anything_uncompressed_and_says_who_asks() -> None:
    # Sabotage: drop Accept-Encoding (aiohttp then asks for gzip), or Accept application/json (406 on downlinks).
    async with serving(obliging) as peer, transport(peer) as out, out.send(LIST, token="t0k") as reply:
        assert await reply.json() == {}
    (head,) = peer.heads
    assert head.startswith("GET /em/files/list HTTP/1.1\r\n")
    assert field(head, "Accept") == ["*/*"]
    assert field(head, "Accept-Encoding") == ["identity"]
    assert field(head, "Authorization") == ["Bearer t0k"]
    assert field(head, "User-Agent")[0].startswith("emasync/")


async def test_without_a_token_there_is_no_authorization() -> None:
    async with serving(obliging) as peer, transport(peer) as out, out.send(requests.log_in("u", "p")):
        pass
    assert field(peer.heads[0], "Authorization") == []


async def test_a_path_arrives_as_it_was_given_whatever_it_holds() -> None:
    path = "a b/ü+c&d=é%20#?.txt"
    async with serving(obliging) as peer, transport(peer) as out, out.send(requests.downlink(Volume(), path)):
        pass
    query = peer.heads[0].split(" ")[1].partition("?")[2]
    assert parse_qs(query, strict_parsing=True) == {"filepath": [path]}


async def test_downlinks_share_a_connection_and_other_calls_never_do() -> None:
    # Sabotage: let DownlinkConnector._get always ask the pool (a POST lost on a stale connection), or leave out
    # `force_close` (a downlink on the connection of a listing, which may have had an answer too many).
    async with serving(obliging) as peer, transport(peer) as out:
        for call, lines in ((DOWN, 1), (LIST, 4), (DELETE, 7), (DOWN, 7)):
            for _ in range(3):
                async with out.send(call) as reply:
                    await reply.json()
            assert peer.lines == lines
        assert len(peer.heads) == 12


# Sabotage: leave out `force_close` in DownlinkConnector: each POST of a quick uplink leaves an open connection.
async def test_many_quick_posts_leave_few_connections_open() -> None:
    open_now = most = 0

    async def script(line: Line) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        try:
            while head := await line.head():
                await line.reader.readexactly(int(head.lower().partition("content-length: ")[2].partition("\r")[0]))
                await line.answer()
        finally:
            open_now -= 1

    async with serving(script) as peer, transport(peer) as out:
        for _ in range(60):
            async with out.send(DELETE) as reply:
                await reply.json()
        assert peer.lines == 60
    assert most <= 3  # one in use, and what is just being closed


async def generous(line: Line) -> None:
    """Answers every request on the connection with more than a client reads ahead."""
    while True:
        await line.head()
        await line.answer(200, bytes(1 << 20))


async def several_at_once(out: Transport, number: int) -> None:
    """That many downlinks at a time, each on a connection of its own."""
    async with AsyncExitStack() as stack:
        replies = [await stack.enter_async_context(out.send(DOWN)) for _ in range(number)]
        for reply in replies:
            while await reply.receive():
                pass


# Sabotage: leave `self.close_idle_connections()` out of `_mapped`, or `errno=` (then the errno is None); or `pass` for
# the loop in DownlinkConnector.close_idle: the idle connections stay.
async def test_a_connection_for_which_no_file_could_be_opened_says_so_and_closes_those_that_are_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def short(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async with serving(generous) as peer, transport(peer) as out:
        await several_at_once(out, 5)
        assert out._session is not None
        connector = out._session.connector
        assert isinstance(connector, DownlinkConnector)
        idle = [protocol.transport for kept in connector._conns.values() for protocol, _ in kept]
        assert len(idle) == 5
        with monkeypatch.context() as patched:
            patched.setattr(socket, "socket", short)
            with pytest.raises(UnreachableError, match="Too many open files") as caught:
                async with out.send(DELETE):
                    pass
        assert (caught.value.errno, caught.value.sent) == (errno.EMFILE, False)
        assert sum(map(len, connector._conns.values())) == 0
        assert [one is not None and one.is_closing() for one in idle] == [True] * 5
        await several_at_once(out, 5)
        assert sum(map(len, connector._conns.values())) == 1  # and hardly any is kept from then on


async def test_a_reply_that_is_left_unread_is_not_reused() -> None:
    async def long_reply(line: Line) -> None:
        await line.head()
        await line.answer(200, bytes(1 << 20))

    async with serving(long_reply) as peer, transport(peer) as out:
        for _ in range(2):
            async with out.send(DOWN):
                pass
    assert peer.lines == 2


async def test_cookies_are_not_sent_back() -> None:
    # Sabotage: leave out the DummyCookieJar.
    async with serving(obliging) as peer, transport(peer) as out:
        for _ in range(2):
            async with out.send(LIST) as reply:
                await reply.json()
    assert [field(head, "Cookie") for head in peer.heads] == [[], []]


async def test_a_session_that_is_handed_in_stays_open_and_our_own_is_closed() -> None:
    # Sabotage: close it either way.
    async with serving(obliging) as peer, aiohttp.ClientSession() as session:
        async with Transport(peer.url, timeouts=QUICK, limits=Limits(), session=session) as out:
            async with out.send(LIST) as reply:
                await reply.json()
        assert not session.closed
    async with serving(obliging) as peer:
        own = transport(peer)
        async with own:
            assert own._session is not None
            mine = own._session
        assert mine.closed


async def test_a_closed_transport_says_how_to_use_it() -> None:
    out = Transport("http://127.0.0.1:1/", timeouts=QUICK, limits=Limits())
    with pytest.raises(RuntimeError, match="async with Client"):
        async with out.send(LIST):
            pass


async def test_a_redirect_is_not_followed_and_its_host_is_named() -> None:
    # Sabotage: allow_redirects=True: the token would go to another host.
    async with serving(obliging) as elsewhere:

        async def redirecting(line: Line) -> None:
            await line.head()
            await line.answer(302, b"", f"Location: {elsewhere.url}em/files/list/")

        async with serving(redirecting) as peer, transport(peer) as out:
            with pytest.raises(ProtocolError, match=f"redirects.*{elsewhere.url}") as caught:
                async with out.send(LIST, token="canary"):
                    pass
        assert caught.value.status == 302
        assert elsewhere.lines == 0


async def test_a_hundred_interim_answers_are_passed_over() -> None:
    async def chatty(line: Line) -> None:
        await line.head()
        await line.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100)
        await line.answer(200, b'{"data": 1}')

    async with serving(chatty) as peer, transport(peer) as out, out.send(LIST) as reply:
        assert await reply.json() == {"data": 1}


async def test_where_nobody_listens_nothing_was_sent() -> None:
    async with serving(obliging) as peer:
        pass
    async with transport(peer) as out:
        with pytest.raises(UnreachableError, match=r"cannot connect to 127\.0\.0\.1:\d+") as caught:
            async with out.send(LIST):
                pass
    assert not caught.value.sent


async def hang_up(line: Line) -> None:
    await line.head()


async def junk(line: Line) -> None:
    await line.head()
    await line.send(b"\x00\x01 this is not HTTP canary \r\n\r\n")


async def silence(line: Line) -> None:
    await line.head()
    await line.drained()


async def echo_401(line: Line) -> None:
    head = await line.head()
    (length,) = field(head, "Content-Length") or ["0"]
    body = (await line.reader.readexactly(int(length))).decode()
    await line.answer(401, f"<title>{head} {body}</title>".encode())


async def echo_redirect(line: Line) -> None:
    head = await line.head()
    await line.answer(307, b"", f"Location: http://x/?{(field(head, 'Authorization') or ['canary'])[0]}")


async def bad_header(line: Line) -> None:
    head = await line.head()
    echoed = "".join(field(head, "Authorization"))
    await line.send(f"HTTP/1.1 200 OK\r\n{echoed}\x00: \x01\r\n\r\n".encode())


BROKEN: dict[str, tuple[Script, type[EMError]]] = {
    "hangs up": (hang_up, UnreachableError),
    "junk": (junk, ProtocolError),
    "bad header": (bad_header, ProtocolError),
    "silence": (silence, TimedOutError),
    "echo": (echo_401, AuthError),
    "redirect": (echo_redirect, ProtocolError),
}


@pytest.mark.parametrize(("script", "kind"), BROKEN.values(), ids=BROKEN.keys())
async def test_whatever_the_server_does_is_one_of_our_errors(script: Script, kind: type[EMError]) -> None:
    async with serving(script) as peer, transport(peer, SHORT if script is silence else QUICK) as out:
        with pytest.raises(kind) as caught:
            async with out.send(DELETE):
                pass
    assert caught.value.call == "POST em/files/delete"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__ or error.__cause__


@pytest.mark.parametrize(
    "call", [LIST, requests.log_in("client1", "pass/canary é"), requests.refresh("refresh.canary")]
)
@pytest.mark.parametrize(("script", "kind"), BROKEN.values(), ids=BROKEN.keys())
async def test_no_error_carries_a_secret_anywhere_in_its_chain(
    call: requests.ApiRequest, script: Script, kind: type[EMError]
) -> None:
    # Sabotage: raise inside the handler: aiohttp's error, with the Authorization header, becomes the __context__.
    token = None if call.kind is requests.Kind.AUTH else "token.canary"
    async with serving(script) as peer, transport(peer, SHORT if script is silence else QUICK) as out:
        with pytest.raises(kind) as caught:
            async with out.send(call, token=token):
                pass
    secrets = ["token.canary", "pass/canary", "pass%2Fcanary", "refresh.canary"]
    shown = "".join(traceback.format_exception(caught.value))
    for error in chain(caught.value):
        shown += repr(error) + repr(vars(error)) + str(error.args)
    assert [secret for secret in secrets if secret in shown] == []


async def test_a_cancelled_request_drops_its_connection() -> None:
    gone = asyncio.Event()

    async def watching(line: Line) -> None:
        await line.head()
        arrived.set()
        await line.drained()
        gone.set()

    arrived = asyncio.Event()
    async with serving(watching) as peer, transport(peer) as out:

        async def ask() -> None:
            async with out.send(LIST):
                pass

        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ask())
            await arrived.wait()
            asking.cancel()
        await asyncio.wait_for(gone.wait(), 5)
