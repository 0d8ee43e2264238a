"""``emasync auth``: try a log-in and store it in a profile, show it, or remove it; passwords go to a keyring only."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.lazy_group import LazyGroup
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.cli.output import Out
from emasync.cli.profile_file import drop_profile, save_profile
from emasync.cli.runner import finish
from emasync.cli.settings import (
    ResolvedSettings,
    check_complete,
    forget_password,
    keep_password,
    password,
    require_keyring,
    resolve_settings,
)
from emasync.cli.unretried_client import direct
from emasync.config import read_profile
from emasync.http import check_base_url
from emasync.model import Token


@click.command(
    "auth",
    cls=LazyGroup,
    verbs={
        "login": ("auth:auth_login", "try a log-in and keep who and where in a profile"),
        "logout": ("auth:auth_logout", "forget a profile and its password"),
        "status": ("auth:auth_status", "say who you are, where, and whether the log-in works"),
    },
)
def auth() -> None:
    """Log in, see who you are, forget it again.

    \b
    emasync auth login --url https://em.example.com/ --username client1
    emasync auth status
    """


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


@click.command("status")
@with_em
def auth_status(asked: GlobalOptions) -> None:
    """Say who you are, on which EM, where each of that comes from, and whether the log-in works (exit code 4: no).

    \b
    emasync auth status
    emasync auth status --profile lab --json
    """
    out = Out(as_json=asked.json, quiet=asked.quiet)
    finish(out, partial(_status, asked, out))


def _status(asked: GlobalOptions, out: Out) -> ExitCode:
    origins = resolve_settings(asked)
    if origins.get("url"):
        check_base_url(origins.get("url") or "")  # one that holds a password must not be shown
    for name in ("url", "username", "volume"):
        value = origins.values[name]
        text = f"{name:9} {value.text or '-'}  ({value.origin})"
        out.result("setting", text, name=name, value=value.text, origin=value.origin)
    source = origins.password_from or "not set"
    out.result("setting", f"{'password':9} from {source}", name="password", value=None, origin=source)
    check_complete(origins)
    token = anyio.run(_log_in, asked, origins, password(origins))
    life = "does not say how long" if token.lifetime_s is None else f"{token.lifetime_s:.0f} s"
    renewed = "renewed without the password" if token.refresh else "renewed by a new log-in"
    text = f"{'log-in':9} works; a token lives {life}, and is {renewed}"
    out.result("login", text, works=True, token_life_s=token.lifetime_s, refresh=token.refresh is not None)
    return ExitCode.DONE


async def _log_in(asked: GlobalOptions, origins: ResolvedSettings, secret: str) -> Token:
    async with direct(asked, origins, password=secret) as em:
        return await em.token()


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
