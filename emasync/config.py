"""Settings: every number that a user may want to change, with the reason for its default; and log-in data.

The one module that reads the environment and the profile file. Must not import anything above model.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emasync.model import Overwrite, Verify

KIB, MIB, MB = 1024, 1024 * 1024, 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Timeouts in seconds, by phase. There is no total: a transfer may take as long as it makes progress.

    >>> Settings(timeouts=Timeouts(stall_s=120)).timeouts.connect_s
    10.0
    """

    connect_s: float = 10.0
    stall_s: float = 60.0
    """A body, in either direction, without any progress for so long is aborted."""
    low_speed_window_s: float = 30.0
    low_speed_bytes_s: float = 1024.0
    """A body that is slower than this over a whole window is aborted, too."""
    answer_s: float = 60.0
    long_answer_s: float = 7200.0
    """After the last byte of an uplink, and for a build or load: the EM works for minutes before it responds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Two budgets: `retries` bounds errors, `busy_timeout_s` the wait for a busy EM. A 423 never uses up a retry.

    >>> settings = Settings(retry=RetryPolicy(retries=2, busy_timeout_s=60))
    >>> Client("http://em.example/", username="client1", password="secret", settings=settings)
    <Client of 'client1' on http://em.example/>
    """

    retries: int = 5
    base_s: float = 0.5
    cap_s: float = 30.0
    retry_after_cap_s: float = 300.0
    busy_timeout_s: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on requests and responses, in bytes unless named otherwise.

    >>> Settings(limits=Limits(uplink_target=50_000_000)).limits.uplink_files
    100
    """

    uplink_call: int = 500 * MB
    """Files of one uplink call; 500 MB is the seed generation's limit, later ones take 2 GB."""
    uplink_target: int | None = None
    """Bytes that one uplink call should have: larger folders are spread over more calls, so that none holds the lock
    for long and a lost response costs little. None packs files into the fewest calls."""
    uplink_files: int = 100
    """Files of one uplink call, by count: a Django default behind the EM API answers more with a bare 400."""
    json_reply: int = 1 * MIB
    """A JSON response that is no listing: status, images, nodes, log-in. It is parsed as a whole."""
    listing_reply: int = 64 * MIB
    """The text of a listing (100,000 files are about 12 MiB). It is parsed while it arrives and never held whole."""
    listing_entries: int = 1_000_000
    """Entries of a listing: a file counts as one, a folder as four. A file takes about 60 bytes of memory."""
    read_reply: int = 64 * MIB
    """The largest file of unknown size that `Files.read` takes into memory; `Files.stream` has no such bound."""
    error_reply: int = 64 * KIB
    """Bytes that are read of the body of an error response."""
    json_depth: int = 64
    """How deep the values in a downlink's envelope may be nested."""
    overrun: int = 64 * KIB
    """Bytes by which a downlink may exceed its announced size before it is aborted."""


def default_state_dir() -> Path | None:
    """``EMASYNC_STATE_DIR``, else the user's state folder for emasync."""
    named = os.environ.get("EMASYNC_STATE_DIR")
    if named is not None:
        return Path(named) if named else None
    import platformdirs

    return platformdirs.user_state_path("emasync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a `Client` behaves; the defaults are right for the documented EM.

    >>> settings = Settings(workers=4, uplink_rate=100_000)
    >>> settings.verify, settings.timeouts.connect_s
    ('content', 10.0)
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: Limits = field(default_factory=Limits)
    workers: int = 8
    overwrite: Overwrite = "replace"
    verify: Verify = "content"
    durable: bool = True
    """fsync files and folders before a file counts as done. Turn it off for data that a power cut may destroy."""
    uplink_rate: float | None = None
    downlink_rate: float | None = None
    """Bytes a second over all transfers of a client; None is no limit."""
    state_dir: Path | None = field(default_factory=default_state_dir)
    """The folder that keeps hashes of local files and the state of the concurrency limiter between runs (no secrets);
    None keeps nothing. ``EMASYNC_STATE_DIR`` names another folder, or none if it is empty."""
    volume_fields: tuple[str, ...] = ("pod_name", "pvc_name")
    """The request fields that name a volume. Servers of late 2025 read the first, some calls of early 2026 the second,
    and each ignores the other; without a volume neither is sent."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        slowest = 4 * self.timeouts.low_speed_bytes_s
        for name, rate in (("uplink_rate", self.uplink_rate), ("downlink_rate", self.downlink_rate)):
            if rate is not None and not rate >= slowest:
                raise ValueError(f"{name} must be at least {slowest:g} bytes a second: a slower link counts as dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The URL of an EM, and the user. The password is not part of the repr."""

    url: str
    username: str
    password: str = field(repr=False)
    volume: str | None = None


def login_from_env(profile: str | None = None, *, env: Mapping[str, str] | None = None) -> Login:
    """Log-in data from ``EMASYNC_URL``, ``_USERNAME``, ``_PASSWORD`` (or ``_PASSWORD_FILE``) and ``_VOLUME``.

    Values that the environment lacks come from the profile: the named one, else ``EMASYNC_PROFILE``, else ``default``.
    ValueError names every value that is still missing and how to give it; LookupError for an unknown profile.
    """
    environ = os.environ if env is None else env
    wanted = profile or environ.get("EMASYNC_PROFILE")
    saved = read_profile(wanted or "default", must_exist=wanted is not None, env=environ)

    def value(name: str) -> str | None:
        return environ.get(f"EMASYNC_{name.upper()}") or saved.get(name)

    given = {name: environ.get(f"EMASYNC_{name.upper()}", "") for name in ("password", "password_file")}
    password = _password(given) or _password(saved)
    found = {"url": value("url"), "username": value("username"), "password": password}
    if missing := [name for name, text in found.items() if not text]:
        names = ", ".join(f"EMASYNC_{name.upper()}" for name in missing)
        raise ValueError(
            f"no {' or '.join(missing)} for the EM: set {names}, or write a profile to {profile_file(environ)}"
        )
    return Login(
        url=found["url"] or "",
        username=found["username"] or "",
        password=found["password"] or "",
        volume=value("volume"),
    )


def _password(source: Mapping[str, str]) -> str:
    """The password in `source`, or in the file that it names; empty if it has none."""
    if password := source.get("password"):
        return password
    file = source.get("password_file")
    # a codec's exception would carry the password; `Client` refuses what is no UTF-8
    return Path(file).expanduser().read_text(encoding="utf-8", errors="surrogateescape").rstrip("\r\n") if file else ""


def profile_file(env: Mapping[str, str] | None = None) -> Path:
    """The profile file: ``EMASYNC_CONFIG``, else ``config.toml`` in the user's configuration folder."""
    import platformdirs  # imported here: callers that pass all arguments do not need it

    environ = os.environ if env is None else env
    named = environ.get("EMASYNC_CONFIG")
    return Path(named) if named else platformdirs.user_config_path("emasync") / "config.toml"


def read_profile(name: str, *, must_exist: bool, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The profile `name` as strings; empty if it is missing and `must_exist` is off, else LookupError."""
    file = profile_file(env)
    try:
        tables: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        tables = {}
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is not valid TOML: {error}") from None
    table = tables.get(name)
    if table is None and not must_exist:
        return {}
    if not isinstance(table, dict):
        known = ", ".join(sorted(tables)) or "none"
        raise LookupError(f"no profile {name!r} in {file} (there: {known})")
    return {key: str(value) for key, value in table.items()}
