"""A pod that really runs its command, with the volume's folder for /data.

Owns: that one behaviour of a simulated pod.
"""

from __future__ import annotations

import shlex

import anyio

from emasync.simulator import PodContext


async def run_in_a_shell(pod: PodContext) -> int:
    """The command as a shell would split it; its exit code is the pod's."""
    command = (pod.command or "true").replace("/data/", f"{pod.volume}/")
    return (await anyio.run_process(shlex.split(command), check=False)).returncode
