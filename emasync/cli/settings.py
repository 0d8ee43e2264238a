"""The settings of one command: option, then environment, then profile, then default, each with its origin.

Also where the password comes from. No password is printed, kept in a value's repr, or taken from argv.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path
from types import ModuleType

import click
from click.core import ParameterSource

from emasync.cli.options import GlobalOptions
from emasync.config import RetryPolicy, Settings, profile_file, read_profile

_NAMES = ("url", "username", "volume", "password_file", "ca")


class PasswordSource(Enum):
    """Where the password of a command comes from."""

    STDIN = auto()
    FILE = auto()
    ENVIRONMENT = auto()
    PROFILE = auto()
    KEYRING = auto()
    PROMPT = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A setting and its origin, for people: ``--url``, ``EMASYNC_URL``, ``profile lab``, ``default``."""

    text: str | None
    origin: str
    from_profile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSettings:
    """All settings but the password, by name. `profile` is the profile's name, `saved` its content."""

    values: Mapping[str, Value]
    profile: str
    password_source: PasswordSource
    saved: Mapping[str, str] = field(repr=False)

    def get(self, name: str) -> str | None:
        """The text of a setting."""
        return self.values[name].text

    @property
    def password_origin(self) -> str | None:
        """The source of the password, for people; None where there is none."""
        file = self.values["password_file"]
        return {
            PasswordSource.STDIN: "standard input",
            PasswordSource.FILE: f"the file {file.text} ({file.origin})",
            PasswordSource.ENVIRONMENT: "EMASYNC_PASSWORD",
            PasswordSource.PROFILE: f"profile {self.profile}",
            PasswordSource.KEYRING: "keyring",
            PasswordSource.PROMPT: "prompt",
        }.get(self.password_source)


def resolve_settings(options: GlobalOptions, *, new: bool = False) -> ResolvedSettings:
    """Resolve the settings. LookupError for an unknown profile (unless it may be `new`), ValueError for a broken
    configuration file."""
    profile = options.profile or "default"
    saved = read_profile(profile, must_exist=options.profile is not None and not new)
    values = {name: _resolve(name, getattr(options, name), profile=profile, saved=saved) for name in _NAMES}
    source = _password_source(options, values["password_file"], saved)
    return ResolvedSettings(values=values, profile=profile, password_source=source, saved=saved)


def _resolve(name: str, given: object, *, profile: str, saved: Mapping[str, str]) -> Value:
    if given is not None:
        return Value(text=str(given), origin=option_origin(name) or f"--{name.replace('_', '-')}")
    if name in saved:
        return Value(text=saved[name], origin=f"profile {profile}", from_profile=True)
    return Value(text=None, origin="default" if name in ("volume", "ca") else "not set")


def option_origin(name: str) -> str | None:
    """Where click took the value of a shared option from: ``EMASYNC_URL``, ``--url``, or None for its default."""
    context = click.get_current_context(silent=True)
    source = None if context is None else context.get_parameter_source(name)
    flag = name.removesuffix("_s").replace("_", "-")
    if source is ParameterSource.ENVIRONMENT:
        return f"EMASYNC_{flag.replace('-', '_').upper()}"
    return f"--{flag}" if source is ParameterSource.COMMANDLINE else None


def _password_source(options: GlobalOptions, file: Value, saved: Mapping[str, str]) -> PasswordSource:
    candidates = (
        (PasswordSource.STDIN, options.password_stdin),
        (PasswordSource.FILE, file.text is not None and not file.from_profile),
        (PasswordSource.ENVIRONMENT, os.environ.get("EMASYNC_PASSWORD")),
        (PasswordSource.FILE, file.text is not None),
        (PasswordSource.PROFILE, saved.get("password")),
        (PasswordSource.KEYRING, saved.get("keyring", "").lower() in ("1", "true", "yes")),
        (PasswordSource.PROMPT, sys.stdin.isatty()),
    )
    return next((source for source, holds in candidates if holds), PasswordSource.NONE)


def read_password(resolved: ResolvedSettings) -> str:
    """The password, from its one source. ValueError when there is none."""
    match resolved.password_source:
        case PasswordSource.STDIN:
            found = sys.stdin.readline().rstrip("\r\n")
        case PasswordSource.FILE:
            file = Path(resolved.get("password_file") or "").expanduser()
            found = file.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\r\n")
        case PasswordSource.ENVIRONMENT:
            found = os.environ["EMASYNC_PASSWORD"]
        case PasswordSource.KEYRING:
            found = load_password(resolved.get("url") or "", username=resolved.get("username") or "")
        case PasswordSource.PROMPT:
            found = click.prompt(f"Password of {resolved.get('username')}", hide_input=True, err=True)
        case PasswordSource.PROFILE | PasswordSource.NONE:
            found = resolved.saved.get("password", "")
    if not found:
        raise ValueError(
            "no password for the EM: set EMASYNC_PASSWORD or EMASYNC_PASSWORD_FILE, or give --password-stdin"
        )
    return found


def check_complete(resolved: ResolvedSettings) -> None:
    """Raise a ValueError that names every required setting that is missing, and how to give it."""
    missing = [name for name in ("url", "username") if not resolved.get(name)]
    if missing:
        names = ", ".join(f"EMASYNC_{name.upper()} or --{name}" for name in missing)
        raise ValueError(f"no {' and no '.join(missing)} for the EM: give {names}, or write them to {profile_file()}")


def client_settings(options: GlobalOptions) -> Settings:
    """The Client's settings, with what the options change in them."""
    plain = RetryPolicy()
    busy = 0.0 if options.no_wait else options.busy_timeout_s
    policy = replace(
        plain,
        retries=plain.retries if options.retries is None else options.retries,
        busy_timeout_s=plain.busy_timeout_s if busy is None else busy,
    )
    return Settings(retry=policy)


def ssl_context(options: GlobalOptions, resolved: ResolvedSettings) -> ssl.SSLContext | None:
    """The TLS context for ``--ca`` or ``--insecure``, else None. click.UsageError for a file without a certificate."""
    if options.insecure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    file = resolved.get("ca")
    if not file:
        return None
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:  # SSLError is one
        reason = error.strerror if error.filename or not isinstance(error, ssl.SSLError) else "no certificate in it"
        raise click.UsageError(f"--ca: {file} is not a CA certificate in PEM form: {reason}") from None


def import_keyring() -> ModuleType:
    """The keyring module; ValueError with the way to get it where it is not installed."""
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ValueError("the keyring extra is not installed: pip install 'emasync[keyring]'") from None
    found: ModuleType = keyring
    return found


def load_password(url: str, *, username: str) -> str:
    """The password in the keyring; empty if there is none. ValueError where keyring is not installed."""
    return import_keyring().get_password(_service(url), username) or ""


def store_password(url: str, *, username: str, password: str) -> None:
    """Store the password. OSError when the keyring refuses (locked, or none on this machine)."""
    keyring = import_keyring()
    try:
        keyring.set_password(_service(url), username, password)
    except Exception as error:  # noqa: BLE001 - a backend's own kinds; their text is about the keyring, not the secret
        raise OSError(f"the keyring refused the password ({type(error).__name__}); leave --keyring away") from None


def delete_password(url: str, *, username: str) -> bool:
    """Remove the password; False if there was none, or no keyring is installed."""
    try:
        import_keyring().delete_password(_service(url), username)
    except Exception:  # noqa: BLE001 - a backend's own kinds: none stored, locked, none here
        return False
    return True


def _service(url: str) -> str:
    return f"emasync {url}"
