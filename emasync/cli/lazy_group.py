"""`LazyGroup`: a click group that imports a command's module when the command is used.

Imports click only: the modules of all other commands would be paid for at every start.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from click.shell_completion import CompletionItem


@contextmanager
def _escaped_usage_errors() -> Iterator[None]:
    """What click says of an argument holds the argument, and a shell's ``*`` makes arguments of any file's name."""
    try:
        yield
    except click.UsageError as error:
        if type(error) is not click.UsageError:  # the others quote it
            raise
        from emasync.model.text import safe

        raise click.UsageError(safe(error.message, limit=2000), ctx=error.ctx) from None


class LazyGroup(click.Group):
    """`verbs`: name -> (module of this room, one line of help). The module holds a command of its own name.

    `aliases` are other names, left out of the help.
    """

    def __init__(
        self,
        *args: Any,
        verbs: Mapping[str, tuple[str, str]],
        aliases: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._verbs = verbs
        self._aliases = aliases or {}

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _escaped_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _escaped_usage_errors():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = self._verbs.get(self._aliases.get(cmd_name, cmd_name))
        if known is None:
            return None
        module, _, attribute = known[0].partition(":")
        command = getattr(importlib.import_module(f"emasync.cli.commands.{module}"), attribute or module)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and help from the list: click's own way would import every verb for each press of the key."""
        verbs = [
            CompletionItem(name, help=text)
            for name, (_, text) in sorted(self._verbs.items())
            if name.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(self._verbs.items())])
