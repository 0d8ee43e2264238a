"""`LazyGroup`, which imports a command's module when the command is used, and the root command ``emasync``.

Imports click only: the version and the help must come without the cost of a client.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from click.shell_completion import CompletionItem

from emasync._version import __version__


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


_COMMANDS = {
    "auth": ("auth", "log in, see who you are, forget it again"),
    "cat": ("files:cat", "print a file of the volume"),
    "check": ("check", "compare a local folder with one of the volume"),
    "completion": ("completion", "print the completion script of your shell"),
    "config": ("config", "see and set what is in the configuration file"),
    "demo": ("demo", "run the whole job end to end: files up, a pod, files down, verified"),
    "doctor": ("doctor", "find out what is wrong, or how this EM behaves"),
    "down": ("down", "bring files and folders of the volume here (also: downlink)"),
    "image": ("image", "build, load, push and list Docker images"),
    "jobs": ("jobs", "list, resume and forget interrupted transfers"),
    "ls": ("files:ls", "list the volume"),
    "node": ("node", "list the EM's nodes"),
    "pod": ("pod", "run a pod, watch it, wait for it"),
    "rm": ("files:rm", "delete files and folders of the volume"),
    "simulator": ("simulator", "serve a simulated EM on this machine"),
    "sync": ("sync", "make one side equal to the other"),
    "up": ("up", "send files and folders to the volume (also: uplink)"),
}
_ALIASES = {"uplink": "up", "downlink": "down"}


_CONTEXT = {"help_option_names": ["-h", "--help"]}
_EPILOG = """\b
Exit codes: 0 done, 1 other failure, 2 usage, 3 not found, 4 refused (log-in or
permission), 5 temporary: run again, 6 partial, 7 integrity, 8 too large,
11 busy beyond the budget, 12 outcome unknown, 20 build or load refused, 21 pod
could not start, 22 pod ended badly, 129/130/143 hung up, interrupted, terminated.
Of several files: 12 if any is unknown, the failures' own code if all failed with
the same one, else 6.
"""


@click.command(cls=LazyGroup, lazy_commands=_COMMANDS, aliases=_ALIASES, epilog=_EPILOG, context_settings=_CONTEXT)
@click.version_option(__version__, "-V", "--version", prog_name="emasync", message="%(prog)s %(version)s")
def emasync() -> None:
    """Move files to and from DPhi Space's Engineering Model, and run pods on it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: a Latin-1 terminal must not end the job
