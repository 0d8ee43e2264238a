"""Section 5 of the vendor's Python example, call by call, through `Client`: the same paths, fields and results."""

from __future__ import annotations

from pathlib import Path

import pytest

from emasync import Client, Node, PodPhase
from emasync.simulator import Simulator
from tests.contract.stage import Simulate, connect, tree, write

SCRIPT = {"Dockerfile": b"FROM alpine\nCOPY echo-test.sh /\nCMD sh /echo-test.sh\n", "echo-test.sh": b"echo hi\n"}

SEED_FIELDS = {
    "auth/": {"username"},  # and the password, which the simulator does not log
    "em/files/list": set(),
    "em/files/uplink": {"dest_path", "files"},
    "em/files/downlink": {"filepath"},
    "em/files/delete": {"filepath"},
    "em/pod/image/build": {"dockerfile", "image", "context"},
    "em/pod/image/load": {"tarfile", "image"},
    "em/pod/image/list": set(),
    "em/pod/run": {"image", "node", "max_duration"},
    "em/pod/status": set(),
}


async def the_script(em: Client, local: Path) -> None:
    """Section 5 with the paths as written there, and a wait for the pod's end where the vendor's script has none."""
    assert not await em.files.list()
    report = await em.uplink([local / "Dockerfile", local / "echo-test.sh"], dest="echo-test")
    report.raise_for_failures()
    await em.images.build("echo-test", dockerfile="./echo-test/Dockerfile", context="./echo-test")
    assert [image.name for image in await em.images.list()] == ["client1-echo-test"]
    report = await em.downlink("/echo-test/Dockerfile", into=local / "downlink")
    report.raise_for_failures()
    await em.pods.run("echo-test")
    assert (await em.pods.wait(interval=0.01)).succeeded
    assert b"client1-echo-test" in await em.files.read("downlink.txt")
    await em.files.delete("/echo-test/Dockerfile")
    await em.files.delete("downlink.txt")
    await em.files.delete("echo-test")


async def test_the_vendors_script_runs_call_by_call_and_leaves_the_volume_clean(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    await the_script(em, write(tmp_path, SCRIPT))

    assert tree(tmp_path / "downlink") == {"Dockerfile": SCRIPT["Dockerfile"]}
    assert tree(sim.volume("client1")) == {}
    assert list((await em.files.list()).folders) == []
    order = [request.path for request in sim.requests]
    first = list(dict.fromkeys(order))
    assert first == [
        "auth/",
        "em/files/list",
        "em/files/uplink",
        "em/pod/image/build",
        "em/pod/image/list",
        "em/files/downlink",
        "em/pod/status",  # a run looks first at what ran before it
        "em/pod/run",
        "em/files/delete",
    ]


async def test_nothing_but_the_seeds_fields_goes_over_the_wire_when_nothing_more_was_asked_for(
    em: Client, sim: Simulator, tmp_path: Path
) -> None:
    # Sabotage: requests.Volume.into adds its fields with an empty name when there is none.
    await the_script(em, write(tmp_path, SCRIPT))

    sent = {request.path: set(request.detail) | set(request.query) for request in sim.requests}
    assert sent == {path: fields for path, fields in SEED_FIELDS.items() if path in sent}
    assert {request.status for request in sim.requests} == {200}


async def test_every_path_is_clean_where_the_vendors_script_doubles_a_slash(em: Client, sim: Simulator) -> None:
    await em.files.list()
    await em.pods.status()

    assert [request.path for request in sim.requests] == ["auth/", "em/files/list", "em/pod/status"]


async def test_a_new_user_has_no_pod_and_no_image(em: Client, sim: Simulator) -> None:
    assert (await em.pods.status()).phase is PodPhase.NONE
    assert await em.images.list() == []


@pytest.mark.parametrize("node", list(Node))
async def test_the_script_runs_on_every_node_that_is_named(simulate: Simulate, node: Node) -> None:
    async with simulate() as sim, connect(sim) as em:
        sim.add_image("client1", "echo-test")
        await em.pods.run("echo-test", node=node)
        await em.pods.wait(interval=0.01)
        assert f"node: {node.value}".encode() in await em.files.read("downlink.txt")
