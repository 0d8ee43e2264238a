"""The options that all transfers share, and the command line of a transfer in a form that can be run again.

An option of a transfer is declared in one place: a field of `TransferOptions`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource

from emasync.cli.options import CommandDecorator, GlobalOptions, Rate, Seconds, client_keywords, declare, with_options
from emasync.cli.settings import client_settings
from emasync.config import Settings
from emasync.model import Verify


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOptions:
    """The options of one transfer, as given; None is "not given". `bwlimit` is in bytes a second.

    A new option of a transfer is one field here: `keyword` is the keyword of the Client's methods that gets its value;
    `tuning` says that the option does not make it another transfer, so that a job with another value can be resumed.
    """

    workers: int | None = declare(
        "--workers",
        type=click.IntRange(1, 64),
        help="calls at once, at most; the busy EM decides [8]",
        keyword="workers",
        tuning=True,
    )
    verify: Verify | None = declare(  # noqa: RUF009
        "--verify",
        type=click.Choice(get_args(Verify)),
        help="what proves a file to be there [content]",
        keyword="verify",
    )
    include: tuple[str, ...] = declare(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="only these (gitignore pattern); may be given again",
        keyword="include",
    )
    exclude: tuple[str, ...] = declare(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="not these, whatever --include says; may be given again",
        keyword="exclude",
    )
    deadline_s: float | None = declare(
        "--deadline",
        "deadline_s",
        type=Seconds(),
        help="give up what is not moved by then",
        keyword="deadline",
        tuning=True,
    )
    bwlimit: float | None = declare(
        "--bwlimit", type=Rate(), metavar="RATE", help="at most so many bytes a second: 500k, 10M", tuning=True
    )
    dry_run: bool = declare(
        "-n", "--dry-run", is_flag=True, help="show what would be done, and why; do nothing", tuning=True
    )
    report: Path | None = declare(  # noqa: RUF009 - a dataclass field
        "--report",
        type=click.Path(dir_okay=False, path_type=Path),
        help="a JSON line for every file",
        tuning=True,
    )
    no_job: bool = declare(
        "--no-job",
        is_flag=True,
        help="keep no journal: an interrupted run cannot be resumed",
        tuning=True,
    )

    @property
    def keywords(self) -> dict[str, Any]:
        """The keywords for `Client.uplink`, `downlink`, `sync_up` and `sync_down`."""
        return client_keywords(self)

    @property
    def apply_keywords(self) -> dict[str, Any]:
        """The keywords for `Client.apply`, whose plan has chosen the files already."""
        return {name: value for name, value in self.keywords.items() if name not in ("include", "exclude")}

    def settings(self, options: GlobalOptions) -> Settings:
        """The Client's settings with the bandwidth limit; a usage error when that is as low as a dead link's."""
        try:
            return replace(client_settings(options), uplink_rate=self.bwlimit, downlink_rate=self.bwlimit)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--bwlimit") from None


with_transfer_options: CommandDecorator = with_options(TransferOptions, name="transfer")
"""Give a command the options of `TransferOptions`, as its keyword `transfer`."""

_RECORDED = frozenset({"url", "username", "volume"})  # the job record has their resolved values
_PRESENTATION = frozenset({"json", "quiet", "verbose", "progress"})  # not repeated when a job is resumed
_DEFAULTS = (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
_TUNING = frozenset(
    {
        *(option.name for option in fields(GlobalOptions)),
        *(option.name for option in fields(TransferOptions) if option.metadata["tuning"]),
        *("order", "yes"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """A command with the options that the command line and the environment gave it. `identity`: the options and
    arguments that distinguish this transfer from any other."""

    words: tuple[str, ...]
    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    identity: tuple[str, ...]


def command_line() -> CommandLine:
    """The command line of the running command, without the EM, the user and how results are presented."""
    context = click.get_current_context()
    flags: list[str] = []
    identity: list[str] = []
    arguments: list[str] = []
    for param in context.command.params:
        name = param.name or ""
        source = context.get_parameter_source(name)
        if isinstance(param, click.Argument):
            arguments += _each(context.params.get(name))
        elif source in _DEFAULTS or name in _RECORDED | _PRESENTATION:
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
    """The environment variables that give `command` options which make it another transfer."""
    options = (param for param in command.params if isinstance(param, click.Option) and param.name not in _TUNING)
    return [option.envvar for option in options if isinstance(option.envvar, str)]


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
    return [f"{flag}={text}" for text in _each(value)]


def _each(value: Any) -> list[str]:
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return [str(value) for value in values]
