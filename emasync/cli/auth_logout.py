"""``emasync auth logout``: forget a profile, and its password in the keyring. Asks no EM.

Owns: what is forgotten. May import this room.
"""

from __future__ import annotations

from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import finish
from emasync.cli.keyring_store import forget_password
from emasync.cli.options import GlobalOptions, with_em
from emasync.cli.out import Out
from emasync.cli.profiles import drop_profile
from emasync.config import read_profile


@click.command("logout")
@with_em
def auth_logout(asked: GlobalOptions) -> None:
    """Forget a profile of the configuration file, and its password in the keyring.

    \b
    emasync auth logout
    emasync auth logout --profile lab
    """
    out = Out(as_json=asked.json, quiet=asked.quiet)
    finish(out, partial(_logout, asked, out))


def _logout(asked: GlobalOptions, out: Out) -> ExitCode:
    name = asked.profile or "default"
    saved = read_profile(name, must_exist=asked.profile is not None)
    url, username = saved.get("url"), saved.get("username")
    forgotten = bool(url and username and saved.get("keyring")) and forget_password(url or "", username=username or "")
    dropped = drop_profile(name)
    text = f"profile {name} is gone" if dropped else f"there is no profile {name}: nothing to forget"
    if forgotten:
        text += ", and its password in the keyring"
    out.result("logout", text, profile=name, dropped=dropped, keyring=forgotten)
    return ExitCode.DONE
