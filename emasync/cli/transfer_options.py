"""The options that all transfers share, and the command line of a transfer in a form that can be run again.

An option of a transfer is declared in `TransferOptions` and `_OPTIONS`, and passed on in `TransferOptions.keywords`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, get_args

import click

from emasync.cli.options import F, GlobalOptions, Rate, Seconds, option
from emasync.cli.settings import settings_of
from emasync.config import Settings
from emasync.model import Verify

_ELSEWHERE = frozenset({"url", "username", "volume"})  # a record has them as they came out
_LOUDNESS = frozenset({"json", "quiet", "verbose", "progress"})
_TUNING = _LOUDNESS | frozenset(
    {
        *("profile", "password_file", "password_stdin", "ca", "insecure", "busy_timeout_s", "no_wait", "retries"),
        *("workers", "bwlimit", "deadline_s", "report", "no_job", "dry_run", "order", "yes"),
    }
)


class Moving(TypedDict):
    """What `Client.apply` takes, and every other transfer."""

    workers: int | None
    verify: Verify | None
    deadline: float | None


class Keywords(Moving):
    """What every transfer of a Client takes that chooses its files."""

    include: Sequence[str]
    exclude: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFlags:
    """The shared flags of one transfer, as given; None is "not given". `bwlimit` is bytes a second."""

    workers: int | None = None
    verify: Verify | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    deadline_s: float | None = None
    bwlimit: float | None = None
    dry_run: bool = False
    report: Path | None = None
    no_job: bool = False

    @property
    def keywords(self) -> Keywords:
        """For `Client.uplink` and its sisters."""
        return Keywords(include=self.include, exclude=self.exclude, **self.moving)

    @property
    def moving(self) -> Moving:
        """For `Client.apply`."""
        return Moving(workers=self.workers, verify=self.verify, deadline=self.deadline_s)

    def settings(self, asked: GlobalOptions) -> Settings:
        """`Settings` with the bandwidth limit in them; a click error when it is too low to tell from a dead link."""
        plain = settings_of(asked)
        try:
            return replace(plain, uplink_rate=self.bwlimit, downlink_rate=self.bwlimit)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--bwlimit") from None


_SHARED = (
    option("--workers", type=click.IntRange(1, 64), help="calls at once, at most; the busy EM decides [8]"),
    option("--verify", type=click.Choice(get_args(Verify)), help="what proves a file to be there [content]"),
    option("--include", multiple=True, metavar="PATTERN", help="only these (gitignore pattern); may be given again"),
    option(
        "--exclude", multiple=True, metavar="PATTERN", help="not these, whatever --include says; may be given again"
    ),
    option("--deadline", "deadline_s", type=Seconds(), help="give up what is not moved by then"),
    option("--bwlimit", type=Rate(), metavar="RATE", help="at most so many bytes a second: 500k, 10M"),
    option("-n", "--dry-run", is_flag=True, help="show what would be done, and why; do nothing"),
    option("--report", type=click.Path(dir_okay=False, path_type=Path), help="a JSON line for every file"),
    option("--no-job", is_flag=True, help="keep no journal: an interrupted run cannot be resumed"),
)
_NAMES = tuple(TransferFlags.__dataclass_fields__)


def with_transfer_flags(function: F) -> F:
    """Give a verb the flags of a transfer, as its keyword `wishes`. Goes below `with_em`."""

    @functools.wraps(function)
    def called(*args: Any, **values: Any) -> Any:
        return function(*args, wishes=TransferFlags(**{name: values.pop(name) for name in _NAMES}), **values)

    for decorate in reversed(_SHARED):
        called = decorate(called)
    return called  # type: ignore[return-value]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """A command as it came out of flags and environment. `identity`: the flags and arguments that make it this
    transfer and no other."""

    words: tuple[str, ...]
    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    identity: tuple[str, ...]


def command_line() -> CommandLine:
    """That of the command that runs now. Which EM, and how loud, is left out."""
    context = click.get_current_context()
    flags: list[str] = []
    identity: list[str] = []
    arguments: list[str] = []
    for param in context.command.params:
        name = param.name or ""
        source = context.get_parameter_source(name)
        if isinstance(param, click.Argument):
            arguments += _each(context.params.get(name))
        elif source is None or source.name.startswith("DEFAULT") or name in _ELSEWHERE | _LOUDNESS:
            continue
        else:
            words = _flag_words(param, context.params[name])
            flags += words
            identity += words if name not in _TUNING else []
    return CommandLine(
        words=_command_words(context),
        flags=tuple(flags),
        arguments=tuple(arguments),
        identity=(*identity, "--", *arguments),
    )


def identity_variables(command: click.Command) -> list[str]:
    """The environment variables that give `command` flags which make it another transfer."""
    kept = _TUNING | _ELSEWHERE
    flags = (one for one in command.params if isinstance(one, click.Option) and one.name not in kept)
    return [one.envvar for one in flags if isinstance(one.envvar, str)]


def _command_words(context: click.Context | None) -> tuple[str, ...]:
    words: list[str] = []
    while context is not None and context.parent is not None:
        words.insert(0, context.command.name or "")
        context = context.parent
    return tuple(words)


def _flag_words(param: click.Parameter, value: Any) -> list[str]:
    flag = max(param.opts, key=len)
    if isinstance(value, bool):
        return [flag] if value else []
    return [f"{flag}={one}" for one in _each(value)]


def _each(value: Any) -> list[str]:
    many = value if isinstance(value, tuple) else () if value is None else (value,)
    return [str(one) for one in many]
