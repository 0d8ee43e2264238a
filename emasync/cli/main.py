"""The root command ``emasync``: its commands, its aliases and the table of exit codes in its help.

Imports click only: the version and the help must come without the cost of a client.
"""

from __future__ import annotations

import io
import sys

import click

from emasync._version import __version__
from emasync.cli.lazy_group import LazyGroup

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
