"""``emasync config set``: write one value into a profile.

Owns: which keys there are. May import this room.
"""

from __future__ import annotations

from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import finish
from emasync.cli.options import GlobalOptions, with_em
from emasync.cli.out import Out
from emasync.cli.profiles import save_profile
from emasync.http import check_base_url

_KEYS = ("ca", "keyring", "password_file", "url", "username", "volume")


@click.command("set")
@click.argument("key", type=click.Choice([*_KEYS, "password"]), metavar=f"[{'|'.join(_KEYS)}]")
@click.argument("value")
@with_em
def config_set(asked: GlobalOptions, *, key: str, value: str) -> None:
    """Write a value into the profile ([default], or the one that --profile names); an empty one takes it away.

    \b
    emasync config set url https://em.example.com/
    emasync config set --profile lab password_file ~/.em-password
    """
    out = Out(as_json=asked.json, quiet=asked.quiet)
    finish(out, partial(_set, asked, out, key=key, value=value))


def _set(asked: GlobalOptions, out: Out, *, key: str, value: str) -> ExitCode:
    if key == "password":
        raise ValueError(
            "a password is not written to the configuration file: keep it in a file of its own and "
            "`emasync config set password_file FILE`, or `emasync auth login --keyring`"
        )
    if key == "url" and value:
        check_base_url(value)
    if key == "keyring" and value not in ("", "true", "false"):
        raise ValueError(f"keyring is true or false, not {value!r}")
    profile = asked.profile or "default"
    file = save_profile(profile, {key: value or None})
    text = f"{key} of profile {profile} is {value!r} now" if value else f"{key} of profile {profile} is taken away"
    out.result("set", text, profile=profile, key=key, value=value or None, file=str(file))
    return ExitCode.DONE
