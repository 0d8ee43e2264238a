"""``emasync auth``: its verbs. Imports click only."""

from __future__ import annotations

import click

from emasync.cli.verbs import LazyGroup


@click.command(
    "auth",
    cls=LazyGroup,
    verbs={
        "login": ("auth_login", "try a log-in and keep who and where in a profile"),
        "logout": ("auth_logout", "forget a profile and its password"),
        "status": ("auth_status", "say who you are, where, and whether the log-in works"),
    },
)
def auth() -> None:
    """Log in, see who you are, forget it again.

    \b
    emasync auth login --url https://em.example.com/ --username client1
    emasync auth status
    """
