"""A Client that is closed while another task's transfer runs."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from emasync.simulator import Simulator
from tests.contract.stage import USERS, connect, write


async def test_a_client_that_closes_ends_the_transfers_of_other_tasks(tmp_path: Path) -> None:
    # Sabotage: Client.__aenter__ does not push `running.end`: a temporary file stays, and the transfer hangs.
    into = tmp_path / "into"
    async with Simulator(users=USERS, bandwidth=200_000) as sim:
        write(sim.volume("client1"), {"big.bin": bytes(2_000_000)})
        em = connect(sim)
        failures: list[Exception] = []

        async def transfer() -> None:
            try:
                await em.downlink("big.bin", into=into)
            except RuntimeError as error:
                failures.append(error)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                async with em:
                    tasks.start_soon(transfer)
                    while not list(into.glob(".emasync-*")):
                        await anyio.sleep(0.01)
    assert list(into.iterdir()) == []
    assert [str(error)[:21] for error in failures] == ["the Client was closed"]
    with pytest.raises(RuntimeError, match="closed"):
        em.downlink("big.bin", into=into)
