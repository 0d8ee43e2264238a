"""`em.images`: building, loading and listing, and what their errors carry."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from emasync import (
    BadRequestError,
    BuildFailedError,
    Client,
    ImageLoadError,
    PodFailedError,
    ServerError,
    UnknownOutcomeError,
)
from emasync.simulator import Fault, Simulator
from tests.contract.stage import Simulate, calls, connect, write

CONTEXT = {"ctx/Dockerfile": b"FROM alpine\nCOPY run.sh /\n", "ctx/run.sh": b"echo\n"}


def image_tar(tag: str) -> bytes:
    """As ``docker save`` writes it, without the layers."""
    manifest = json.dumps([{"Config": "c.json", "RepoTags": [f"{tag}:latest"], "Layers": []}]).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(manifest)
        tar.addfile(member, io.BytesIO(manifest))
    return buffer.getvalue()


async def build(em: Client, image: str = "echo") -> None:
    await em.images.build(image, dockerfile="ctx/Dockerfile", context="ctx")


async def test_images_can_be_listed(em: Client) -> None:
    assert all(image.name for image in await em.images.list())


async def test_a_built_image_is_listed_with_the_users_prefix(em: Client, sim: Simulator) -> None:
    write(sim.volume("client1"), CONTEXT)
    await build(em)
    assert [image.name for image in await em.images.list()] == ["client1-echo"]


async def test_a_build_that_fails_shows_the_last_lines_of_its_log(em: Client, sim: Simulator) -> None:
    # Sabotage: refusals._bad_request drops log_tail.
    write(sim.volume("client1"), {"ctx/Dockerfile": b"FROM alpine\nCOPY missing.sh /\n"})
    with pytest.raises(BuildFailedError, match="BUILD_FAILED") as caught:
        await build(em)
    error = caught.value
    assert isinstance(error, BadRequestError)
    assert (error.code, error.status, error.call) == ("BUILD_FAILED", 400, "POST em/pod/image/build")
    assert error.log_tail[-1].startswith("COPY failed: file not found in build context")
    assert not any(line.endswith("\n") for line in error.log_tail)
    assert await em.images.list() == []


async def test_a_missing_dockerfile_fails_the_build_once(em: Client, sim: Simulator) -> None:
    with pytest.raises(BuildFailedError, match="ctx/Dockerfile"):
        await build(em)
    assert len(calls(sim, "em/pod/image/build")) == 1


async def test_an_image_with_the_users_prefix_loads_and_runs(em: Client, sim: Simulator) -> None:
    write(sim.volume("client1"), {"image.tar": image_tar("client1-echo")})
    await em.images.load("client1-echo", tarfile="image.tar")
    assert [image.name for image in await em.images.list()] == ["client1-echo"]
    await em.pods.run("client1-echo")
    assert (await em.pods.wait(interval=0.01)).succeeded


async def test_an_image_without_the_users_prefix_loads_and_can_never_be_run(em: Client, sim: Simulator) -> None:
    write(sim.volume("client1"), {"image.tar": image_tar("echo")})
    await em.images.load("echo", tarfile="image.tar")
    assert await em.images.list() == []
    await em.pods.run("echo")
    with pytest.raises(PodFailedError, match="ImagePullBackOff"):
        await em.pods.wait(interval=0.01)


@pytest.mark.parametrize("content", [b"no tar at all", None])
async def test_a_tar_that_cannot_be_loaded_says_why(em: Client, sim: Simulator, content: bytes | None) -> None:
    if content is not None:
        write(sim.volume("client1"), {"image.tar": content})
    with pytest.raises(ImageLoadError, match="IMAGE_LOAD_FAILED") as caught:
        await em.images.load("client1-echo", tarfile="image.tar")
    assert caught.value.log_tail
    assert len(calls(sim, "em/pod/image/load")) == 1


@pytest.mark.parametrize(("call", "path"), [("build", "em/pod/image/build"), ("load", "em/pod/image/load")])
async def test_a_job_whose_answer_is_lost_is_unknown_and_never_sent_twice(
    simulate: Simulate, call: str, path: str
) -> None:
    # Sabotage: retry.decide treats Kind.JOB like Kind.READ.
    async with simulate(faults=[Fault("commit_then_drop", endpoint=path)]) as sim, connect(sim) as em:
        write(sim.volume("client1"), CONTEXT | {"image.tar": image_tar("client1-echo")})
        with pytest.raises(UnknownOutcomeError, match=r"images\.list") as caught:
            await (build(em) if call == "build" else em.images.load("client1-echo", tarfile="image.tar"))
        assert caught.value.cause is not None
        assert len(calls(sim, path)) == 1
        assert [image.name for image in await em.images.list()] == ["client1-echo"]


async def test_a_build_that_meets_a_500_is_not_sent_again(em: Client, sim: Simulator) -> None:
    write(sim.volume("client1"), CONTEXT)
    sim.faults.add(Fault("error_500", endpoint="em/pod/image/build"))
    with pytest.raises(ServerError):
        await build(em)
    assert len(calls(sim, "em/pod/image/build")) == 1


async def test_names_that_are_empty_are_refused_before_anything_is_sent(em: Client, sim: Simulator) -> None:
    with pytest.raises(ValueError, match="image"):
        await em.images.build(" ", dockerfile="d", context=".")
    with pytest.raises(ValueError, match="dockerfile"):
        await em.images.build("echo", dockerfile="", context=".")
    with pytest.raises(ValueError, match="tarfile"):
        await em.images.load("echo", tarfile="")
    assert sim.requests == []


async def test_an_uplinked_context_builds(em: Client, sim: Simulator, tmp_path: Path) -> None:
    write(tmp_path, CONTEXT)
    (await em.uplink(tmp_path / "ctx")).raise_for_failures()
    await em.images.build("echo", dockerfile="./ctx/Dockerfile", context="./ctx")
    assert [image.name for image in await em.images.list()] == ["client1-echo"]
