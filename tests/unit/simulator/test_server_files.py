from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from emasync.simulator import Generation, VirtualClock
from emasync.wire.content_tag import content_tag

from .raw_client import BOUNDARY, exchange_bytes, inside, multipart, simulator

GENERATIONS: list[Generation] = ["seed", "pods", "pvc"]
every_generation = pytest.mark.parametrize("generation", GENERATIONS)


@every_generation
async def test_what_goes_up_is_listed_and_comes_down(generation: Generation) -> None:
    data = os.urandom(300_001)
    async with simulator(generation=generation) as (sim, raw):
        up = await raw.uplink({"a b.bin": data, "ü.txt": b"", "c": b"x"}, dest_path="deep/er")
        assert up.data["data"] == {"file_count": 3, "total_size_kb": 292.97}
        assert (sim.volume("client1") / "deep" / "er" / "a b.bin").read_bytes() == data
        (deep,) = (await raw.get("em/files/list")).data["data"]
        files = {entry["name"]: entry for entry in deep["contents"][0]["contents"]}
        assert (files["a b.bin"]["size"], files["a b.bin"]["hash"]) == ("300001", content_tag(data))
        assert set(files) == {"a b.bin", "ü.txt", "c"}
        for path in ("deep/er/a b.bin", "/deep/er/a b.bin", "./deep/er/a b.bin"):
            reply = await raw.get("em/files/downlink", filepath=path)
            assert _downlinked(reply.data, reply.body) == data
        assert _downlinked(*(await raw.get("em/files/downlink", filepath="deep/er/ü.txt"))[1:3]) == b""
        assert sim.requests[1].detail == {"dest_path": "deep/er", "files": ["a b.bin", "ü.txt", "c"]}


def _downlinked(envelope: dict[str, Any] | None, body: bytes) -> bytes:
    if envelope is None:
        return body
    data = base64.b64decode(envelope["content"], validate=True)
    assert (envelope["size"], envelope["hash"]) == (len(data), hashlib.sha256(data).hexdigest())
    return data


@pytest.mark.parametrize("size", [0, 1, 2, 3, 3 * 256 * 1024 - 1, 3 * 256 * 1024, 3 * 256 * 1024 + 1, 2_000_000])
async def test_an_envelope_is_right_at_every_size(size: int) -> None:
    data = os.urandom(size)
    async with simulator() as (sim, raw):
        (sim.volume("client1") / "f").write_bytes(data)
        reply = await raw.get("em/files/downlink", filepath="f")
        assert list(reply.data) == ["filename", "content", "size", "hash"]
        assert _downlinked(reply.data, reply.body) == data
        assert int(reply.headers["Content-Length"]) == len(reply.body) == sim.requests[-1].bytes_out


@pytest.mark.parametrize("keys", [("hash", "size", "content", "filename"), ("content",), ("size", "content")])
async def test_the_order_of_the_envelope_can_be_chosen(keys: tuple[str, ...]) -> None:
    async with simulator(envelope=keys) as (sim, raw):
        (sim.volume("client1") / "f").write_bytes(b"data")
        reply = await raw.get("em/files/downlink", filepath="f")
        assert tuple(reply.data) == keys
        assert base64.b64decode(reply.data["content"]) == b"data"


async def test_a_raw_downlink_names_its_file_in_a_header() -> None:
    async with simulator(generation="pods") as (sim, raw):
        for name in ('a "b".txt', "ü.txt"):
            (sim.volume("client1") / name).write_bytes(b"x")
        plain = await raw.get("em/files/downlink", filepath='a "b".txt')
        assert plain.headers["Content-Disposition"] == 'attachment; filename="a \\"b\\".txt"'
        other = await raw.get("em/files/downlink", filepath="ü.txt")
        assert other.headers["Content-Disposition"] == "attachment; filename*=utf-8''%C3%BC.txt"
        ranged = await raw.call(
            "GET", "em/files/downlink", params={"filepath": "ü.txt"}, headers={"Range": "bytes=0-0"}
        )
        assert ranged.status == 200


async def test_the_told_file_name_can_be_a_lie() -> None:
    async with simulator() as (sim, raw):
        (sim.volume("client1") / "f").write_bytes(b"x")
        sim.downlink_filename = "../../x"
        assert (await raw.get("em/files/downlink", filepath="f")).data["filename"] == "../../x"
    async with simulator(generation="pods") as (sim, raw):
        (sim.volume("client1") / "f").write_bytes(b"x")
        sim.downlink_filename = "a\r\nX: y"
        assert "%0D%0A" in (await raw.get("em/files/downlink", filepath="f")).headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("nope", 404), ("folder", 404), ("", 400), ("../x", 403), ("folder/../f", 403), ("link", 403), ("pipe", 404)],
)
async def test_a_downlink_of_nothing_is_refused(path: str, status: int) -> None:
    async with simulator() as (sim, raw):
        (sim.volume("client1") / "folder").mkdir()
        (sim.volume("client1") / "link").symlink_to("/etc/hostname")
        os.mkfifo(sim.volume("client1") / "pipe")
        reply = await raw.get("em/files/downlink", filepath=path)
        assert reply.status == status
        assert set(reply.data) == {"error", "message"}


async def test_deleting_takes_files_and_folders_and_nothing_else() -> None:
    async with simulator() as (sim, raw):
        await raw.uplink({"a": b"1", "b": b"2"}, dest_path="x")
        assert (await raw.post("em/files/delete", filepath="/x/a")).status == 200
        assert (await raw.post("em/files/delete", filepath="x")).status == 200
        for path in ("x", "", "/", ".", "../client2"):
            assert (await raw.post("em/files/delete", filepath=path)).status == 400
        assert inside(sim.volume("client1")) == []


@pytest.mark.parametrize("dest", ["../x", "a/../../x", "link", "taken/x"])
async def test_an_uplink_stays_in_its_volume(dest: str, tmp_path: Path) -> None:
    async with simulator(root=tmp_path / "root") as (sim, raw):
        (tmp_path / "outside").mkdir()
        (sim.volume("client1") / "link").symlink_to(tmp_path / "outside")
        (sim.volume("client1") / "taken").touch()
        reply = await raw.uplink({"a": b"1"}, dest_path=dest)
        assert (reply.status, reply.data["error"]) == (400, "ILLEGAL_PATH")
    assert inside(tmp_path / "outside") == []
    assert inside(tmp_path) == ["outside", "root"]
    assert inside(tmp_path / "root") == ["users"]


async def test_only_base_names_of_parts_are_kept() -> None:
    async with simulator() as (sim, raw):
        reply = await raw.uplink({"dir/a": b"1", "c\\b": b"2", "..": b"3", "x&amp;y": b"4"})
        assert reply.data["data"]["file_count"] == 3
        assert inside(sim.volume("client1")) == ["a", "b", "x&y"]


async def test_an_uplink_without_files_is_refused() -> None:
    async with simulator() as (_, raw):
        assert (await raw.uplink({})).data["error"] == "NO_FILES"
        assert (await raw.post("em/files/uplink", dest_path="x")).data["error"] == "NO_FILES"


async def test_a_chunked_body_is_taken_as_empty() -> None:
    async def body() -> Any:
        yield multipart([("a", b"1")])

    async with simulator() as (sim, raw):
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        assert (await raw.call("POST", "em/files/uplink", data=body(), headers=kind)).data["error"] == "NO_FILES"
        assert inside(sim.volume("client1")) == []


async def test_more_files_than_the_framework_takes_get_a_bare_page() -> None:
    async with simulator() as (sim, raw):
        assert (await raw.uplink({f"f{n}": b"" for n in range(100)})).status == 200
        reply = await raw.uplink({f"g{n}": b"" for n in range(101)})
        assert (reply.status, reply.data) == (400, None)
        assert not any(name.startswith("g") for name in inside(sim.volume("client1")))


async def test_more_bytes_than_the_limit_are_refused_early_and_late() -> None:
    async with simulator(uplink_limit=200_000) as (sim, raw):
        assert (await raw.uplink({"a": bytes(100_000), "b": bytes(100_000)})).status == 200
        late = await raw.uplink({"c": bytes(100_000), "d": bytes(100_001)})
        assert (late.status, late.data["error"]) == (400, "MAX_UPLINK_SIZE_EXCEEDED")
        early = await raw.uplink({"e": bytes(8_000_000)})
        assert early.data["error"] == "MAX_UPLINK_SIZE_EXCEEDED"
        assert sim.requests[-1].bytes_in < 4_000_000
        assert inside(sim.volume("client1")) == ["a", "b"]
        assert inside(sim.state.staging) == []


async def test_a_body_cut_inside_the_second_file_stores_the_first() -> None:
    async with simulator() as (sim, raw):
        cut = await raw.uplink({"a": b"1" * 1000, "b": b"2" * 1000}, cut=500)
        assert cut.data["data"]["file_count"] == 1
        assert inside(sim.volume("client1")) == ["a"]


async def test_a_connection_lost_inside_the_second_file_stores_the_first() -> None:
    async with simulator() as (sim, raw):
        paused = sim.breakpoint("em/files/uplink", at="body")
        body = multipart([("a", b"1" * 1000), ("b", b"2" * 300_000)])
        head = f"POST /em/files/uplink HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {raw.token}\r\n"
        head += f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
        task = asyncio.ensure_future(exchange_bytes(sim, head.encode() + body[:2000]))
        await paused.wait_until_hit()
        task.cancel()
        paused.release()
        with anyio.fail_after(5.0):
            while sim.requests[-1].seconds == 0.0:
                await asyncio.sleep(0)
        assert sim.requests[-1].status == 0
        assert inside(sim.volume("client1")) == ["a"]
        assert inside(sim.state.staging) == []


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with simulator(pod_run=1000.0, pod_start=0.0) as (sim, raw):
        sim.add_image("client1", "echo")
        await raw.post("em/pod/run", image="echo", node="GPU")
        await raw.get("em/files/list")
        host, port = sim.url.removeprefix("http://").strip("/").split(":")
    # Sabotage: leave `pod_runner.stop` or `server.stop` off the stack in Simulator.__aenter__.
    assert asyncio.all_tasks() == before
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))


async def test_an_uplinked_file_may_lag_in_listings() -> None:
    clock = VirtualClock()
    async with simulator(clock=clock, list_lag=30.0) as (_, raw):
        await raw.uplink({"a": b"1"})
        assert await raw.names() == []
        await clock.advance(30.0)
        assert await raw.names() == ["a"]
