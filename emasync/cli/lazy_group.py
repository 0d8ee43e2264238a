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
    """Escape click's messages: they quote arguments, and a shell's ``*`` makes arguments of any file's name."""
    try:
        yield
    except click.UsageError as error:
        if type(error) is not click.UsageError:  # subclasses quote the argument with repr
            raise
        from emasync.model.text import safe

        raise click.UsageError(safe(error.message, limit=2000), ctx=error.ctx) from None


class LazyGroup(click.Group):
    """A group whose `lazy_commands` are ``{name: (target, help)}``; `aliases` are further names, not in the help.

    A target is ``module:attribute`` in `emasync.cli.commands`; without an attribute, that of the module's name.
    """

    def __init__(
        self,
        *args: Any,
        lazy_commands: Mapping[str, tuple[str, str]],
        aliases: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lazy_commands = lazy_commands
        self._aliases = aliases or {}

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _escaped_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _escaped_usage_errors():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._lazy_commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target, _ = self._lazy_commands.get(self._aliases.get(cmd_name, cmd_name), ("", ""))
        if not target:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(f"emasync.cli.commands.{module}"), attribute or module)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete from `lazy_commands`: click's own way would import every command each time the key is pressed."""
        commands = [
            CompletionItem(name, help=text)
            for name, (_, text) in sorted(self._lazy_commands.items())
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(self._lazy_commands.items())])
