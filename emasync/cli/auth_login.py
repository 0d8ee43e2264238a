"""``emasync auth login``: try a log-in, then keep where and who in a profile. Never the password, unless in a keyring.

Owns: the questions asked, and what is written down. May import this room.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import click

from emasync.cli.direct import direct
from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import finish
from emasync.cli.keyring_store import keep_password, require_keyring
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.cli.origins import ResolvedSettings, check_complete, password, resolve_settings
from emasync.cli.out import Out
from emasync.cli.profiles import save_profile
from emasync.http import check_base_url


@click.command("login")
@option("--keyring", is_flag=True, help="keep the password in the system's keyring")
@with_em
def auth_login(asked: GlobalOptions, *, keyring: bool) -> None:
    """Try a log-in and keep the EM's URL, the user name and the volume in a profile of the configuration file.

    Asks for what is not given. The password is never written to a file: it stays with you (EMASYNC_PASSWORD,
    EMASYNC_PASSWORD_FILE, --password-stdin, or a prompt each time), or goes into the keyring with --keyring.

    \b
    emasync auth login --url https://em.example.com/ --username client1
    emasync auth login --profile lab --password-file ~/.em-password
    """
    out = Out(as_json=asked.json, quiet=asked.quiet)
    finish(out, partial(_login, asked, out, keyring=keyring))


def _login(asked: GlobalOptions, out: Out, *, keyring: bool) -> ExitCode:
    if keyring:
        require_keyring()  # before anything is typed
    origins = resolve_settings(_asked_for(asked), new=True)
    check_complete(origins)
    url = str(check_base_url(origins.get("url") or ""))
    secret = password(origins)
    life_s = anyio.run(_try, asked, origins, secret)
    keyring = keyring or origins.password_from == "keyring"  # noqa: S105 - the name of a place
    if keyring:
        keep_password(origins.get("url") or "", username=origins.get("username") or "", password=secret)
    file = save_profile(origins.profile, _kept(origins, keyring=keyring))
    user = origins.get("username")
    text = f"logged in as {user} at {url}; profile {origins.profile} is in {file}"
    out.result("login", text, url=url, username=user, profile=origins.profile, file=str(file), token_life_s=life_s)
    _say_next(out, origins, keyring=keyring)
    return ExitCode.DONE


def _asked_for(asked: GlobalOptions) -> GlobalOptions:
    """`asked` with answers to what is given nowhere, if somebody is there to ask."""
    origins = resolve_settings(asked, new=True)
    if not sys.stdin.isatty():
        return asked
    url = origins.get("url") or click.prompt("URL of the EM", err=True)
    username = origins.get("username") or click.prompt("User name", err=True)
    return replace(asked, url=url, username=username)


async def _try(asked: GlobalOptions, origins: ResolvedSettings, secret: str) -> float | None:
    async with direct(asked, origins, password=secret) as em:
        return (await em.token()).lifetime_s


def _kept(origins: ResolvedSettings, *, keyring: bool) -> dict[str, str | None]:
    """What the profile gets; paths absolute, for they are read from anywhere."""
    values = {name: origins.get(name) for name in ("url", "username", "volume", "password_file", "ca")}
    for name in ("password_file", "ca"):
        if path := values[name]:
            values[name] = str(Path(path).expanduser().absolute())
    return {**values, "keyring": "true" if keyring else None}


def _say_next(out: Out, origins: ResolvedSettings, *, keyring: bool) -> None:
    profile = "" if origins.profile == "default" else f" --profile {origins.profile}"
    if not keyring and not origins.get("password_file"):
        out.say(
            "the password is not stored: the next command asks for it, or takes it from EMASYNC_PASSWORD or "
            f"EMASYNC_PASSWORD_FILE; `emasync auth login{profile} --keyring` keeps it in the system's keyring"
        )
    out.say(f"next: emasync ls{profile}")
