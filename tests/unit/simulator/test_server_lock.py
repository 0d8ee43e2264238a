from __future__ import annotations

import asyncio
import os
from typing import Any

import anyio
import pytest

from emasync.simulator import Fault, VirtualClock

from .raw_client import RawClient, RawResponse, inside, simulator


async def calls(raw: RawClient, *paths: str) -> list[RawResponse]:
    """Several GETs at once."""
    return list(await asyncio.gather(*(raw.get(path) for path in paths)))


async def test_an_exclusive_em_takes_one_call_at_a_time() -> None:
    async with simulator(exclusive=True) as (sim, raw), anyio.create_task_group() as group:
        paused = sim.breakpoint("em/files/list")
        group.start_soon(raw.get, "em/files/list")
        await paused.wait_until_hit()
        # Sabotage: let Lock.take always succeed.
        replies = await calls(raw, "em/pod/status", "em/files/downlink?filepath=x", "em/pod/image/list")
        assert [reply.status for reply in replies] == [423, 423, 423]
        assert "busy" in replies[0].data["detail"]
        other = await raw.log_in("client2")  # a log-in never meets the lock; the other user does
        assert (await other.get("em/files/list")).status == 423
        paused.release()
    assert sim.state.lock.held == 0


async def test_without_a_lock_calls_run_side_by_side() -> None:
    async with simulator() as (sim, raw), anyio.create_task_group() as group:
        paused = sim.breakpoint("em/files/list")
        for _ in range(3):
            group.start_soon(raw.get, "em/files/list")
        await paused.wait_until_hit(3)
        assert paused.waiting == 3
        paused.release()


@pytest.mark.parametrize("generation", ["seed", "pods"])
async def test_one_call_after_the_other_never_meets_the_lock(generation: str) -> None:
    async with simulator(exclusive=True, generation=generation) as (sim, raw):
        (sim.volume("client1") / "f").write_bytes(os.urandom(5 * 768 * 1024))
        for _ in range(20):
            assert (await raw.get("em/files/downlink", filepath="f")).status == 200
            assert (await raw.uplink({"a": b"1"})).status == 200
            assert (await raw.get("em/files/list")).status == 200
        assert all(entry.status == 200 and entry.seconds > 0 for entry in sim.requests)


async def test_a_hold_keeps_the_em_busy_by_the_bytes_that_move() -> None:
    clock = VirtualClock(auto=True)
    async with simulator(exclusive=True, clock=clock, hold=lambda size: 1.0 + size / 100) as (sim, raw):
        await raw.uplink({"a": bytes(500)})
        await raw.get("em/files/list")
        await raw.get("em/files/downlink", filepath="a")
        assert [round(entry.seconds, 2) for entry in sim.requests[1:]] == [6.0, 1.0, 6.0]


async def test_a_refused_uplink_is_answered_before_its_body_was_read() -> None:
    async with simulator(exclusive=True) as (sim, raw), anyio.create_task_group() as group:
        paused = sim.breakpoint("em/files/list")
        group.start_soon(raw.get, "em/files/list")
        await paused.wait_until_hit()
        reply = await raw.uplink({"big": bytes(30_000_000)})
        assert (reply.status, reply.headers["Connection"]) == (423, "close")
        assert sim.requests[-1].bytes_in < 2_000_000
        paused.release()


async def test_of_a_refused_body_that_keeps_coming_little_is_taken() -> None:
    async with simulator(faults=[Fault("busy_before")]) as (sim, raw):
        host, port = sim.url.removeprefix("http://").strip("/").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /em/files/uplink HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {raw.token}\r\n"
        writer.write(f"{head}Content-Length: 30000000\r\n\r\n".encode() + bytes(30_000_000))
        assert (await reader.read()).startswith(b"HTTP/1.1 423")
        for _ in range(500):  # turns of the loop in which a server without a bound would go on reading
            await asyncio.sleep(0)
        writer.transport.abort()
    # Sabotage: drain without a bound in `_send_early_response`.
    assert sim.requests[-1].bytes_in < 2_000_000


async def test_a_gate_before_the_answer_holds_the_lock_with_the_work_done() -> None:
    async with simulator(exclusive=True) as (sim, raw), anyio.create_task_group() as group:
        paused = sim.breakpoint("em/files/uplink", at="answer")
        group.start_soon(raw.uplink, {"a": b"1"})
        await paused.wait_until_hit()
        assert inside(sim.volume("client1")) == ["a"]
        assert (await raw.get("em/files/list")).status == 423
        paused.release()


async def test_a_gate_in_a_body_holds_it_half_way() -> None:
    async with simulator() as (sim, raw), anyio.create_task_group() as group:
        (sim.volume("client1") / "f").write_bytes(bytes(3_000_000))
        paused = sim.breakpoint("em/files/downlink", at="body")
        group.start_soon(lambda: raw.get("em/files/downlink", filepath="f"))
        await paused.wait_until_hit()
        assert 0 < sim.requests[-1].bytes_out < 3_000_000
        paused.release()


@pytest.mark.parametrize("stale", [True, False])
async def test_a_lock_can_outlive_the_client_that_went_away(*, stale: bool) -> None:
    clock = VirtualClock()
    faults = [Fault("stale_lock", endpoint="em/files/list", seconds=60.0)] if stale else []
    async with simulator(exclusive=True, clock=clock, faults=faults) as (sim, raw):
        paused = sim.breakpoint("em/files/list")
        async with anyio.create_task_group() as group:
            group.start_soon(raw.get, "em/files/list")
            await paused.wait_until_hit()
            group.cancel_scope.cancel()
        for _ in range(50):  # a few turns of the loop, in which the server's socket learns of the close
            await asyncio.sleep(0)
        paused.release()
        while sim.requests[-1].status == 0:
            await asyncio.sleep(0)
        await clock.advance(59.0)
        assert (await raw.get("em/pod/status")).status == (423 if stale else 200)
        await clock.advance(2.0)
        assert (await raw.get("em/pod/status")).status == 200
        assert sim.state.lock.held == 0


async def test_behind_a_buffering_proxy_a_refusal_costs_the_whole_body() -> None:
    async with simulator(buffering=True, exclusive=True) as (sim, raw):
        paused = sim.breakpoint("em/files/uplink", at="body")
        paused.release()
        token, raw.token = raw.token, "expired"
        assert (await raw.uplink({"a": bytes(3_000_000)})).status == 401
        assert sim.requests[-1].bytes_in > 3_000_000
        raw.token = token
        assert (await raw.uplink({"a": b"1"})).status == 200
        assert (await raw.get("em/files/downlink", filepath="a")).status == 200
        assert sim.state.lock.held == 0


async def test_tokens_can_be_refused_in_the_middle_of_an_uplink() -> None:
    async with simulator(buffering=True) as (sim, raw), anyio.create_task_group() as group:
        paused, replies = sim.breakpoint("em/files/uplink", at="body"), list[Any]()

        async def send() -> None:
            replies.append(await raw.uplink({"a": bytes(1_000_000)}))

        group.start_soon(send)
        await paused.wait_until_hit()
        sim.revoke_tokens()
        paused.release()
    assert replies[0].status == 401
