"""``emasync pod``: the group of verbs for pods.

Owns: their list. Imports verbs only; each of them is a module of its own.
"""

from __future__ import annotations

import click

from emasync.cli.verbs import LazyGroup

_VERBS = {
    "run": ("pod_run", "have the EM run an image; --wait follows it to its end"),
    "status": ("pod_status", "how the pod fares now"),
    "wait": ("pod_wait", "wait for the pod's end; the exit code says how it ended"),
    "watch": ("pod_watch", "print every change until the pod's end"),
}


@click.command("pod", cls=LazyGroup, verbs=_VERBS)
def pod() -> None:
    """Run a pod, watch it, wait for it.

    \b
    emasync pod run echo-test --wait
    emasync pod wait --timeout 10m
    """
