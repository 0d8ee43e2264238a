"""One token, one log-in, however many tasks; the exchange is a fake, the clock is a number."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pybase64
import pytest

from emasync.errors import (
    AuthError,
    EMError,
    ForbiddenError,
    NotFoundError,
    ProtocolError,
    ServerError,
    TimedOutError,
    UnreachableError,
)
from emasync.http.auth import TokenStore
from emasync.wire.requests import ApiRequest


def jwt(number: int, life_s: float) -> str:
    claims = json.dumps({"iat": 1e9, "exp": 1e9 + life_s, "jti": number}).encode()
    return f"head.{pybase64.b64encode(claims, altchars=b'-_').rstrip(b'=').decode()}.signature"


class FakeAuth:
    """Gives numbered tokens; `answers` maps a path to what is done instead of the default."""

    def __init__(self, *, life_s: float | None = 300.0, refresh: bool = True) -> None:
        self.life_s = life_s
        self.refresh = refresh
        self.paths: list[str] = []
        self.answers: dict[str, Callable[[], Awaitable[Any]]] = {}
        self.now = 1000.0

    async def exchange(self, call: ApiRequest) -> Any:
        self.paths.append(call.path)
        await anyio.lowlevel.checkpoint()
        if call.path in self.answers:
            return await self.answers[call.path]()
        return self.token()

    def token(self) -> dict[str, str]:
        number = len(self.paths)
        access = f"opaque-{number}" if self.life_s is None else jwt(number, self.life_s)
        return {"access": access} | ({"refresh": f"refresh-{number}"} if self.refresh else {})

    def fails(self, path: str, error: EMError) -> None:
        async def fail() -> None:
            raise error

        self.answers[path] = fail

    def store(self) -> TokenStore:
        return TokenStore("client1", "canary", exchange=self.exchange, clock=lambda: self.now)


LOG_IN, REFRESH = "auth/", "auth/refresh"


@pytest.fixture
def auth() -> FakeAuth:
    return FakeAuth()


async def test_fifty_tasks_cause_one_log_in(auth: FakeAuth) -> None:
    # Sabotage: drop the lock in `get`.
    store, seen = auth.store(), set()

    async def one() -> None:
        seen.add((await store.get()).access)

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(one)
    assert auth.paths == [LOG_IN]
    assert len(seen) == 1


async def test_fifty_refused_tasks_cause_one_refresh(auth: FakeAuth) -> None:
    # Sabotage: drop the comparison in `replace`.
    store, seen = auth.store(), set()
    old = await store.get()

    async def one() -> None:
        seen.add((await store.replace(old)).access)

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(one)
    assert auth.paths == [LOG_IN, REFRESH]
    assert len(seen) == 1
    assert old.access not in seen


async def test_a_401_for_a_token_replaced_long_ago_costs_nothing(auth: FakeAuth) -> None:
    store = auth.store()
    first = await store.get()
    second = await store.replace(first)
    assert await store.replace(first) is second
    assert auth.paths == [LOG_IN, REFRESH]


async def test_a_token_is_renewed_at_80_percent_of_its_life(auth: FakeAuth) -> None:
    store = auth.store()
    first = await store.get()
    auth.now += 239
    assert await store.get() is first
    auth.now += 1
    second = await store.get()
    assert second is not first
    assert auth.paths == [LOG_IN, REFRESH]
    assert second.received_at == 1240.0


async def test_fifty_tasks_at_80_percent_cause_one_refresh(auth: FakeAuth) -> None:
    store = auth.store()
    await store.get()
    auth.now += 240
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(store.get)
    assert auth.paths == [LOG_IN, REFRESH]


async def test_a_refresh_token_that_is_not_renewed_is_kept(auth: FakeAuth) -> None:
    store = auth.store()
    token = await store.get()
    auth.refresh = False
    assert (await store.replace(token)).refresh == token.refresh == "refresh-1"


@pytest.mark.parametrize(
    "error",
    [AuthError("spent", status=401), NotFoundError("seed"), ForbiddenError("no"), ServerError("broken", status=500)],
)
async def test_where_a_refresh_fails_the_password_is_used(auth: FakeAuth, error: EMError) -> None:
    # Sabotage: take the class out of _NO_REFRESH.
    store = auth.store()
    token = await store.get()
    auth.fails(REFRESH, error)
    assert await store.replace(token) is not token
    assert auth.paths == [LOG_IN, REFRESH, LOG_IN]


async def test_a_refresh_answer_that_makes_no_sense_leads_to_a_log_in(auth: FakeAuth) -> None:
    store = auth.store()
    token = await store.get()

    async def nonsense() -> Any:
        return {"token": "?"}

    auth.answers[REFRESH] = nonsense
    await store.replace(token)
    assert auth.paths == [LOG_IN, REFRESH, LOG_IN]


async def test_without_a_refresh_token_there_is_only_the_log_in() -> None:
    auth = FakeAuth(refresh=False)
    store = auth.store()
    await store.replace(await store.get())
    assert auth.paths == [LOG_IN, LOG_IN]


async def test_an_opaque_token_works_and_never_grows_old() -> None:
    auth = FakeAuth(life_s=None)
    store = auth.store()
    token = await store.get()
    auth.now += 1e9
    assert await store.get() is token
    assert token.lifetime_s is None


async def test_a_wrong_password_is_one_call_and_final(auth: FakeAuth) -> None:
    # Sabotage: forget `_denied`: an account may be locked after a few wrong log-ins.
    store, errors = auth.store(), []
    auth.fails(LOG_IN, AuthError("401", call="POST auth/", status=401, detail="No active account"))

    async def one() -> None:
        try:
            await store.get()
        except AuthError as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(one)
    assert auth.paths == [LOG_IN]
    assert len(errors) == 20
    for error in errors:
        assert "'client1'" in str(error)
        assert "No active account" in str(error)
        assert "EMASYNC_PASSWORD" in str(error)
        assert "canary" not in str(error)
        assert (error.status, error.detail) == (401, "No active account")


async def test_a_log_in_that_is_cancelled_is_made_by_the_next(auth: FakeAuth) -> None:
    # Sabotage: hold the lock by hand and release it after the await instead of in a context.
    store = auth.store()

    async def hang() -> None:
        await anyio.sleep_forever()

    auth.answers[LOG_IN] = hang
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def first() -> None:
            with scope:
                await store.get()

        tasks.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(store.get)
        await anyio.wait_all_tasks_blocked()
        auth.answers.clear()
        scope.cancel()
    assert auth.paths == [LOG_IN, LOG_IN]
    assert (await store.get()).access == jwt(2, 300.0)


async def test_an_outage_is_no_reason_to_forget_a_token_that_is_still_good(auth: FakeAuth) -> None:
    # Sabotage: drop the token when a log-in fails: the second `get` raises.
    store = auth.store()
    token = await store.get()
    auth.fails(REFRESH, ServerError("down", status=500))
    auth.fails(LOG_IN, UnreachableError("down"))
    auth.now += 250
    assert await store.get() is token
    assert await store.get() is token
    auth.answers.clear()
    auth.now += 25
    assert await store.get() is not token


async def test_an_outage_is_raised_once_the_token_is_dead(auth: FakeAuth) -> None:
    store = auth.store()
    await store.get()
    auth.fails(REFRESH, TimedOutError("down"))
    auth.now += 300
    with pytest.raises(TimedOutError):
        await store.get()


async def test_a_refused_token_is_not_given_out_again_when_replacing_it_failed(auth: FakeAuth) -> None:
    # Sabotage: keep `_token` while `replace` renews it: the refused one would be sent once more by everybody.
    store = auth.store()
    token = await store.get()
    auth.fails(REFRESH, UnreachableError("down"))
    with pytest.raises(UnreachableError):
        await store.replace(token)
    auth.answers.clear()
    assert await store.get() is not token


async def test_an_outage_at_the_first_log_in_is_no_denial(auth: FakeAuth) -> None:
    store = auth.store()
    auth.fails(LOG_IN, UnreachableError("down"))
    with pytest.raises(UnreachableError):
        await store.get()
    auth.answers.clear()
    assert (await store.get()).access


# Sabotage: leave `_rest_until` as it was: 200 requests for 100 calls.
@pytest.mark.parametrize("error", [ServerError("down", status=500), ProtocolError("an HTML page")])
async def test_a_token_that_cannot_be_renewed_now_is_not_tried_to_be_renewed_by_every_call(error: EMError) -> None:
    auth = FakeAuth(life_s=1000.0)
    store = auth.store()
    token = await store.get()
    auth.fails(REFRESH, error)
    auth.fails(LOG_IN, error)
    for step in range(100):
        auth.now = 1801.0 + step / 10
        assert await store.get() is token
    assert len(auth.paths) <= 1 + 2


# Sabotage: leave `needed_s` out of Token.is_due; or `_YOUNG = 0.0`: every long body costs a log-in.
async def test_a_token_that_would_not_outlive_a_long_body_is_renewed_before_it(auth: FakeAuth) -> None:
    store = auth.store()
    first = await store.get()
    auth.now += 100
    assert await store.get(needed_s=199) is first
    second = await store.get(needed_s=201)
    assert second is not first
    assert await store.get(needed_s=1e6) is second  # fresh, and no other would live longer
    assert auth.paths == [LOG_IN, REFRESH]


# Sabotage: `clock: ... = time.time` in TokenStore: a clock that is set anew would make a good token old, or worse.
async def test_a_wall_clock_that_jumps_makes_no_token_old(auth: FakeAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1e9
    monkeypatch.setattr("time.time", lambda: now)
    store = TokenStore("client1", "canary", exchange=auth.exchange)
    token = await store.get()
    now += 1e6
    assert await store.get() is token
    assert abs(token.received_at - time.monotonic()) < 60


async def test_the_repr_names_the_user_alone(auth: FakeAuth) -> None:
    store = auth.store()
    await store.get()
    assert repr(store) == "<TokenStore of 'client1'>"
