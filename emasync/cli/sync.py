"""``emasync sync``: the group of `up` and `down`.

Owns: their names.
"""

from __future__ import annotations

import click

from emasync.cli.verbs import LazyGroup

_VERBS = {
    "down": ("sync_down", "make a local folder equal to one of the volume"),
    "up": ("sync_up", "make a folder of the volume equal to a local one"),
}


@click.command("sync", cls=LazyGroup, verbs=_VERBS)
def sync() -> None:
    """Make one side equal to the other; only what differs moves.

    \b
    emasync sync up results campaign-7/results
    emasync sync down campaign-7 ./campaign-7 --delete --dry-run
    """
