"""``emasync config show``: each setting, and where it comes from. A password only by where it would come from.

Owns: which settings are shown. May import this room.
"""

from __future__ import annotations

import os
from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import finish
from emasync.cli.options import GlobalOptions, with_em
from emasync.cli.origins import Value, resolve_settings, settings_of
from emasync.cli.out import Out
from emasync.config import profile_file
from emasync.http import check_base_url


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
