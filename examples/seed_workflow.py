"""The example workflow of the EM API's Python client document, section 5, call by call, with emasync.

    python examples/seed_workflow.py

Without EMASYNC_URL it runs against the simulator; with EMASYNC_URL, EMASYNC_USERNAME and EMASYNC_PASSWORD against
that EM, where it stops a pod of yours that is running, as the document's own script does.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from emasync import Client
from emasync.simulator import Simulator

DOCKERFILE = 'FROM alpine\nCOPY echo-test.sh /echo-test.sh\nCMD ["/bin/sh", "/echo-test.sh"]\n'
SCRIPT = "#!/bin/sh\necho 'hello from the EM' > /data/downlink.txt\n"


@asynccontextmanager
async def an_em() -> AsyncIterator[Client]:
    """The EM that the environment names, or a simulated one."""
    if os.environ.get("EMASYNC_URL"):
        async with Client.from_env() as em:
            yield em
    else:
        async with (
            Simulator(users={"client1": "secret"}) as sim,
            Client(sim.url, username="client1", password="secret") as em,
        ):
            yield em


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "Dockerfile").write_text(DOCKERFILE)
        (here / "echo-test.sh").write_text(SCRIPT)
        async with an_em() as em:
            # 1 and 2: authenticate (the first call does), list the current files
            print("files:", await em.files.list())

            # 3: upload files
            report = await em.uplink([here / "Dockerfile", here / "echo-test.sh"], dest="echo-test")
            report.raise_for_failures()
            print("uplinked:", ", ".join(outcome.path for outcome in report.done))

            # 4: build the Docker image
            await em.images.build("echo-test", dockerfile="./echo-test/Dockerfile", context="./echo-test")
            print("images:", ", ".join(image.name for image in await em.images.list()))

            # 5: downlink a file
            report = await em.downlink("/echo-test/Dockerfile", into=here / "downlink")
            report.raise_for_failures()
            print("downlinked:", (here / "downlink" / "Dockerfile").read_text().splitlines()[0])

            # 6 and 7: run the container, look at its status, and wait for its end
            await em.pods.run("echo-test")
            print("pod:", (await em.pods.status()).phase)
            print("exit code:", (await em.pods.wait(interval=0.2)).exit_code)
            print("downlink.txt:", (await em.files.read("downlink.txt")).decode().splitlines()[0])

            # 8, 9 and 10: clean up
            await em.files.delete("/echo-test/Dockerfile")
            await em.files.delete("downlink.txt")
            await em.files.delete("echo-test")  # the document leaves echo-test.sh behind; this does not
            print("left:", await em.files.list())


if __name__ == "__main__":
    asyncio.run(main())
