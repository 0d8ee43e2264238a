from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Any

import aiohttp
import anyio
import pytest

from emasync.simulator import Fault, FaultKind, VirtualClock
from emasync.wire.content_tag import content_tag

from .raw_client import RawClient, exchange_bytes, inside, simulator

CUT = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)


async def fault(kind: FaultKind, **fields: Any) -> Any:
    """What an uplink of two files, hit by that fault, gets; and what is in the volume then."""
    async with simulator(faults=[Fault(kind, endpoint="em/files/uplink", **fields)]) as (sim, raw):
        try:
            reply: Any = await raw.uplink({"a": bytes(100_000), "b": bytes(100_001)}, dest_path="")
        except CUT as broken:
            reply = broken
        stored = {item.name: item.stat().st_size for item in sim.volume("client1").iterdir()}
        assert sim.requests[-1].fault == kind
        assert inside(sim.state.staging) == []
        assert sim.state.lock.held == 0
        assert (await raw.uplink({"again": b"1"})).status == 200
        return reply, stored


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("busy_before", 423),
        ("busy_during", 423),
        ("busy_after", 423),
        ("unauthorized_before", 401),
        ("unauthorized_after_body", 401),
        ("error_500", 500),
        ("html_502", 502),
        ("html_200", 200),
        ("redirect", 302),
        ("retry_after", 503),
        ("early_answer", 200),
    ],
)
async def test_a_refused_uplink_stores_nothing(kind: FaultKind, status: int) -> None:
    # Sabotage: inject `busy_after` and `unauthorized_after_body` behind `_store` instead of before it.
    reply, stored = await fault(kind)
    assert (reply.status, stored) == (status, {})


async def test_refusals_carry_what_a_client_needs_to_know() -> None:
    assert (await fault("retry_after", status=429, seconds=7.0))[0].headers["Retry-After"] == "7"
    assert (await fault("retry_after", status=429, seconds=7.0))[0].status == 429
    assert (await fault("redirect", location="http://x.invalid/y"))[0].headers["Location"] == "http://x.invalid/y"
    assert (await fault("html_502"))[0].headers["Content-Type"].startswith("text/html")
    assert (await fault("unauthorized_before"))[0].data["code"] == "token_not_valid"
    assert (await fault("early_answer", count=2))[0].data["data"]["file_count"] == 2


async def test_commit_then_drop_does_the_work_and_says_nothing() -> None:
    for hard in (False, True):
        reply, stored = await fault("commit_then_drop", hard=hard)
        assert isinstance(reply, aiohttp.ClientConnectionError)
        assert stored == {"a": 100_000, "b": 100_001}


@pytest.mark.parametrize("at", [None, 0, 50_000])
async def test_a_reset_uplink_stores_nothing(at: int | None) -> None:
    reply, stored = await fault("reset", at=at)
    assert isinstance(reply, aiohttp.ClientConnectionError)
    assert stored == {}


async def test_files_can_be_dropped_with_and_without_a_lie() -> None:
    reply, stored = await fault("drop_files", count=1)
    assert (reply.data["data"]["file_count"], stored) == (2, {"a": 100_000})
    reply, stored = await fault("drop_files", count=1, claim_full=False)
    assert (reply.data["data"]["file_count"], stored) == (1, {"a": 100_000})


async def test_a_file_can_be_stored_short() -> None:
    assert (await fault("truncate_store"))[1] == {"a": 100_000, "b": 50_000}
    assert (await fault("truncate_store", at=7))[1] == {"a": 100_000, "b": 7}


async def test_busy_in_the_middle_leaves_the_rest_unread() -> None:
    async with simulator(faults=[Fault("busy_during", at=100_000)]) as (sim, raw):
        reply = await raw.uplink({"big": bytes(20_000_000)})
        assert reply.status == 423
        assert 100_000 <= sim.requests[-1].bytes_in < 3_000_000


async def test_a_hard_refusal_closes_at_once() -> None:
    async with simulator(faults=[Fault("busy_before", hard=True)]) as (sim, raw):
        head = f"POST /em/files/uplink HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {raw.token}\r\n"
        answer = await exchange_bytes(sim, f"{head}Content-Length: 100\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 423")


async def downlink(generation: str, kind: FaultKind, **fields: Any) -> tuple[Any, bytes]:
    """What a downlink of half a megabyte gets when that fault hits it; and the file's bytes."""
    data = os.urandom(500_000)
    async with simulator(generation=generation, faults=[Fault(kind, endpoint="em/files/downlink", **fields)]) as (
        sim,
        raw,
    ):
        (sim.volume("client1") / "f").write_bytes(data)
        try:
            return await raw.get("em/files/downlink", filepath="f"), data
        except CUT as broken:
            assert kind == "commit_then_drop" or sim.requests[-1].bytes_out < 500_000
            return broken, data


@pytest.mark.parametrize("generation", ["seed", "pods"])
@pytest.mark.parametrize("at", [None, 1, 1000])
async def test_a_body_can_be_cut_anywhere(generation: str, at: int | None) -> None:
    # Twice, because aiohttp's client repeats a GET by itself when a connection it had kept is closed on it.
    for kind in ("cut_body", "reset"):
        reply, _ = await downlink(generation, kind, at=at, times=2)
        assert isinstance(reply, CUT)
    reply, _ = await downlink(generation, "commit_then_drop", times=2)
    assert isinstance(reply, aiohttp.ClientConnectionError)


async def test_an_envelope_can_lie_about_size_and_hash() -> None:
    reply, data = await downlink("seed", "wrong_size")
    assert reply.data["size"] == 500_001
    reply, data = await downlink("seed", "wrong_hash")
    assert reply.data["hash"] != hashlib.sha256(data).hexdigest()
    assert len(reply.data["hash"]) == 64


async def test_content_can_be_corrupted_in_one_byte() -> None:
    for at in (None, 0, 499_999):
        reply, data = await downlink("pods", "corrupt_body", at=at)
        wrong = [i for i, (a, b) in enumerate(zip(reply.body, data, strict=True)) if a != b]
        assert wrong == [250_000 if at is None else at]


async def test_a_listing_can_lie() -> None:
    faults = [Fault("wrong_hash", endpoint="em/files/list"), Fault("wrong_size", endpoint="em/files/list")]
    async with simulator(faults=faults) as (_, raw):
        await raw.uplink({"a": b"123"}, dest_path="x")
        entries = [(await raw.get("em/files/list")).data["data"][0]["contents"][0] for _ in range(3)]
        assert [entry["hash"] == content_tag(b"123") for entry in entries] == [False, True, True]
        assert [entry["size"] for entry in entries] == ["3", "4", "3"]


async def test_a_drip_is_slow_on_the_clock_both_ways() -> None:
    clock = VirtualClock(auto=True)
    async with simulator(clock=clock, faults=[Fault("slow_drip", times=2, rate=100.0)]) as (sim, raw):
        assert (await raw.uplink({"a": bytes(1000)})).status == 200
        assert (await raw.get("em/files/downlink", filepath="a")).status == 200
        assert [entry.seconds > 10.0 for entry in sim.requests] == [False, True, True]


@pytest.mark.parametrize("at", [None, 1000])
async def test_a_stall_ends_when_the_client_goes(at: int | None) -> None:
    async with simulator(exclusive=True, faults=[Fault("stall", endpoint="em/files/*", times=2, at=at)]) as (
        sim,
        raw,
    ):
        (sim.volume("client1") / "f").write_bytes(bytes(100_000))

        async def give_up(raw: RawClient) -> None:
            with anyio.move_on_after(0.05):
                if at is None:
                    await raw.get("em/files/downlink", filepath="f")
                else:
                    await raw.uplink({"a": bytes(100_000)})
                raise AssertionError("it answered")

        await give_up(raw)
        while sim.state.lock.held:
            await asyncio.sleep(0.005)
        assert sim.requests[-1].status == 0
        assert not (sim.volume("client1") / "a").exists()
        assert (await raw.get("em/pod/status")).status == 200


async def test_leaving_ends_what_is_stalled_gated_or_asleep() -> None:
    clock = VirtualClock()
    faults = [Fault("stall", endpoint="em/files/list"), Fault("slow_drip", endpoint="em/files/delete")]
    async with anyio.create_task_group() as group:
        async with simulator(clock=clock, faults=faults) as (sim, raw):

            async def call(path: str) -> None:
                with pytest.raises(CUT):
                    await (raw.post(path, filepath="x" * 100) if path.endswith("delete") else raw.get(path))

            paused = sim.breakpoint("em/pod/status")
            for path in ("em/files/list", "em/files/delete", "em/pod/status"):
                group.start_soon(call, path)
            await paused.wait_until_hit()
            while len(sim.requests) < 4 or clock.sleeping == 0:
                await asyncio.sleep(0)
            before = asyncio.get_running_loop().time()
            with anyio.fail_after(2.0):
                await sim.__aexit__(None, None, None)
            assert asyncio.get_running_loop().time() - before < 1.0


async def test_faults_can_be_added_while_it_runs() -> None:
    async with simulator() as (sim, raw):
        sim.faults.add(Fault("busy_before", endpoint="em/files/list", times=2))
        assert [(await raw.get("em/files/list")).status for _ in range(3)] == [423, 423, 200]
        sim.faults.add(Fault("unauthorized_before", endpoint="auth/"))
        assert (await raw.post("auth/", username="client1", password="secret")).status == 401
