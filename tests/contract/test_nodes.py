"""`em.nodes()`: the later generations answer it, the seed generation does not have it."""

from __future__ import annotations

import pytest

from emasync import Client, NotFoundError
from tests.contract.stage import Simulate, connect


async def test_nodes_are_listed_by_the_generations_that_have_them(em: Client, generation: str) -> None:
    if generation == "seed":
        with pytest.raises(NotFoundError, match="em/nodes/status"):
            await em.nodes()
        return
    try:
        nodes = await em.nodes()
    except NotFoundError:
        assert generation == "real"  # whose generation is not known here
        return
    assert all(node.name for node in nodes)
    if generation != "real":
        assert [(node.name, node.ready) for node in nodes] == [("fpga", True), ("gpu", True), ("mpu", True)]
        assert nodes[0].raw == {"name": "fpga", "status": "True"}


async def test_a_missing_endpoint_is_asked_for_once(simulate: Simulate) -> None:
    # Sabotage: retry.decide takes a NotFoundError for something that passes.
    async with simulate(generation="seed") as sim, connect(sim) as em:
        with pytest.raises(NotFoundError):
            await em.nodes()
        assert [request.path for request in sim.requests] == ["auth/", "em/nodes/status"]
