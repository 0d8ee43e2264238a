"""`em.files`: listing, reading, streaming and deleting, one call at a time.

Tests that need not look behind the API run on a real EM too.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from emasync import BadRequestError, Client, ForbiddenError, IntegrityError, NotFoundError, UnreachableError
from emasync.simulator import Fault, FaultKind, Simulator
from emasync.wire.content_tag import tag_of_digest
from tests.contract.stage import ODD_NAMES, Simulate, calls, connect, some_bytes, tree, write

BIG = 20 * 1024 * 1024


async def test_what_was_sent_is_listed_read_and_deleted(em: Client, folder: str, tmp_path: Path) -> None:
    data = some_bytes(1000)
    report = await em.uplink(f"{write(tmp_path, {'a.bin': data, 'sub/empty': b''})}/", dest=folder)
    report.raise_for_failures()

    listing = await em.files.list()
    assert f"{folder}/a.bin" in listing
    assert f"/{folder}/./a.bin" in listing
    assert listing[f"{folder}/a.bin"].size == 1000
    assert [entry.name for entry in listing.glob(f"{folder}/*.bin")] == ["a.bin"]
    assert listing.is_folder(f"{folder}/sub")
    assert await em.files.read(f"{folder}/a.bin") == data
    assert await em.files.read(f"/{folder}/sub/empty") == b""

    await em.files.delete(f"/{folder}/a.bin")
    assert [entry.path for entry in (await em.files.list()).below(folder)] == [f"{folder}/sub/empty"]
    await em.files.delete(folder)
    assert not (await em.files.list()).below(folder)


async def test_a_listing_tells_size_time_and_content_tag(em: Client, sim: Simulator) -> None:
    data = some_bytes(5000)
    write(sim.volume("client1"), {"results/run 1/out.bin": data, "top.txt": b"x"})
    (sim.volume("client1") / "empty").mkdir()

    listing = await em.files.list()
    entry = listing["results/run 1/out.bin"]
    assert (entry.name, entry.size) == ("out.bin", 5000)
    assert entry.content_tag == tag_of_digest(hashlib.md5(data).digest())
    assert entry.time is not None
    assert set(listing.folders) == {"empty", "results", "results/run 1"}
    assert (len(listing), listing.total_size) == (2, 5001)


async def test_an_empty_volume_is_an_empty_tree(em: Client, sim: Simulator) -> None:
    listing = await em.files.list()
    assert not listing
    assert list(listing) == []
    assert listing.is_folder("/")


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_a_name_arrives_as_it_is_in_every_call(em: Client, sim: Simulator, name: str) -> None:
    write(sim.volume("client1"), {f"täst/{name}": b"content of it"})

    assert [entry.path for entry in await em.files.list()] == [f"täst/{name}"]
    assert await em.files.read(f"täst/{name}") == b"content of it"
    await em.files.delete(f"täst/{name}")
    assert not await em.files.list()


async def test_a_big_file_is_read_whole(em: Client, sim: Simulator) -> None:
    data = some_bytes(BIG)
    write(sim.volume("client1"), {"big.bin": data})
    assert await em.files.read("big.bin") == data


async def test_a_big_file_streams_in_small_pieces(em: Client, sim: Simulator) -> None:
    # Sabotage: FileContent.receive collects the whole body before it gives any of it.
    data = some_bytes(BIG)
    write(sim.volume("client1"), {"big.bin": data})
    digest, widest = hashlib.sha256(), 0
    async with em.files.stream("big.bin") as chunks:
        async for chunk in chunks:
            digest.update(chunk)
            widest = max(widest, len(chunk))
    assert digest.digest() == hashlib.sha256(data).digest()
    assert 0 < widest <= 4 * 1024 * 1024


async def test_an_empty_file_streams_nothing(em: Client, sim: Simulator) -> None:
    write(sim.volume("client1"), {"empty": b""})
    async with em.files.stream("empty") as chunks:
        assert [chunk async for chunk in chunks] == []


async def test_a_stream_left_early_leaves_the_client_usable(em: Client, sim: Simulator) -> None:
    write(sim.volume("client1"), {"big.bin": some_bytes(BIG), "small": b"1"})
    async with em.files.stream("big.bin") as chunks:
        async for chunk in chunks:
            assert chunk
            break
    assert await em.files.read("small") == b"1"


async def test_a_stream_that_breaks_in_the_middle_is_raised_and_not_repeated(em: Client, sim: Simulator) -> None:
    write(sim.volume("client1"), {"a.bin": some_bytes(500_000)})
    sim.faults.add(Fault("cut_body", endpoint="em/files/downlink"))
    with pytest.raises(UnreachableError, match="cut"):
        async with em.files.stream("a.bin") as chunks:
            async for _ in chunks:
                pass
    assert len(calls(sim, "em/files/downlink")) == 1


@pytest.mark.parametrize("kind", ["wrong_hash", "wrong_size", "corrupt_body"])
async def test_a_stream_proves_at_its_end_what_was_announced(simulate: Simulate, kind: str) -> None:
    # Sabotage: `_verified` leaves out FileContent.verify.
    data, got = some_bytes(300_000), b""
    fault = Fault(kind, endpoint="em/files/downlink")  # type: ignore[arg-type]
    async with simulate(downlink_form="json", faults=[fault]) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": data})
        with pytest.raises(IntegrityError):
            async with em.files.stream("a.bin") as chunks:
                async for chunk in chunks:
                    got += chunk
    assert len(got) == len(data)


@pytest.mark.parametrize("kind", ["wrong_hash", "wrong_size", "corrupt_body", "cut_body", "html_200", "error_500"])
async def test_a_read_that_went_wrong_is_made_again(simulate: Simulate, kind: str) -> None:
    # Sabotage: Files.read returns without FileContent.verify (for the first three).
    fault = Fault(kind, endpoint="em/files/downlink")  # type: ignore[arg-type]
    async with simulate(downlink_form="json", faults=[fault]) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": some_bytes(300_000)})
        assert await em.files.read("a.bin") == some_bytes(300_000)
        assert len(calls(sim, "em/files/downlink")) == 2


@pytest.mark.parametrize(
    "order", [("hash", "size", "content"), ("content",), ("content", "filename"), ("size", "content")]
)
async def test_the_envelope_may_come_in_any_order_and_incomplete(simulate: Simulate, order: tuple[str, ...]) -> None:
    async with simulate(downlink_form="json", envelope=order) as sim, connect(sim) as em:
        write(sim.volume("client1"), {"a.bin": some_bytes(100_001)})
        assert await em.files.read("a.bin") == some_bytes(100_001)


async def test_a_missing_file_is_not_found_and_asked_for_once(em: Client, sim: Simulator) -> None:
    with pytest.raises(NotFoundError, match="no/such") as caught:
        await em.files.read("no/such")
    assert isinstance(caught.value, FileNotFoundError)
    assert (caught.value.status, caught.value.call) == (404, "GET em/files/downlink")
    with pytest.raises(NotFoundError):
        async with em.files.stream("no/such"):
            raise AssertionError("never entered")
    assert len(calls(sim, "em/files/downlink")) == 2


async def test_a_path_outside_the_volume_is_forbidden(em: Client, sim: Simulator) -> None:
    with pytest.raises(ForbiddenError) as caught:
        await em.files.read("../../etc/passwd")
    assert isinstance(caught.value, PermissionError)
    assert caught.value.status == 403


async def test_deleting_what_is_not_there_is_refused(em: Client, sim: Simulator) -> None:
    with pytest.raises((BadRequestError, NotFoundError), match="ghost"):
        await em.files.delete("ghost")
    assert len(calls(sim, "em/files/delete")) == 1


@pytest.mark.parametrize("root", ["/", "", ".", "./", "//"])
async def test_the_whole_volume_cannot_be_deleted_by_a_slip(em: Client, sim: Simulator, root: str) -> None:
    # Sabotage: calls.delete leaves its check to the server.
    write(sim.volume("client1"), {"precious": b"1"})
    with pytest.raises(ValueError):
        await em.files.delete(root)
    assert sim.requests == []


async def test_a_delete_whose_answer_is_lost_is_looked_up_and_done(em: Client, sim: Simulator) -> None:
    # Sabotage: Files.delete lets the UnknownOutcomeError through.
    write(sim.volume("client1"), {"gone/a": b"1", "stays": b"2"})
    sim.faults.add(Fault("commit_then_drop", endpoint="em/files/delete"))
    await em.files.delete("gone")
    assert [entry.path for entry in await em.files.list()] == ["stays"]
    assert len(calls(sim, "em/files/delete")) == 1


async def test_a_delete_that_never_arrived_is_sent_again(em: Client, sim: Simulator) -> None:
    write(sim.volume("client1"), {"gone": b"1"})
    sim.faults.add(Fault("html_502", endpoint="em/files/delete"))
    await em.files.delete("gone")
    assert not await em.files.list()
    assert len(calls(sim, "em/files/delete")) == 2


# Sabotage: retry.decide gives RETRY for a delete in doubt (404 for what is gone would be an error), or STOP for a 500.
@pytest.mark.parametrize(
    ("kind", "status"),
    [("error_500", 500), ("html_502", 502), ("reset", 0), ("busy_before", 423), ("busy_after", 423)],
)
async def test_a_delete_that_failed_is_looked_up_and_sent_until_the_file_is_gone(
    em: Client, sim: Simulator, kind: FaultKind, status: int
) -> None:
    write(sim.volume("client1"), {"gone": b"1", "stays": b"2"})
    sim.faults.add(Fault(kind, endpoint="em/files/delete"))
    await em.files.delete("gone")
    assert tree(sim.volume("client1")) == {"stays": b"2"}
    assert [request.status for request in calls(sim, "em/files/delete")] == [status, 200]
    looks = calls(sim, "em/files/list")
    assert len(looks) == (0 if status == 423 else 1)  # after a doubt it looks before it deletes again


async def test_volumes_by_name_are_apart(simulate: Simulate, generation: str, tmp_path: Path) -> None:
    # Sabotage: Client hands `Volume()` to Files.
    local = write(tmp_path, {"a.txt": b"for pod-a"}) / "a.txt"
    async with simulate() as sim, connect(sim) as plain, connect(sim, volume="pod-a") as named:
        (await named.uplink(local, dest="in")).raise_for_failures()
        if generation == "seed":  # knows no names: one volume for all
            assert "in/a.txt" in await plain.files.list()
            return
        assert not await plain.files.list()
        assert [entry.path for entry in await named.files.list()] == ["in/a.txt"]
        assert (sim.volume("client1", "pod-a") / "in/a.txt").read_bytes() == b"for pod-a"
        assert await named.files.read("in/a.txt") == b"for pod-a"
        with pytest.raises(NotFoundError):
            await plain.files.read("in/a.txt")
        (await named.downlink("in", into=tmp_path / "down")).raise_for_failures()
        assert (tmp_path / "down/in/a.txt").read_bytes() == b"for pod-a"
        await named.files.delete("in")
        assert not await named.files.list()
