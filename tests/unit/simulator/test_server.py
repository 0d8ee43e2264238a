from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from emasync.simulator import Generation, Simulator, VirtualClock

from .raw_client import BOUNDARY, exchange_bytes, inside, multipart, simulator

GENERATIONS: list[Generation] = ["seed", "pods", "pvc"]
LATER: list[Generation] = ["pods", "pvc"]
every_generation = pytest.mark.parametrize("generation", GENERATIONS)


@every_generation
async def test_a_log_in_gives_tokens_and_a_wrong_password_none(generation: Generation) -> None:
    async with simulator(None, generation=generation) as (_, raw):
        reply = await raw.post("auth/", username="client1", password="secret")
        assert reply.status == 200
        assert set(reply.data) == {"access", "refresh"}
        assert (await raw.post("auth/", username="client1", password="wrong")).status == 401
        assert (await raw.post("auth/", username="client1")).data == {"password": ["This field is required."]}
        as_json = await raw.json("auth/", username="client1", password="secret")
        assert as_json.status == (415 if generation == "seed" else 200)
        assert (await raw.get("auth/")).status == 405


async def test_a_refresh_token_gives_access_until_it_is_spent() -> None:
    clock = VirtualClock()
    async with simulator(None, clock=clock, refresh_lifetime=1000.0) as (sim, raw):
        tokens = (await raw.post("auth/", username="client1", password="secret")).data
        raw.token = (await raw.json("auth/refresh", refresh=tokens["refresh"])).data["access"]
        assert (await raw.get("em/files/list")).status == 200
        assert (await raw.json("auth/refresh", refresh=tokens["access"])).status == 401
        assert (await raw.json("auth/refresh")).status == 400
        sim.revoke_tokens()
        assert (await raw.get("em/files/list")).data["code"] == "token_not_valid"
        assert (await raw.json("auth/refresh", refresh=tokens["refresh"])).status == 200
        await clock.advance(1000.0)
        assert (await raw.json("auth/refresh", refresh=tokens["refresh"])).status == 401


async def test_refresh_tokens_can_be_left_out() -> None:
    async with simulator(None, refresh_tokens=False) as (_, raw):
        assert set((await raw.post("auth/", username="client1", password="secret")).data) == {"access"}


async def test_a_token_expires_on_the_clock() -> None:
    clock = VirtualClock()
    async with simulator(clock=clock, token_lifetime=60.0) as (_, raw):
        await clock.advance(59.0)
        assert (await raw.get("em/files/list")).status == 200
        await clock.advance(1.0)
        assert (await raw.get("em/files/list")).status == 401


async def test_nothing_is_done_without_a_token() -> None:
    async with simulator(None) as (sim, raw):
        for token in (None, "x", "a.b.c"):
            raw.token = token
            assert (await raw.uplink({"a": b"x"})).status == 401
        assert inside(sim.volume("client1")) == []


async def test_both_spellings_of_an_address_are_served() -> None:
    async with simulator() as (sim, raw):
        assert (await raw.get(sim.url + "/em/files/list")).status == 200
        assert (await raw.get("em/files/list")).status == 200
        assert [entry.path for entry in sim.requests] == ["auth/", "em/files/list", "em/files/list"]
        moved = await raw.call("POST", "auth", data={"username": "client1", "password": "secret"})
        assert (moved.status, moved.headers["Location"]) == (301, "/auth/")
        for path in ("em/files/list/", "nowhere", "em/pvc/list", "em/nodes/status"):
            reply = await raw.get(path)
            assert (reply.status, reply.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


async def test_a_prefix_stands_before_every_address() -> None:
    async with simulator(prefix="/api/v1") as (sim, raw):
        assert sim.url.endswith("/api/v1/")
        assert (await raw.get("em/files/list")).status == 200
        assert (await raw.get(sim.url + "/em/files/list")).status == 200
        assert (await raw.get(sim.url.replace("/api/v1", "") + "em/files/list")).status == 404


async def test_an_octet_stream_is_not_acceptable() -> None:
    async with simulator() as (_, raw):
        reply = await raw.call("GET", "em/files/list", headers={"Accept": "application/octet-stream"})
        assert reply.status == 406


@every_generation
async def test_images_are_built_and_listed(generation: Generation) -> None:
    async with simulator(generation=generation) as (_, raw):
        await raw.uplink({"Dockerfile": b"FROM alpine\nCOPY run.sh /\n", "run.sh": b"x"}, dest_path="echo-test")
        fields = {"dockerfile": "./echo-test/Dockerfile", "image": "echo-test", "context": "./echo-test"}
        assert (await raw.post("em/pod/image/build", **fields)).status == 200
        images = (await raw.get("em/pod/image/list")).data["data"]
        assert images == (
            ["client1-echo-test"] if generation == "seed" else [{"name": "client1-echo-test", "size": 27}]
        )
        failed = await raw.post("em/pod/image/build", **(fields | {"dockerfile": "nope"}))
        assert (failed.status, failed.data["error"]) == (400, "BUILD_FAILED")
        assert failed.data["log_tail"][-1].endswith("\n")
        assert (await raw.post("em/pod/image/build", image="x")).data == {"dockerfile": ["This field is required."]}
        tar = await raw.post("em/pod/image/load", tarfile="echo-test/run.sh", image="x")
        assert (tar.status, tar.data["error"]) == (400, "IMAGE_LOAD_FAILED")


@pytest.mark.parametrize("generation", LATER)
async def test_later_generations_tell_volumes_apart_by_name(generation: Generation) -> None:
    async with simulator(generation=generation) as (sim, raw):
        await raw.uplink({"a": b"1"}, pod_name="pod-a")
        assert await raw.names() == []
        named = await raw.get("em/files/list", pod_name="pod-a")
        assert [entry["name"] for entry in named.data["data"]] == ["a"]
        assert (sim.volume("client1", "pod-a") / "a").exists()
        assert (await raw.get("em/files/downlink", filepath="a", pod_name="pod-a")).body == b"1"
        assert (await raw.json("em/files/delete", filepath="a", pod_name="pod-a")).status == 200
        assert (await raw.get("em/files/list", pod_name="../x")).status == 400
        nodes = (await raw.get("em/nodes/status")).data["data"]
        assert {"name": "fpga", "status": "True"} in nodes
        posted = await raw.post("em/files/list", pvc_name="pod-a")
        assert posted.status == (200 if generation == "pvc" else 405)
        volumes = await raw.get("em/pvc/list")
        assert volumes.status == (200 if generation == "pvc" else 404)


async def test_the_seed_generation_ignores_names() -> None:
    async with simulator() as (_, raw):
        await raw.uplink({"a": b"1"}, pod_name="pod-a")
        assert await raw.names() == ["a"]
        assert (await raw.json("em/files/delete", filepath="a")).status == 415


async def test_a_body_that_is_no_json_is_refused() -> None:
    async with simulator(generation="pods") as (_, raw):
        headers = {"Content-Type": "application/json"}
        for body in (b"{", b"[1]", b"\xff"):
            assert (await raw.call("POST", "em/files/delete", data=body, headers=headers)).status == 400
        form = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        fields = multipart([], filepath="nope")
        assert (await raw.call("POST", "em/files/delete", data=fields, headers=form)).data["error"] == "FILE_NOT_FOUND"
        assert (await raw.call("POST", "em/files/delete", data=b"--b0undaryXY", headers=form)).status == 400


async def test_users_do_not_see_each_other() -> None:
    async with simulator() as (sim, raw):
        other = await raw.log_in("client2")
        await raw.uplink({"a": b"1"})
        assert await other.names() == []
        assert sim.requests[-1].user == "client2"


async def test_a_body_waits_for_permission_when_it_asks() -> None:
    async with simulator() as (sim, raw):
        reply = await raw.call("POST", "em/files/delete", data={"filepath": "x"}, expect100=True)
        assert reply.data["error"] == "FILE_NOT_FOUND"
        head = "POST /em/files/uplink HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        assert (await exchange_bytes(sim, head.encode())).startswith(b"HTTP/1.1 401")


async def test_latency_and_bandwidth_pass_on_the_clock() -> None:
    clock = VirtualClock(auto=True)
    async with simulator(clock=clock, latency=2.0, bandwidth=1000.0) as (sim, raw):
        await raw.uplink({"a": bytes(5000)})
        assert 7.0 < sim.requests[-1].seconds < 7.5
        await raw.get("em/files/downlink", filepath="a")
        assert 8.0 < sim.requests[-1].seconds < 9.5


async def test_a_folder_that_is_given_stays_and_a_temporary_one_goes(tmp_path: Path) -> None:
    async with Simulator({"a": "b"}, root=tmp_path) as sim:
        (sim.volume("a") / "f").touch()
        kept = sim.volume("a")
    assert kept.exists()
    assert inside(tmp_path) == ["users"]
    async with Simulator({"a": "b"}, root=tmp_path) as sim:
        assert (sim.volume("a") / "f").exists()
    async with Simulator({"a": "b"}) as sim:
        gone = sim.volume("a")
    assert not gone.exists()
    assert not gone.parents[2].exists()


async def test_what_is_not_running_says_so() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        _ = Simulator({}).url
    with pytest.raises(ValueError, match="generation"):
        Simulator({}, generation="moon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="envelope"):
        Simulator({}, envelope=("size",))


async def test_a_port_can_be_chosen_and_must_be_free() -> None:
    async with Simulator({}) as first:
        port = int(first.url.split(":")[2].strip("/"))
        with pytest.raises(OSError, match="address"):
            async with Simulator({}, port=port):
                pass
    async with Simulator({}, port=port) as second:
        assert second.url == first.url


def test_the_log_shows_no_secret() -> None:
    async def calls() -> str:
        async with simulator() as (sim, raw):
            token = (await raw.post("auth/", username="client1", password="secret")).data["refresh"]
            await raw.json("auth/refresh", refresh=token)
            assert token not in repr(sim.requests)
            return json.dumps([str(entry) for entry in sim.requests])

    assert "secret" not in asyncio.run(calls())
