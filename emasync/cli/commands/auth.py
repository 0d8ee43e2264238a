"""``emasync auth``: try a log-in and store it in a profile, show it, or remove it; passwords go to a keyring only."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.main import LazyGroup
from emasync.cli.options import GlobalOptions, option, with_global_options
from emasync.cli.output import Output
from emasync.cli.profile_file import drop_profile, save_profile
from emasync.cli.runner import run_local
from emasync.cli.settings import (
    PasswordSource,
    ResolvedSettings,
    check_complete,
    delete_password,
    import_keyring,
    read_password,
    resolve_settings,
    store_password,
)
from emasync.cli.unretried_client import unretried_client
from emasync.config import read_profile
from emasync.http import check_base_url
from emasync.model import Token


@click.command(
    "auth",
    cls=LazyGroup,
    lazy_commands={
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
@with_global_options
def auth_login(options: GlobalOptions, *, keyring: bool) -> None:
    """Try a log-in and keep the EM's URL, the user name and the volume in a profile of the configuration file.

    Asks for what is not given. The password is never written to a file: it stays with you (EMASYNC_PASSWORD,
    EMASYNC_PASSWORD_FILE, --password-stdin, or a prompt each time), or goes into the keyring with --keyring.

    \b
    emasync auth login --url https://em.example.com/ --username client1
    emasync auth login --profile lab --password-file ~/.em-password
    """
    run_local(options, partial(_login, keyring=keyring))


def _login(options: GlobalOptions, output: Output, *, keyring: bool) -> ExitCode:
    if keyring:
        import_keyring()  # before anything is typed
    resolved = resolve_settings(_ask_for_missing(options), new=True)
    check_complete(resolved)
    url = str(check_base_url(resolved.get("url") or ""))
    password = read_password(resolved)
    life_s = anyio.run(_log_in, options, resolved, password).lifetime_s
    keyring = keyring or resolved.password_source is PasswordSource.KEYRING
    if keyring:
        store_password(resolved.get("url") or "", username=resolved.get("username") or "", password=password)
    file = save_profile(resolved.profile, _profile_values(resolved, keyring=keyring))
    user = resolved.get("username")
    text = f"logged in as {user} at {url}; profile {resolved.profile} is in {file}"
    output.result("login", text, url=url, username=user, profile=resolved.profile, file=str(file), token_life_s=life_s)
    _print_next(output, resolved, keyring=keyring)
    return ExitCode.DONE


def _ask_for_missing(options: GlobalOptions) -> GlobalOptions:
    """`options` with the URL and the user name asked for at the terminal, where they are given nowhere."""
    resolved = resolve_settings(options, new=True)
    if not sys.stdin.isatty():
        return options
    url = resolved.get("url") or click.prompt("URL of the EM", err=True)
    username = resolved.get("username") or click.prompt("User name", err=True)
    return replace(options, url=url, username=username)


async def _log_in(options: GlobalOptions, resolved: ResolvedSettings, password: str) -> Token:
    async with unretried_client(options, resolved, password=password) as em:
        return await em.token()


def _profile_values(resolved: ResolvedSettings, *, keyring: bool) -> dict[str, str | None]:
    """The values for the profile; paths are made absolute, since commands run in any directory."""
    values = {name: resolved.get(name) for name in ("url", "username", "volume", "password_file", "ca")}
    for name in ("password_file", "ca"):
        if path := values[name]:
            values[name] = str(Path(path).expanduser().absolute())
    return {**values, "keyring": "true" if keyring else None}


def _print_next(output: Output, resolved: ResolvedSettings, *, keyring: bool) -> None:
    profile = "" if resolved.profile == "default" else f" --profile {resolved.profile}"
    if not keyring and not resolved.get("password_file"):
        output.info(
            "the password is not stored: the next command asks for it, or takes it from EMASYNC_PASSWORD or "
            f"EMASYNC_PASSWORD_FILE; `emasync auth login{profile} --keyring` keeps it in the system's keyring"
        )
    output.info(f"next: emasync ls{profile}")


@click.command("status")
@with_global_options
def auth_status(options: GlobalOptions) -> None:
    """Say who you are, on which EM, where each of that comes from, and whether the log-in works (exit code 4: no).

    \b
    emasync auth status
    emasync auth status --profile lab --json
    """
    run_local(options, _status)


def _status(options: GlobalOptions, output: Output) -> ExitCode:
    resolved = resolve_settings(options)
    if resolved.get("url"):
        check_base_url(resolved.get("url") or "")  # a URL that holds a password must not be printed
    for name in ("url", "username", "volume"):
        value = resolved.values[name]
        text = f"{name:9} {value.text or '-'}  ({value.origin})"
        output.result("setting", text, name=name, value=value.text, origin=value.origin)
    source = resolved.password_origin or "not set"
    output.result("setting", f"{'password':9} from {source}", name="password", value=None, origin=source)
    check_complete(resolved)
    token = anyio.run(_log_in, options, resolved, read_password(resolved))
    life = "does not say how long" if token.lifetime_s is None else f"{token.lifetime_s:.0f} s"
    renewed = "renewed without the password" if token.refresh else "renewed by a new log-in"
    text = f"{'log-in':9} works; a token lives {life}, and is {renewed}"
    output.result("login", text, works=True, token_life_s=token.lifetime_s, refresh=token.refresh is not None)
    return ExitCode.DONE


@click.command("logout")
@with_global_options
def auth_logout(options: GlobalOptions) -> None:
    """Forget a profile of the configuration file, and its password in the keyring.

    \b
    emasync auth logout
    emasync auth logout --profile lab
    """
    run_local(options, _logout)


def _logout(options: GlobalOptions, output: Output) -> ExitCode:
    name = options.profile or "default"
    saved = read_profile(name, must_exist=options.profile is not None)
    url, username = saved.get("url"), saved.get("username")
    forgotten = bool(url and username and saved.get("keyring")) and delete_password(url or "", username=username or "")
    dropped = drop_profile(name)
    text = f"profile {name} is gone" if dropped else f"there is no profile {name}: nothing to forget"
    if forgotten:
        text += ", and its password in the keyring"
    output.result("logout", text, profile=name, dropped=dropped, keyring=forgotten)
    return ExitCode.DONE
