"""The options that commands share, declared once; every long option is also ``EMASYNC_<OPTION>``.

Imports click only. What the values come to is resolved in `settings`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, get_args

import click

F = TypeVar("F", bound=Callable[..., Any])

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
ProgressKind = Literal["auto", "tty", "plain", "none"]
_FILE: click.Path = click.Path(dir_okay=False, path_type=Path)


class CommandDecorator(Protocol):
    """Gives a command one or more options."""

    def __call__(self, command: F, /) -> F: ...


class EnvOption(click.Option):
    """An option that may also be given as ``EMASYNC_<LONG FLAG>``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.envvar is None:
            flag = max(self.opts, key=len).lstrip("-")
            self.envvar: str | Sequence[str] | None = f"EMASYNC_{flag.replace('-', '_').upper()}"


def option(*names: str, **settings: Any) -> CommandDecorator:
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


def declare(*names: str, default: Any = None, **settings: Any) -> Any:
    """A dataclass field that is an option of the command line; `settings` are those of `click.option`.

    Of its own: `keyword`, the keyword of the Client's methods that the value is passed as; `tuning`, see
    `TransferOptions`.
    """
    facts = {"keyword": settings.pop("keyword", None), "tuning": settings.pop("tuning", False)}
    if default is not None:
        settings["default"] = default
    else:  # what click passes where an option without a default is not given
        default = False if settings.get("is_flag") else () if settings.get("multiple") else None
    return field(default=default, metadata={"option": option(*names, **settings), **facts})


def client_keywords(options: Any) -> dict[str, Any]:
    """The values of `options` by the keywords of the Client's methods that they were declared with."""
    declared = ((option_field.metadata["keyword"], option_field.name) for option_field in fields(options))
    return {keyword: getattr(options, name) for keyword, name in declared if keyword is not None}


def with_options(kind: type[Any], *, name: str) -> CommandDecorator:
    """A decorator: give a command the options that the dataclass `kind` declares, collected in its keyword `name`."""
    declared = fields(kind)

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(**values: Any) -> Any:
            collected = kind(**{option_field.name: values.pop(option_field.name) for option_field in declared})
            return function(**{name: collected}, **values)

        for option_field in reversed(declared):
            command = option_field.metadata["option"](command)
        return command  # type: ignore[return-value]

    return decorate


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalOptions:
    """The options of every command that talks to an EM, as given on the command line or in the environment.

    None means "not given"; `settings` resolves what holds then.
    """

    profile: str | None = declare("--profile", metavar="NAME", help="profile of the configuration file [default]")
    url: str | None = declare("--url", metavar="URL", help="the EM's base URL")
    username: str | None = declare("--username", metavar="NAME", help="who to log in as")
    volume: str | None = declare("--volume", metavar="NAME", help="a named volume and pod [the default one]")
    password_file: Path | None = declare(  # noqa: RUF009 - a dataclass field
        "--password-file", type=_FILE, help="read the password from a file"
    )
    password_stdin: bool = declare("--password-stdin", is_flag=True, help="read the password from standard input")
    ca: Path | None = declare(  # noqa: RUF009
        "--ca", type=_FILE, help="trust this CA certificate (PEM)"
    )
    insecure: bool = declare("--insecure", is_flag=True, help="do not check the server's certificate")
    json: bool = declare("--json", "json", is_flag=True, help="results as JSON lines")
    quiet: bool = declare("-q", "--quiet", is_flag=True, help="only results and errors")
    verbose: int = declare("-v", "--verbose", count=True, default=0, help="say more; -vv logs every request")
    progress: ProgressKind = declare(  # noqa: RUF009
        "--progress", type=click.Choice(get_args(ProgressKind)), default="auto", show_default=True
    )
    busy_timeout_s: float | None = declare(
        "--busy-timeout", "busy_timeout_s", type=Seconds(), help="how long to wait for a busy EM [30m]"
    )
    no_wait: bool = declare("--no-wait", is_flag=True, help="do not wait for a busy EM at all")
    retries: int | None = declare(
        "--retries", type=click.IntRange(0), help="how often a call is sent again after an error [5]"
    )


with_global_options: CommandDecorator = with_options(GlobalOptions, name="options")
"""Give a command the options of `GlobalOptions`, as its keyword `options`."""
