"""The EM of the soak, in a process of its own: ``python -m tests.torture.soak_em ROOT SEED``; serves until stdin ends.

Owns: which faults are injected. Says URL and volume in its first line, what it did in its last.
May import the simulator. Knows nothing of the client.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

import anyio

from emasync.simulator import Fault, FaultKind, Simulator

_TOKEN_S: Final = 20.0
_KEPT: Final = 500  # requests under way, at most: older ones are counted and forgotten
_SHARES: Final[dict[str, dict[FaultKind, float]]] = {
    "em/files/uplink": {
        "busy_before": 0.03,
        "busy_during": 0.02,
        "busy_after": 0.02,
        "commit_then_drop": 0.03,
        "drop_files": 0.02,
        "truncate_store": 0.02,
        "error_500": 0.01,
        "html_502": 0.02,
        "unauthorized_after_body": 0.01,
        "reset": 0.02,
        "early_answer": 0.01,
        "stall": 0.003,
    },
    "em/files/downlink": {
        "busy_before": 0.02,
        "cut_body": 0.03,
        "corrupt_body": 0.02,
        "wrong_hash": 0.01,
        "wrong_size": 0.01,
        "error_500": 0.01,
        "html_502": 0.02,
        "unauthorized_before": 0.01,
        "reset": 0.02,
        "retry_after": 0.01,
        "stall": 0.002,
    },
    "em/files/list": {"busy_before": 0.05, "cut_body": 0.03, "html_502": 0.03, "html_200": 0.02, "wrong_hash": 0.03},
    "auth/*": {"html_502": 0.05, "error_500": 0.02},
}


def _faults() -> list[Fault]:
    return [
        Fault(
            kind, endpoint=endpoint, times=None, probability=share, seconds=0.05, at=2_000 if kind == "reset" else None
        )
        for endpoint, shares in _SHARES.items()
        for kind, share in shares.items()
    ]


async def main(root: Path, seed: int) -> None:
    """Serve until stdin ends."""
    requests = faults = 0
    users = {"client1": "secret"}
    async with Simulator(users, faults=_faults(), seed=seed, root=root, token_lifetime=_TOKEN_S) as sim:
        _say({"url": sim.url, "volume": str(sim.volume("client1"))})
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(0, asked.set)
        while True:
            with anyio.move_on_after(1.0):
                await asked.wait()
            kept = 0 if asked.is_set() else _KEPT
            over = sim.requests[: max(0, len(sim.requests) - kept)]
            del sim.requests[: len(over)]
            requests, faults = requests + len(over), faults + sum(one.fault is not None for one in over)
            if asked.is_set():
                break
        loop.remove_reader(0)
    _say({"requests": requests, "faults": faults})


def _say(facts: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
