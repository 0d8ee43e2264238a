"""The options that commands share, declared once; every long option is also ``EMASYNC_<OPTION>``.

Imports click only. What the values come to is resolved in `settings`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
ProgressKind = Literal["auto", "tty", "plain", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalOptions:
    """The shared flags of one call, as given on the command line or in the environment; None is "not given"."""

    profile: str | None = None
    url: str | None = None
    username: str | None = None
    volume: str | None = None
    password_file: Path | None = None
    password_stdin: bool = False
    ca: Path | None = None
    insecure: bool = False
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    progress: ProgressKind = "auto"
    busy_timeout_s: float | None = None
    no_wait: bool = False
    retries: int | None = None


class EnvOption(click.Option):
    """An option that may also be given as ``EMASYNC_<LONG FLAG>``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.envvar is None:
            flag = max(self.opts, key=len).lstrip("-")
            self.envvar = f"EMASYNC_{flag.replace('-', '_').upper()}"


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """`click.option` with an environment variable of its own."""
    return click.option(*names, cls=EnvOption, **settings)


class Seconds(click.ParamType[float]):
    """A duration: ``90``, ``90s``, ``30m``, ``2h``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(value))
        if found is None:
            self.fail(f"{value!r} is no duration; write 90s, 30m or 2h", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


class Rate(click.ParamType[float]):
    """Bytes a second: ``500k``, ``10M``, ``1G`` (decimal, as links are sold)."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)(?:b(?:/s)?)?\s*", str(value), re.IGNORECASE)
        if found is None:
            self.fail(f"{value!r} is no rate; write 500k or 10M (bytes a second)", param, ctx)
        return float(found[1]) * _SIZES[found[2].lower()]


_SHARED = (
    option("--profile", metavar="NAME", help="profile of the configuration file [default]"),
    option("--url", metavar="URL", help="the EM's base URL"),
    option("--username", metavar="NAME", help="who to log in as"),
    option("--volume", metavar="NAME", help="a named volume and pod [the default one]"),
    option("--password-file", type=click.Path(dir_okay=False, path_type=Path), help="read the password from a file"),
    option("--password-stdin", is_flag=True, help="read the password from standard input"),
    option("--ca", type=click.Path(dir_okay=False, path_type=Path), help="trust this CA certificate (PEM)"),
    option("--insecure", is_flag=True, help="do not check the server's certificate"),
    option("--json", "json", is_flag=True, help="results as JSON lines"),
    option("-q", "--quiet", is_flag=True, help="only results and errors"),
    option("-v", "--verbose", count=True, help="say more; -vv logs every request"),
    option("--progress", type=click.Choice(["auto", "tty", "plain", "none"]), default="auto", show_default=True),
    option("--busy-timeout", "busy_timeout_s", type=Seconds(), help="how long to wait for a busy EM [30m]"),
    option("--no-wait", is_flag=True, help="do not wait for a busy EM at all"),
    option("--retries", type=click.IntRange(0), help="how often a call is sent again after an error [5]"),
)
_NAMES = tuple(GlobalOptions.__dataclass_fields__)


def with_em(function: F) -> F:
    """Give a verb the shared flags; it is called with them as its first argument, an `GlobalOptions`."""

    @functools.wraps(function)
    def called(**values: Any) -> Any:
        asked = GlobalOptions(**{name: values.pop(name) for name in _NAMES})
        return function(asked, **values)

    for decorate in reversed(_SHARED):
        called = decorate(called)
    return called  # type: ignore[return-value]
