"""``emasync config``: its verbs. Imports click only."""

from __future__ import annotations

import click

from emasync.cli.verbs import LazyGroup


@click.command(
    "config",
    cls=LazyGroup,
    verbs={
        "path": ("config_path", "say where the configuration file is"),
        "set": ("config_set", "write a value into a profile"),
        "show": ("config_show", "show each setting and where it comes from"),
    },
)
def config() -> None:
    """See and set what is in the configuration file. A flag wins over the environment, which wins over the file.

    \b
    emasync config show --profile lab
    emasync config set volume pod-a
    """
