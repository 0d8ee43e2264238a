"""The command line: the only place that prints, reads argv, handles signals and ends the process.

Owns: the list of verbs; each is a module of this room and is imported when it is used. May import everything.
"""

from __future__ import annotations

import importlib
import io
import sys

import click

from emasync._version import __version__

_VERBS = {
    "demo": "run the whole job end to end: files up, a pod, files down, verified",
    "simulator": "serve an EM in a box on this machine",
}


class Verbs(click.Group):
    """Finds verbs by name and imports only the one that runs: the others' imports would cost every start."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command = getattr(importlib.import_module(f"emasync.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(sorted(_VERBS.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="emasync", message="%(prog)s %(version)s")
def emasync() -> None:
    """Move files to and from DPhi Space's Engineering Model, and run pods on it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: a Latin-1 terminal must not end the job
