"""Base URLs: every spelling leads to the same endpoints, and the error for a wrong one says what is wrong."""

from __future__ import annotations

import aiohttp
import pytest

from emasync import Client, NotFoundError, UnreachableError
from emasync.simulator import Simulator
from tests.contract.stage import PASSWORD, QUICK, USER, Simulate, connect


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_base_url_works_with_and_without_slash_and_prefix(simulate: Simulate, prefix: str, slash: str) -> None:
    # Sabotage: check_base_url leaves the URL without its trailing slash (the last part of the prefix is lost).
    async with simulate(prefix=prefix) as sim:
        async with Client(sim.url.rstrip("/") + slash, username=USER, password=PASSWORD, settings=QUICK) as em:
            assert not await em.files.list()
        assert [request.path for request in sim.requests] == ["auth/", "em/files/list"]


async def test_a_missing_prefix_is_not_found_and_says_what_was_asked(simulate: Simulate) -> None:
    async with simulate(prefix="/api") as sim:
        wrong = sim.url.replace("/api", "")
        async with Client(wrong, username=USER, password=PASSWORD, settings=QUICK) as em:
            with pytest.raises(NotFoundError, match="auth/"):
                await em.files.list()


@pytest.mark.parametrize("login", [f"{USER}:{PASSWORD.replace('/', '%2F')}@", f"{USER}@", ":only-a-password@"])
def test_credentials_in_the_base_url_are_refused_and_not_repeated(login: str) -> None:
    # Sabotage: check_base_url puts the text into its message.
    with pytest.raises(ValueError, match="must not hold a user name or password") as caught:
        Client(f"http://{login}em.example.com/", username=USER, password=PASSWORD)
    assert login not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "em.example.com", "ftp://em.example.com/", "http:///x", "http://h/?a=1", "http://h/#x"]
)
def test_what_cannot_be_a_base_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        Client(url, username=USER, password=PASSWORD)


async def test_an_em_that_is_not_there_is_unreachable_and_named(simulate: Simulate) -> None:
    async with simulate() as sim:
        url = sim.url
    async with Client(url, username=USER, password=PASSWORD, settings=QUICK) as em:
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1") as caught:
            await em.files.list()
    assert not caught.value.sent
    assert isinstance(caught.value, ConnectionError)


async def test_a_session_that_is_handed_in_stays_open(sim: Simulator) -> None:
    async with aiohttp.ClientSession() as session:
        async with Client(sim.url, username=USER, password=PASSWORD, session=session) as em:
            await em.files.list()
        assert not session.closed


async def test_a_client_outside_its_block_says_so(sim: Simulator) -> None:
    em = connect(sim)
    with pytest.raises(RuntimeError, match="async with Client"):
        await em.files.list()
    with pytest.raises(RuntimeError, match="async with Client"):
        em.downlink("x")
    assert sim.requests == []
