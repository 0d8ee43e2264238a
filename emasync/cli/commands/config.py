"""``emasync config``: show settings with their origins, and write single values to the configuration file."""

from __future__ import annotations

import os
from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.lazy_group import LazyGroup
from emasync.cli.options import GlobalOptions, with_em
from emasync.cli.output import Out
from emasync.cli.profile_file import save_profile
from emasync.cli.runner import finish
from emasync.cli.settings import Value, resolve_settings, settings_of
from emasync.config import profile_file
from emasync.http import check_base_url


@click.command(
    "config",
    cls=LazyGroup,
    verbs={
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
@with_em
def config_show(asked: GlobalOptions) -> None:
    """Show each setting and where it comes from: a flag, the environment, the profile, or the default.

    \b
    emasync config show
    emasync config show --profile lab --json
    """
    out = Out(as_json=asked.json, quiet=asked.quiet)
    finish(out, partial(_show, asked, out))


def _show(asked: GlobalOptions, out: Out) -> ExitCode:
    shown = _settings(asked)
    widths = [max(len(name) for name in shown), max(len(value.text or "-") for value in shown.values())]
    for name, value in shown.items():
        text = f"{name:<{widths[0]}}  {value.text or '-':<{min(widths[1], 50)}}  {value.origin}"
        out.result("setting", text, name=name, value=value.text, origin=value.origin)
    return ExitCode.DONE


def _settings(asked: GlobalOptions) -> dict[str, Value]:
    origins, settings = resolve_settings(asked), settings_of(asked)
    named = os.environ.get("EMASYNC_CONFIG")
    state = "EMASYNC_STATE_DIR" if "EMASYNC_STATE_DIR" in os.environ else "default"
    return {
        "config_file": Value(text=str(profile_file()), origin="EMASYNC_CONFIG" if named else "default"),
        "profile": Value(text=origins.profile, origin=_origin("profile")),
        **origins.values,
        "url": _without_secrets(origins.values["url"]),
        "password": Value(text=None, origin=f"from {origins.password_from}" if origins.password_from else "not set"),
        "insecure": Value(text=str(asked.insecure).lower(), origin=_origin("insecure")),
        "busy_timeout": Value(
            text=f"{settings.retry.busy_timeout_s:g} s",
            origin=_origin("no_wait") if asked.no_wait else _origin("busy_timeout_s"),
        ),
        "retries": Value(text=str(settings.retry.retries), origin=_origin("retries")),
        "state_dir": Value(text=str(settings.state_dir) if settings.state_dir else None, origin=state),
    }


def _origin(parameter: str) -> str:
    """Where click has the value of one of the shared flags from."""
    flag = parameter.removesuffix("_s").replace("_", "-")
    source = click.get_current_context().get_parameter_source(parameter)
    if source is not None and source.name == "ENVIRONMENT":
        return f"EMASYNC_{flag.replace('-', '_').upper()}"
    return f"--{flag}" if source is not None and source.name == "COMMANDLINE" else "default"


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
@with_em
def config_path(asked: GlobalOptions) -> None:
    """Say where the configuration file is, also if there is none yet; EMASYNC_CONFIG names another place.

    \b
    emasync config path
    $EDITOR "$(emasync config path)"
    """
    out = Out(as_json=asked.json, quiet=asked.quiet)

    def tell() -> ExitCode:
        file = profile_file()
        out.result("config_file", str(file), path=str(file), exists=file.exists())
        return ExitCode.DONE

    finish(out, tell)


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
