"""Canned answers and failures of aiohttp, each mapped to one of our errors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aioresponses import aioresponses

from emasync import errors
from emasync.config import Limits, Timeouts
from emasync.http import Transport
from emasync.wire import requests
from emasync.wire.requests import Volume

URL = "http://em.test/em/pod/image/list"
CALL = requests.list_images(Volume())


@pytest.fixture
async def out() -> AsyncIterator[Transport]:
    async with Transport("http://em.test", timeouts=Timeouts(), limits=Limits()) as running:
        yield running


async def failure(out: Transport) -> errors.EMError:
    with pytest.raises(errors.EMError) as caught:
        async with out.send(CALL, token="canary"):
            pass
    assert caught.value.call == "GET em/pod/image/list"
    assert "canary" not in repr(caught.value)
    assert caught.value.__context__ is None
    return caught.value


async def test_a_200_is_read_as_json(canned: aioresponses, out: Transport) -> None:
    canned.get(URL, payload={"data": ["a"]})
    async with out.send(CALL) as reply:
        assert await reply.json() == {"data": ["a"]}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequestError),
        (401, errors.AuthError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (423, errors.BusyError),
        (500, errors.ServerError),
        (504, errors.ServerError),
    ],
)
async def test_a_refusal_keeps_what_the_server_said(
    canned: aioresponses, out: Transport, status: int, kind: type[errors.EMError]
) -> None:
    canned.get(URL, status=status, payload={"detail": "no canary for you"})
    error = await failure(out)
    assert type(error) is kind
    assert (error.status, error.detail) == (status, "no [secret] for you")


async def test_headers_are_read_in_any_case(canned: aioresponses, out: Transport) -> None:
    canned.get(URL, status=503, headers={"RETRY-AFTER": "9"})
    error = await failure(out)
    assert isinstance(error, errors.BusyError)
    assert error.retry_after_s == 9.0


@pytest.mark.parametrize(
    ("raised", "kind", "sent"),
    [
        (aiohttp.ServerDisconnectedError("canary"), errors.UnreachableError, True),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), errors.UnreachableError, True),
        (aiohttp.ClientPayloadError("half"), errors.UnreachableError, True),
        (aiohttp.ConnectionTimeoutError("slow"), errors.TimedOutError, False),
        (TimeoutError(), errors.TimedOutError, True),
        (ConnectionResetError(104, "Connection reset by peer"), errors.UnreachableError, True),
    ],
)
async def test_a_failure_of_aiohttp_is_one_of_ours_and_says_whether_it_was_sent(
    canned: aioresponses, out: Transport, raised: Exception, kind: type[errors.EMError], sent: bool
) -> None:
    canned.get(URL, exception=raised)
    error = await failure(out)
    assert type(error) is kind
    assert isinstance(error, errors.UnreachableError | errors.TimedOutError)
    assert error.sent is sent


async def test_a_connection_that_takes_too_long_is_a_time_out_of_connecting(
    canned: aioresponses, out: Transport
) -> None:
    canned.get(URL, exception=aiohttp.ConnectionTimeoutError("slow"))
    error = await failure(out)
    assert isinstance(error, errors.TimedOutError)
    assert error.phase == "connect"
    assert "em.test:80 in 10 s" in str(error)
