"""``emasync config``: show settings with their origins, and write single values to the configuration file."""

from __future__ import annotations

import os
from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.main import LazyGroup
from emasync.cli.options import GlobalOptions, with_global_options
from emasync.cli.output import Output
from emasync.cli.profile_file import save_profile
from emasync.cli.runner import run_local
from emasync.cli.settings import Value, client_settings, option_origin, resolve_settings
from emasync.config import profile_file
from emasync.http import check_base_url


@click.command(
    "config",
    cls=LazyGroup,
    lazy_commands={
        "path": ("config:config_path", "say where the configuration file is"),
        "set": ("config:config_set", "write a value into a profile"),
        "show": ("config:config_show", "show each setting and where it comes from"),
    },
)
def config() -> None:
    """See and set what is in the configuration file. A flag wins over the environment, which wins over the file.

    \b
    emasync config show --profile lab
    emasync config set volume pod-a
    """


@click.command("show")
@with_global_options
def config_show(options: GlobalOptions) -> None:
    """Show each setting and where it comes from: a flag, the environment, the profile, or the default.

    \b
    emasync config show
    emasync config show --profile lab --json
    """
    run_local(options, _show)


def _show(options: GlobalOptions, output: Output) -> ExitCode:
    shown = _settings(options)
    widths = [max(len(name) for name in shown), max(len(value.text or "-") for value in shown.values())]
    for name, value in shown.items():
        text = f"{name:<{widths[0]}}  {value.text or '-':<{min(widths[1], 50)}}  {value.origin}"
        output.result("setting", text, name=name, value=value.text, origin=value.origin)
    return ExitCode.DONE


def _settings(options: GlobalOptions) -> dict[str, Value]:
    resolved, settings = resolve_settings(options), client_settings(options)
    named = os.environ.get("EMASYNC_CONFIG")
    state = "EMASYNC_STATE_DIR" if "EMASYNC_STATE_DIR" in os.environ else "default"
    return {
        "config_file": Value(text=str(profile_file()), origin="EMASYNC_CONFIG" if named else "default"),
        "profile": Value(text=resolved.profile, origin=_origin("profile")),
        **resolved.values,
        "url": _without_secrets(resolved.values["url"]),
        "password": Value(
            text=None, origin=f"from {resolved.password_origin}" if resolved.password_origin else "not set"
        ),
        "insecure": Value(text=str(options.insecure).lower(), origin=_origin("insecure")),
        "busy_timeout": Value(
            text=f"{settings.retry.busy_timeout_s:g} s",
            origin=_origin("no_wait") if options.no_wait else _origin("busy_timeout_s"),
        ),
        "retries": Value(text=str(settings.retry.retries), origin=_origin("retries")),
        "state_dir": Value(text=str(settings.state_dir) if settings.state_dir else None, origin=state),
    }


def _origin(parameter: str) -> str:
    return option_origin(parameter) or "default"


def _without_secrets(url: Value) -> Value:
    """A URL that cannot be used is not shown: it may hold a password (``https://user:secret@host``)."""
    if url.text is None:
        return url
    try:
        check_base_url(url.text)
    except ValueError as error:
        return Value(text=None, origin=f"{url.origin}: {error}")
    return url


@click.command("path")
@with_global_options
def config_path(options: GlobalOptions) -> None:
    """Say where the configuration file is, also if there is none yet; EMASYNC_CONFIG names another place.

    \b
    emasync config path
    $EDITOR "$(emasync config path)"
    """
    run_local(options, _path)


def _path(_: GlobalOptions, output: Output) -> ExitCode:
    file = profile_file()
    output.result("config_file", str(file), path=str(file), exists=file.exists())
    return ExitCode.DONE


_KEYS = ("ca", "keyring", "password_file", "url", "username", "volume")


@click.command("set")
@click.argument("key", type=click.Choice([*_KEYS, "password"]), metavar=f"[{'|'.join(_KEYS)}]")
@click.argument("value")
@with_global_options
def config_set(options: GlobalOptions, *, key: str, value: str) -> None:
    """Write a value into the profile ([default], or the one that --profile names); an empty one takes it away.

    \b
    emasync config set url https://em.example.com/
    emasync config set --profile lab password_file ~/.em-password
    """
    run_local(options, partial(_set, key=key, value=value))


def _set(options: GlobalOptions, output: Output, *, key: str, value: str) -> ExitCode:
    if key == "password":
        raise ValueError(
            "a password is not written to the configuration file: keep it in a file of its own and "
            "`emasync config set password_file FILE`, or `emasync auth login --keyring`"
        )
    if key == "url" and value:
        check_base_url(value)
    if key == "keyring" and value not in ("", "true", "false"):
        raise ValueError(f"keyring is true or false, not {value!r}")
    profile = options.profile or "default"
    file = save_profile(profile, {key: value or None})
    text = f"{key} of profile {profile} is {value!r} now" if value else f"{key} of profile {profile} is taken away"
    output.result("set", text, profile=profile, key=key, value=value or None, file=str(file))
    return ExitCode.DONE
