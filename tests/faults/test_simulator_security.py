"""The simulator as a server: it binds 127.0.0.1 only, answers malformed requests 4xx, and never leaves its volumes."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from emasync.simulator import Generation, Simulator
from tests.faults.malformed import Ask, essential, fixed, random_asks
from tests.faults.stage_simulator import GENERATIONS, USERS, RawSender, trial
from tests.unit.simulator.raw_client import simulator

ASKS = list(fixed())


def test_there_are_thousands_of_malformed_requests() -> None:
    assert len(ASKS) > 3000
    assert sum(ask.refused for ask in ASKS) > 200


# Sabotage: drop the NUL, the charset, the depth or the recursion from what is caught (500); let VolumeDirectory.resolve
# return what it found unchecked, or `_exists` follow links out (outside was read); let `verify_jwt` accept all.
@pytest.mark.parametrize("generation", GENERATIONS)
async def test_malformed_requests_are_refused_and_change_nothing(tmp_path: Path, generation: Generation) -> None:
    rng = random.Random(7)
    asks = [*essential(), *rng.sample(ASKS, 400), *random_asks(rng, 100)]
    assert await trial(generation, asks, tmp_path) == []


# Sabotage: bind 0.0.0.0 in the simulator's server.
async def test_it_listens_on_this_machine_only() -> None:
    async with Simulator(USERS) as sim:
        port = int(sim.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=2).close()


async def test_hundreds_of_clients_that_never_finish_do_not_keep_others_out() -> None:
    # Sabotage: take the lock before the request's head is read.
    async with simulator(exclusive=True) as (sim, raw):
        host, _, port = sim.url.removeprefix("http://").rstrip("/").partition(":")
        slow = [await asyncio.open_connection(host, int(port)) for _ in range(300)]
        try:
            for number, (_, writer) in enumerate(slow):
                writer.write(b"POST /em/files/delete HTTP/1.1\r\nContent-Length: 10\r\n"[: 5 + number % 50])
            assert (await raw.get("em/files/list")).status == 200
        finally:
            for _, writer in slow:
                writer.close()


async def test_a_body_of_nothing_but_fields_ends_at_the_limit_of_a_form() -> None:
    # Sabotage: count no bytes of plain fields in _UplinkBody._data.
    async with simulator() as (sim, _):
        sender = RawSender(sim)
        await sender.log_in()
        fields = "".join(
            f'--b\r\nContent-Disposition: form-data; name="{number}"\r\n\r\n{"x" * 60_000}\r\n' for number in range(100)
        )
        ask = Ask(path="em/files/uplink", kind="multipart/form-data; boundary=b", body=f"{fields}--b--".encode())
        status, answer = await sender.send(ask)
    assert status == 400
    assert b"too large" in answer


# Sabotage: `SimulatorState.bearer` returns the first user.
async def test_a_token_of_another_user_shows_that_users_volume_only(tmp_path: Path) -> None:
    async with simulator(root=tmp_path) as (sim, raw):
        (sim.volume("client1") / "mine.txt").write_text("x")
        other = await raw.log_in("client2")
        assert await other.names() == []
        for path in ("../client1/default/mine.txt", "/../../client1/default/mine.txt", "mine.txt"):
            assert (await other.get("em/files/downlink", filepath=path)).status in (403, 404)
            assert (await other.post("em/files/delete", filepath=path)).status == 400
        assert await raw.names() == ["mine.txt"]


async def test_a_file_that_vanishes_before_its_answer_is_a_404(tmp_path: Path) -> None:
    # Sabotage: open the file outside of `try` in `handle_downlink`.
    async with simulator(root=tmp_path) as (sim, raw):
        file = sim.volume("client1") / "a.txt"
        file.write_text("x")
        async with asyncio.TaskGroup() as tasks:
            paused = sim.breakpoint("em/files/downlink", at="answer")
            asked = tasks.create_task(raw.get("em/files/downlink", filepath="a.txt"))
            await paused.wait_until_hit()
            file.unlink()
            paused.release()
        assert asked.result().status == 404


async def test_a_link_to_itself_is_neither_listed_nor_a_500(tmp_path: Path) -> None:
    # Sabotage: catch only FileNotFoundError in VolumeDirectory._entry.
    async with simulator(root=tmp_path) as (sim, raw):
        volume = sim.volume("client1")
        (volume / "loop").symlink_to("loop")
        (volume / "a.txt").write_text("x")
        assert await raw.names() == ["a.txt"]
        assert (await raw.get("em/files/downlink", filepath="loop")).status in (403, 404)
        assert (await raw.get("em/files/downlink", filepath="loop/x")).status in (403, 404)
