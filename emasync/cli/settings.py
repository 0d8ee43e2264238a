"""The settings of one command: option, then environment, then profile, then default, each with its origin.

Also where the password comes from. No password is printed, kept in a value's repr, or taken from argv.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import click

from emasync.cli.options import GlobalOptions
from emasync.config import RetryPolicy, Settings, profile_file, read_profile

_ANSWERS = ("url", "username", "volume", "password_file", "ca")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A setting and where it came from, for people (``--url``, ``EMASYNC_URL``, ``profile lab``, ``default``)."""

    text: str | None
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSettings:
    """Everything but the password itself, by name; `password_from` says where that would come from."""

    values: Mapping[str, Value]
    profile: str
    password_from: str | None
    saved: Mapping[str, str] = field(repr=False)

    def get(self, name: str) -> str | None:
        """The text of a value."""
        return self.values[name].text


def resolve_settings(asked: GlobalOptions, *, new: bool = False) -> ResolvedSettings:
    """Resolve the values. LookupError for an unknown profile (unless it may be `new`), ValueError for a broken
    configuration file."""
    context = click.get_current_context(silent=True)
    wanted = asked.profile
    saved = read_profile(wanted or "default", must_exist=wanted is not None and not new)
    values: dict[str, Value] = {}
    for name in _ANSWERS:
        given = getattr(asked, name)
        if given is not None:
            source = context.get_parameter_source(name) if context is not None else None
            flag = f"--{name.replace('_', '-')}"
            by_environment = source is not None and source.name == "ENVIRONMENT"
            values[name] = Value(text=str(given), origin=f"EMASYNC_{name.upper()}" if by_environment else flag)
        elif name in saved:
            values[name] = Value(text=saved[name], origin=f"profile {wanted or 'default'}")
        else:
            values[name] = Value(text=None, origin="default" if name in ("volume", "ca") else "not set")
    return ResolvedSettings(
        values=values,
        profile=wanted or "default",
        password_from=_password_origin(asked, values, saved, wanted or "default"),
        saved=saved,
    )


def _password_origin(
    asked: GlobalOptions, values: Mapping[str, Value], saved: Mapping[str, str], profile: str
) -> str | None:
    if asked.password_stdin:
        return "standard input"
    file = values["password_file"]
    if file.text is not None and not file.origin.startswith("profile"):
        return f"the file {file.text} ({file.origin})"
    if os.environ.get("EMASYNC_PASSWORD"):
        return "EMASYNC_PASSWORD"
    if file.text is not None:
        return f"the file {file.text} ({file.origin})"
    if saved.get("password"):
        return f"profile {profile}"
    if saved.get("keyring", "").lower() in ("1", "true", "yes"):
        return "keyring"
    return "prompt" if sys.stdin.isatty() else None


def password(origins: ResolvedSettings) -> str:
    """The password, from the one place that `password_from` names. ValueError when there is none."""
    source = origins.password_from
    if source == "standard input":
        found = sys.stdin.readline().rstrip("\r\n")
    elif source == "EMASYNC_PASSWORD":
        found = os.environ["EMASYNC_PASSWORD"]
    elif source is not None and source.startswith("the file"):
        file = Path(origins.get("password_file") or "").expanduser()
        found = file.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\r\n")
    elif source == "keyring":
        found = _from_keyring(origins)
    elif source == "prompt":
        found = click.prompt(f"Password of {origins.get('username')}", hide_input=True, err=True)
    else:
        found = origins.saved.get("password", "")
    if not found:
        raise ValueError(
            "no password for the EM: set EMASYNC_PASSWORD or EMASYNC_PASSWORD_FILE, or give --password-stdin"
        )
    return found


def _from_keyring(origins: ResolvedSettings) -> str:
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore]  # an extra
    except ImportError:
        raise ValueError("the profile says keyring, which is not installed: pip install 'emasync[keyring]'") from None
    return keyring.get_password(f"emasync {origins.get('url')}", origins.get("username") or "") or ""


def check_complete(origins: ResolvedSettings) -> None:
    """ValueError that names every value that is missing, and how to give it."""
    missing = [name for name in ("url", "username") if not origins.get(name)]
    if missing:
        names = ", ".join(f"EMASYNC_{name.upper()} or --{name}" for name in missing)
        raise ValueError(f"no {' and no '.join(missing)} for the EM: give {names}, or write them to {profile_file()}")


def settings_of(asked: GlobalOptions) -> Settings:
    """`Settings` with the shared flags in them."""
    plain = RetryPolicy()
    busy = 0.0 if asked.no_wait else asked.busy_timeout_s
    policy = replace(
        plain,
        retries=plain.retries if asked.retries is None else asked.retries,
        busy_timeout_s=plain.busy_timeout_s if busy is None else busy,
    )
    return Settings(retry=policy)


def tls(asked: GlobalOptions, origins: ResolvedSettings) -> ssl.SSLContext | None:
    """A context for ``--ca`` or ``--insecure``; None for the usual checks. click.UsageError for a file that is none."""
    if asked.insecure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    file = origins.get("ca")
    if not file:
        return None
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:  # SSLError is one
        reason = error.strerror if error.filename or not isinstance(error, ssl.SSLError) else "no certificate in it"
        raise click.UsageError(f"--ca: {file} is not a CA certificate in PEM form: {reason}") from None


def require_keyring() -> ModuleType:
    """The keyring module; ValueError with the way to get it where it is not installed."""
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ValueError("the keyring extra is not installed: pip install 'emasync[keyring]'") from None
    found: ModuleType = keyring
    return found


def keep_password(url: str, *, username: str, password: str) -> None:
    """Store it. OSError when the keyring refuses (locked, or none on this machine)."""
    keyring = require_keyring()
    try:
        keyring.set_password(_service(url), username, password)
    except Exception as error:  # noqa: BLE001 - a backend's own kinds; their text is about the keyring, not the secret
        raise OSError(f"the keyring took no password ({type(error).__name__}); leave --keyring away") from None


def forget_password(url: str, *, username: str) -> bool:
    """Remove it; False if there was none, or no keyring is installed."""
    try:
        require_keyring().delete_password(_service(url), username)
    except Exception:  # noqa: BLE001 - a backend's own kinds: none stored, locked, none here
        return False
    return True


def _service(url: str) -> str:
    return f"emasync {url}"
