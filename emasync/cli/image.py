"""``emasync image``: the group of verbs for Docker images.

Owns: their list. Imports verbs only; each of them is a module of its own.
"""

from __future__ import annotations

import click

from emasync.cli.verbs import LazyGroup

_VERBS = {
    "build": ("image_build", "build an image on the EM from a folder with a Dockerfile"),
    "load": ("image_load", "load an image from a tar that is in the volume"),
    "ls": ("image_ls", "list the images you may run"),
    "push": ("image_push", "check a tar of docker save, send it up and load it"),
}


@click.command("image", cls=LazyGroup, verbs=_VERBS)
def image() -> None:
    """Build, load, push and list Docker images.

    \b
    emasync image build echo-test --context ./echo-test
    emasync image push echo-test.tar --image echo-test --rm-tar
    """
