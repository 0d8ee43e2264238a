"""Watch a pod live: one that ends well, one whose image does not exist, one that fails.

    python examples/watch_pod.py

Runs against the simulator, whose pods are Python coroutines.
"""

from __future__ import annotations

import asyncio

from emasync import Client, Node, PodFailedError
from emasync.simulator import PodContext, Simulator


async def count(pod: PodContext) -> int:
    """What a pod of `counter` does: write into its volume, then end with the exit code it was told."""
    for number in range(3):
        (pod.volume / "count.txt").write_text(f"{number}\n")
        await pod.clock.sleep(0.2)
    return int(pod.command or 0)


async def main() -> None:
    async with Simulator(users={"client1": "secret"}, pod_start=0.3) as sim:
        sim.add_image("client1", "counter")
        sim.behaviour("counter", count)
        async with Client(sim.url, username="client1", password="secret") as em:
            run = await em.pods.run("counter", node=Node.GPU, max_duration=1)
            async for status in em.pods.watch(run, interval=0.1):
                print("counter:", status.phase, status.reason or "")
            print("count.txt:", (await em.files.read("count.txt")).decode().strip())

            for image, command in (("no-such-image", None), ("counter", "3")):
                run = await em.pods.run(image, command=command)
                try:
                    await em.pods.wait(run, interval=0.1)
                except PodFailedError as error:
                    print(f"{image}:", error)


if __name__ == "__main__":
    asyncio.run(main())
