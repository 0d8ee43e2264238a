"""``emasync node``: its one verb. Imports click only."""

from __future__ import annotations

import click

from emasync.cli.verbs import LazyGroup


@click.command("node", cls=LazyGroup, verbs={"ls": ("node_ls", "list the EM's nodes and whether they are up")})
def node() -> None:
    """The EM's nodes: the processors on which pods run.

    \b
    emasync node ls
    emasync node ls --json
    """
