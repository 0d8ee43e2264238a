"""The command line: the only place that prints, reads argv, handles signals and ends the process.

Owns: the list of verbs; each is a module of this room and is imported when it is used. May import everything.
"""

from __future__ import annotations

import io
import sys

import click

from emasync._version import __version__
from emasync.cli.verbs import Verbs

_VERBS = {
    "auth": ("auth", "log in, see who you are, forget it again"),
    "cat": ("cat", "print a file of the volume"),
    "check": ("check", "compare a local folder with one of the volume"),
    "completion": ("completion", "print the completion script of your shell"),
    "config": ("config", "see and set what is in the configuration file"),
    "demo": ("demo", "run the whole job end to end: files up, a pod, files down, verified"),
    "doctor": ("doctor", "find out what is wrong, or how this EM behaves"),
    "down": ("down", "bring files and folders of the volume here (also: downlink)"),
    "image": ("image", "build, load, push and list Docker images"),
    "jobs": ("jobs", "list, resume and forget interrupted transfers"),
    "ls": ("ls", "list the volume"),
    "node": ("node", "list the EM's nodes"),
    "pod": ("pod", "run a pod, watch it, wait for it"),
    "rm": ("rm", "delete files and folders of the volume"),
    "simulator": ("simulator", "serve an EM in a box on this machine"),
    "sync": ("sync", "make one side equal to the other"),
    "up": ("up", "send files and folders to the volume (also: uplink)"),
}
_ALIASES = {"uplink": "up", "downlink": "down"}


@click.command(cls=Verbs, verbs=_VERBS, aliases=_ALIASES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="emasync", message="%(prog)s %(version)s")
def emasync() -> None:
    """Move files to and from DPhi Space's Engineering Model, and run pods on it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: a Latin-1 terminal must not end the job
