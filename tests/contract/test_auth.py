"""All tasks of a Client share one token: how often the EM is asked for one, and that no call fails meanwhile.

Log-in, refresh, refusal and expiry; every count is of requests in the simulator's log.
"""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from emasync import AuthError, Client, OutcomeState, UnreachableError
from emasync.simulator import Fault, Simulator, VirtualClock
from tests.contract.stage import Simulate, auth_calls, calls, connect, some_bytes, tree, write

TASKS = 50


async def list_in_fifty_tasks(em: Client, *, rounds: int = 1) -> int:
    """How many of fifty tasks, each of which lists `rounds` times, succeeded."""
    succeeded = 0

    async def list_files() -> None:
        nonlocal succeeded
        for _ in range(rounds):
            await em.files.list()
        succeeded += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(TASKS):
            tasks.start_soon(list_files)
    return succeeded


async def test_fifty_tasks_log_in_once(em: Client, sim: Simulator) -> None:
    # Sabotage: TokenStore.get logs in without its lock.
    assert await list_in_fifty_tasks(em) == TASKS
    assert auth_calls(sim) == ["auth/"]


async def test_fifty_tasks_with_an_expired_token_cost_one_refresh(simulate: Simulate) -> None:
    # Sabotage: TokenStore.replace renews without looking whether `refused` is still the token.
    clock = VirtualClock()
    async with simulate(clock=clock) as sim, connect(sim) as em:
        await em.files.list()
        await clock.advance(301)
        assert await list_in_fifty_tasks(em) == TASKS
        assert auth_calls(sim) == ["auth/", "auth/refresh"]


async def test_fifty_tasks_with_an_expired_token_and_no_refresh_token_cost_one_log_in(simulate: Simulate) -> None:
    clock = VirtualClock()
    async with simulate(clock=clock, refresh_tokens=False) as sim, connect(sim) as em:
        await em.files.list()
        await clock.advance(301)
        assert await list_in_fifty_tasks(em) == TASKS
        assert auth_calls(sim) == ["auth/", "auth/"]


@pytest.mark.parametrize(
    ("options", "both", "expected"),
    [
        ({}, False, ["auth/refresh"]),
        ({"refresh_tokens": False}, False, ["auth/"]),
        ({}, True, ["auth/refresh", "auth/"]),
    ],
    ids=["refreshed", "logged in again", "the refresh token is dead too"],
)
async def test_a_token_refused_while_fifty_tasks_run_is_replaced_once(
    simulate: Simulate, options: dict[str, bool], both: bool, expected: list[str]
) -> None:
    # Sabotage: TokenStore.replace renews without looking whether `refused` is still the token.
    async with simulate(**options) as sim, connect(sim) as em:
        paused = sim.breakpoint("em/files/list")

        async def revoke() -> None:
            await paused.wait_until_hit()
            sim.revoke_tokens(refresh=both)
            paused.release()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(revoke)
            assert await list_in_fifty_tasks(em, rounds=2) == TASKS
        assert auth_calls(sim) == ["auth/", *expected]
        assert {request.status for request in calls(sim, "em/files/list")} == {200, 401}


async def test_a_401_after_the_body_of_an_uplink_costs_one_more_send(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    # Sabotage: RequestPipeline._send hands the same, spent body to the second attempt.
    sim.faults.add(Fault("unauthorized_after_body", endpoint="em/files/uplink"))
    data = some_bytes(300_000)
    report = await em.uplink(write(tmp_path, {"a.bin": data}) / "a.bin", dest="up")

    report.raise_for_failures()
    assert tree(sim.volume("client1")) == {"up/a.bin": data}
    assert [request.status for request in calls(sim, "em/files/uplink")] == [401, 200]
    assert auth_calls(sim) == ["auth/", "auth/refresh"]


async def test_a_token_that_dies_during_an_uplink_behind_a_buffering_proxy_costs_one_more_send(
    simulate: Simulate, tmp_path: Path
) -> None:
    data = some_bytes(300_000)
    async with simulate(buffering=True) as sim, connect(sim) as em:
        paused = sim.breakpoint("em/files/uplink", at="body")

        async def revoke() -> None:
            await paused.wait_until_hit()
            sim.revoke_tokens()
            paused.release()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(revoke)
            report = await em.uplink(write(tmp_path, {"a.bin": data}) / "a.bin")
        report.raise_for_failures()
        assert tree(sim.volume("client1")) == {"a.bin": data}
        assert [request.status for request in calls(sim, "em/files/uplink")] == [401, 200]


async def test_a_wrong_password_is_one_call_for_all_tasks_and_final(sim: Simulator) -> None:
    # Sabotage: TokenStore._log_in forgets that it was denied.
    async with connect(sim, password="wrong") as em:
        refused = 0

        async def list_files() -> None:
            nonlocal refused
            with pytest.raises(AuthError, match="refuses the log-in of 'client1'"):
                await em.files.list()
            refused += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(list_files)
        assert refused == 20
        with pytest.raises(AuthError):
            await em.pods.status()
    assert [request.path for request in sim.requests] == ["auth/"]


async def test_a_wrong_password_ends_a_transfer_after_one_call(sim: Simulator, tmp_path: Path) -> None:
    # Sabotage: Uplink._send_call does not look at `_fatal_error`; or TokenStore forgets that it was denied.
    files = write(tmp_path, {f"f{number}/x": b"x" for number in range(30)})
    async with connect(sim, password="wrong") as em:
        up = await em.uplink(f"{files}/", dest="up")
        assert [outcome.state for outcome in up.outcomes] == [OutcomeState.FAILED] * 30
        assert all(isinstance(outcome.error, AuthError) for outcome in up.outcomes)
        with pytest.raises(AuthError):
            await em.downlink("x", into=tmp_path / "down")
    assert [request.path for request in sim.requests] == ["auth/"]
    assert not (tmp_path / "down").exists()


async def test_a_server_that_refuses_every_fresh_token_is_asked_twice(em: Client, sim: Simulator) -> None:
    # Sabotage: retry.decide logs in again however often a fresh token was refused.
    sim.faults.add(Fault("unauthorized_before", times=None))
    with pytest.raises(AuthError, match="em/files/list"):
        await em.files.list()
    assert [request.path for request in sim.requests] == ["auth/", "em/files/list", "auth/refresh", "em/files/list"]


async def test_a_cancelled_log_in_leaves_the_others_to_log_in(em: Client, sim: Simulator) -> None:
    # Sabotage: TokenStore takes its lock without `async with`.
    paused = sim.breakpoint("auth/")
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def first() -> None:
            with scope:
                await em.files.list()

        tasks.start_soon(first)
        await paused.wait_until_hit()
        tasks.start_soon(em.files.list)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        paused.release()
    assert scope.cancelled_caught
    assert auth_calls(sim) == ["auth/", "auth/"]
    assert [request.status for request in calls(sim, "em/files/list")] == [200]


@pytest.mark.parametrize("kind", ["error_500", "html_502", "reset", "retry_after"])
async def test_a_log_in_that_meets_a_passing_fault_is_tried_again(simulate: Simulate, kind: str) -> None:
    fault = Fault(kind, endpoint="auth/", seconds=0.01)  # type: ignore[arg-type]
    async with simulate(faults=[fault]) as sim, connect(sim) as em:
        assert not await em.files.list()
        assert auth_calls(sim) == ["auth/", "auth/"]


async def test_a_log_in_that_is_cut_off_twice_is_an_error_that_the_next_call_need_not_share(simulate: Simulate) -> None:
    async with simulate(faults=[Fault("reset", endpoint="auth/", times=2)]) as sim, connect(sim) as em:
        with pytest.raises(UnreachableError):
            await em.files.list()
        assert not await em.files.list()


async def test_two_users_of_one_em_see_their_own_volumes(sim: Simulator, em: Client, tmp_path: Path) -> None:
    (await em.uplink(write(tmp_path, {"mine": b"1"}) / "mine")).raise_for_failures()
    async with Client(sim.url, username="client2", password="other") as other:
        assert not await other.files.list()
    assert "mine" in await em.files.list()
